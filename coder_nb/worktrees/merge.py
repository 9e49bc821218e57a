"""Three-way merges of text by git, which refuse where the place could be another one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from coder_nb.errors import ApplyConflict, GitError
from coder_nb.worktrees.git import run

_MARKER = 23
"""The length of conflict markers, so that none in a file is taken for ours."""


async def merge(path: str, ours: bytes, base: bytes, theirs: bytes, *, timeout: float) -> bytes:
    """Ours with what was changed from base to theirs; `ApplyConflict` names the line where it cannot be told how.

    Merging once from the top and once from the bottom gives two results where lines repeat and a change would fit in
    more than one place: that is a conflict, never a guess.
    """
    if any(b"\0" in side for side in (ours, base, theirs)):
        raise ApplyConflict(
            f"{path} is binary and differs in the checkout: nothing was written. "
            "Undo the change of yours, or copy the file by hand."
        )
    sides = [side.split(b"\n") for side in (ours, base, theirs)]
    down = await _merge(path, sides, timeout=timeout)
    up = await _merge(path, [side[::-1] for side in sides], timeout=timeout)
    if isinstance(down, int) or isinstance(up, int) or down != up[::-1]:
        place = f" around line {down}" if isinstance(down, int) else ""
        raise ApplyConflict(
            f"{path} has changed in the checkout{place} where this change would land: nothing was written. "
            "Undo the change of yours there, or copy this one by hand."
        )
    return b"\n".join(down)


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


def _lay_out(folder: Path, sides: list[list[bytes]]) -> None:
    """Every line ended, so that a missing newline at the end is a line like any other."""
    for number, lines in enumerate(sides):
        (folder / str(number)).write_bytes(b"".join(line + b"\n" for line in lines))
