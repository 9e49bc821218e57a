"""Three-way merges of text by git, which refuse where the place could be another one."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from coder_nb.core.changes import Clash
from coder_nb.errors import ApplyConflict, GitError
from coder_nb.worktrees.git import run

_MARKER = 23
"""The length of conflict markers, so that none in a file is taken for ours."""


async def merge(path: str, ours: bytes, base: bytes, theirs: bytes, *, timeout: float) -> bytes:
    """Ours with what was changed from base to theirs; `ApplyConflict` names the line where it cannot be told how.

    Ours that has the change in it already is given back as it is.
    """
    if any(b"\0" in side for side in (ours, base, theirs)):
        raise ApplyConflict(
            f"{path} is binary and differs in the checkout: nothing was written. "
            "Undo the change of yours, or copy the file by hand."
        )
    o, b, t = (side.split(b"\n") for side in (ours, base, theirs))
    merged = await _agreed(path, o, b, t, timeout=timeout)
    if isinstance(merged, int):
        without = await _agreed(path, o, t, b, timeout=timeout)
        if not isinstance(without, int) and await _agreed(path, without, b, t, timeout=timeout) == o:
            return ours
        place = f" around line {merged}" if merged else ""
        raise ApplyConflict(
            f"{path} has changed in the checkout{place} where this change would land: nothing was written. "
            "Undo the change of yours there, or copy this one by hand."
        )
    result = b"\n".join(merged)
    # Git takes a last line without its newline for another line than the same with one: where it asks, we ask.
    unended = not all(side.endswith(b"\n") for side in (ours, base, theirs) if side)
    if result != ours and unended and await _plain(ours, base, theirs, timeout=timeout) != result:
        raise ApplyConflict(
            f"{path} has changed in the checkout at its end, where a newline is missing: nothing was written. "
            "Undo the change of yours there, or copy this one by hand."
        )
    return result


async def clashes(ours: bytes, base: bytes, theirs: bytes, *, timeout: float) -> tuple[Clash, ...]:
    """The places where both sides changed the same lines otherwise; none where the sides are no text."""
    if any(b"\0" in side for side in (ours, base, theirs)):
        return ()
    with TemporaryDirectory(prefix="coder-nb-") as scratch:
        await asyncio.to_thread(_lay_out, Path(scratch), [side.split(b"\n") for side in (ours, base, theirs)])
        options = ("merge-file", "-p", "-q", "--diff3", f"--marker-size={_MARKER}", "0", "1", "2")
        outcome = await run(Path(scratch), *options, timeout=timeout)
    found, kept = _clashes(outcome.out.decode("utf-8", "replace").split("\n"))
    places = difflib.SequenceMatcher(None, kept, ours.decode("utf-8", "replace").split("\n"), autojunk=False)
    blocks = places.get_matching_blocks()
    return tuple(msgspec.structs.replace(clash, line=_place(blocks, clash.line - 1) + 1) for clash in found)


def _place(blocks: Sequence[difflib.Match], line: int) -> int:
    """Where a line of the one text is in the other."""
    before = [block for block in blocks if block.a <= line]
    last = before[-1] if before else difflib.Match(0, 0, 0)
    return last.b + min(line - last.a, last.size)


def _clashes(lines: list[str]) -> tuple[list[Clash], list[str]]:
    """Marked conflicts, and the text in which ours stands in each."""
    found: list[Clash] = []
    kept: list[str] = []
    sides: dict[str, list[str]] = {}
    side = ""
    for text in lines:
        mark = text[:1] if text[:1] in ("<", "|", "=", ">") and text[:_MARKER] == text[:1] * _MARKER else ""
        if mark == ">":
            yours, base, theirs = (tuple(sides[name]) for name in "<|=")
            found.append(Clash(line=len(kept) + 1, yours=yours, base=base, theirs=theirs))
            kept += yours
            side = ""
        elif mark:
            side = mark
            sides[side] = []
        elif side:
            sides[side].append(text)
        else:
            kept.append(text)
    return found, kept


async def _agreed(
    path: str, ours: list[bytes], base: list[bytes], theirs: list[bytes], *, timeout: float
) -> list[bytes] | int:
    """The lines that merging from the top and merging from the bottom agree on, or the line of the first conflict.

    They disagree where lines repeat and a change would fit in more than one place; that line is not known: 0.
    """
    down = await _merge(path, [ours, base, theirs], timeout=timeout)
    if isinstance(down, int):
        return down
    up = await _merge(path, [ours[::-1], base[::-1], theirs[::-1]], timeout=timeout)
    return down if not isinstance(up, int) and up[::-1] == down else 0


async def _merge(path: str, sides: list[list[bytes]], *, timeout: float) -> list[bytes] | int:
    """The merged lines, or the number of the line at which the first conflict is."""
    with TemporaryDirectory(prefix="coder-nb-") as scratch:
        await asyncio.to_thread(_lay_out, Path(scratch), sides)
        options = ("merge-file", "-p", "-q", f"--marker-size={_MARKER}", "0", "1", "2")
        outcome = await run(Path(scratch), *options, timeout=timeout)
    if outcome.code == 0:
        return outcome.out.split(b"\n")[:-1]
    if outcome.code < 0 or outcome.code > 127:
        raise GitError(f"`git merge-file` failed on {path}: {outcome.reason}. Nothing was written; try again.")
    return outcome.out.partition(b"<" * _MARKER)[0].count(b"\n") + 1


async def _plain(ours: bytes, base: bytes, theirs: bytes, *, timeout: float) -> bytes | None:
    """What git makes of the sides as they are; None where it finds a conflict."""
    with TemporaryDirectory(prefix="coder-nb-") as scratch:
        for number, side in enumerate((ours, base, theirs)):
            await asyncio.to_thread((Path(scratch) / str(number)).write_bytes, side)
        outcome = await run(Path(scratch), "merge-file", "-p", "-q", "0", "1", "2", timeout=timeout)
    return outcome.out if outcome.code == 0 else None


def _lay_out(folder: Path, sides: list[list[bytes]]) -> None:
    """Every line ended, so that a missing newline at the end is a line like any other."""
    for number, lines in enumerate(sides):
        (folder / str(number)).write_bytes(b"".join(line + b"\n" for line in lines))
