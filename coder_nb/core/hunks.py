"""Hunks of a unified diff: parsed, written, applied and reverted exactly, as functions of text.

Places are those that the hunk headers name, never found by looking around: a hunk fits at its own place or it does not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from coder_nb.core.entries import Value
from coder_nb.errors import ApplyConflict

NO_NEWLINE = "\\ No newline at end of file"

_HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Hunk(Value):
    """Lines of a unified diff; `lines` carry their leading ``' '``, ``'+'``, ``'-'`` and no line end, or ``'\\\\'``."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: tuple[str, ...]
    id: str = ""
    """Made of its lines, and kept while other hunks are decided: a decision names it, and a view that is out of date is
    refused. Empty in diffs that nobody decides about."""


def parse_hunks(text: str) -> tuple[Hunk, ...]:
    """The hunks of one file's unified diff; what stands before the first ``@@`` is passed over."""
    hunks: list[Hunk] = []
    header: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        found = _HEADER.match(line)
        if found is not None:
            if header is not None:
                hunks.append(_hunk(header, lines))
            header, lines = found, []
        elif header is not None:
            lines.append(line)
    if header is not None:
        hunks.append(_hunk(header, lines))
    return tuple(hunks)


def _hunk(header: re.Match[str], lines: list[str]) -> Hunk:
    old_start, old_lines, new_start, new_lines = (int(g) if g is not None else 1 for g in header.groups())
    return Hunk(
        old_start=old_start,
        old_lines=old_lines,
        new_start=new_start,
        new_lines=new_lines,
        lines=tuple(line for line in lines if line[:1] in (" ", "+", "-", "\\") and line),
    )


def format_hunks(hunks: Iterable[Hunk]) -> str:
    """The text of a unified diff's hunks; `parse_hunks` gives the same hunks back."""
    parts: list[str] = []
    for hunk in hunks:
        parts.append(f"@@ -{_span(hunk.old_start, hunk.old_lines)} +{_span(hunk.new_start, hunk.new_lines)} @@")
        parts.extend(hunk.lines)
    return "".join(part + "\n" for part in parts)


def _span(start: int, count: int) -> str:
    return str(start) if count == 1 else f"{start},{count}"


def sections(patch: bytes) -> list[tuple[Hunk, ...]]:
    """The hunks of each file of a git patch, in its order; bytes that are not UTF-8 show as U+FFFD."""
    texts = re.split(rb"^diff --git .*\n", patch, flags=re.MULTILINE)[1:]
    return [parse_hunks(text.decode("utf-8", "replace")) for text in texts]


def counts(hunks: Iterable[Hunk]) -> tuple[int, int]:
    """How many lines the hunks add and delete."""
    lines = [line[:1] for hunk in hunks for line in hunk.lines]
    return lines.count("+"), lines.count("-")


def apply_hunks(text: str, hunks: Sequence[Hunk]) -> str:
    """The text with some or all hunks of its diff applied; `ApplyConflict` names the line where one does not fit."""
    return _replace(text, [(h.old_start, _side(h, "-"), _side(h, "+")) for h in hunks])


def revert_hunks(text: str, hunks: Sequence[Hunk]) -> str:
    """The text with some or all hunks that led to it taken back; `ApplyConflict` as in `apply_hunks`."""
    return _replace(text, [(h.new_start, _side(h, "+"), _side(h, "-")) for h in hunks])


def side(text: str, hunks: Sequence[Hunk]) -> Literal["old", "new", "both", "neither"]:
    """Which side of a diff stands in the text; ``both`` is where the lines repeat so that it cannot be told."""
    old = _fits(text, [(h.old_start, _side(h, "-")) for h in hunks])
    new = _fits(text, [(h.new_start, _side(h, "+")) for h in hunks])
    if old and new:
        return "both"
    return "old" if old else "new" if new else "neither"


def _side(hunk: Hunk, sign: Literal["+", "-"]) -> list[str]:
    """The lines of a hunk's old (``-``) or new (``+``) side, with their line ends."""
    found: list[str] = []
    last_counts = False
    for line in hunk.lines:
        if line.startswith("\\"):
            if last_counts:
                found[-1] = found[-1].removesuffix("\n")
            continue
        last_counts = line[:1] in (" ", sign)
        if last_counts:
            found.append(line[1:] + "\n")
    return found


def _at(start: int, lines: list[str]) -> int:
    """Where a side begins, counted from zero: a side without lines names the line that it comes after."""
    return start - 1 if lines else start


def _fits(text: str, places: list[tuple[int, list[str]]]) -> bool:
    have = _LINE.findall(text)
    return all(have[_at(start, lines) :][: len(lines)] == lines for start, lines in places)


def _replace(text: str, moves: list[tuple[int, list[str], list[str]]]) -> str:
    have = _LINE.findall(text)
    out: list[str] = []
    done = 0
    for start, old, new in sorted(moves, key=lambda move: _at(move[0], move[1])):
        at = _at(start, old)
        if not done <= at <= len(have) or have[at : at + len(old)] != old:
            raise ApplyConflict(f"The text at line {start} is not what this change was made for: nothing was changed.")
        out += have[done:at] + new
        done = at + len(old)
    return "".join(out + have[done:])


def keep_line_ends(content: bytes, like: bytes) -> bytes:
    """Content with the line ends of what it replaces: those of each line that stays, where they are of both kinds."""
    ends, crlf = like.count(b"\n"), like.count(b"\r\n")
    if ends == 0:
        return content
    if 0 < crlf < ends:
        return _with_each_end(content, like)
    plain = content.replace(b"\r\n", b"\n")
    return plain.replace(b"\n", b"\r\n") if crlf else plain


def _with_each_end(content: bytes, like: bytes) -> bytes:
    lines, have = content.splitlines(keepends=True), like.splitlines(keepends=True)
    bare = [line.rstrip(b"\r\n") for line in lines], [line.rstrip(b"\r\n") for line in have]
    for at_have, at, count in difflib.SequenceMatcher(None, bare[1], bare[0], autojunk=False).get_matching_blocks():
        lines[at : at + count] = have[at_have : at_have + count]
    return b"".join(lines)
