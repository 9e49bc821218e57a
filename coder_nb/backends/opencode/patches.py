"""Unified diffs as file diffs: those parts of the files that the hunks show; pure."""

from __future__ import annotations

import re

from coder_nb.core.entries import FileDiff

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def diffs_of(patch: str) -> tuple[FileDiff, ...]:
    """One for each file of the patch; a file that it makes has no text before."""
    files: list[tuple[str, list[str], list[str]]] = []
    created: set[str] = set()
    old = new = 0
    removed = ""
    for line in patch.split("\n"):
        if old > 0 or new > 0:
            old, new = _take(line, files[-1], old, new)
        elif line.startswith("--- "):
            removed = _path(line)
        elif line.startswith("+++ "):
            path = _path(line)
            files.append((removed if path == "/dev/null" else path, [], []))
        elif files and (hunk := _HUNK.match(line)):
            old, new = (int(count) if count else 1 for count in (hunk[2], hunk[4]))
            if hunk[1] == "0" and old == 0:
                created.add(files[-1][0])
    return tuple(
        FileDiff(path=path, old=None if path in created else "".join(before), new="".join(after))
        for path, before, after in files
    )


def _take(line: str, file: tuple[str, list[str], list[str]], old: int, new: int) -> tuple[int, int]:
    """A hunk's line; returns how many are left of the old text and of the new one."""
    _, before, after = file
    sign, text = line[:1], line[1:] + "\n"
    if sign in ("-", " ", ""):
        before.append(text)
        old -= 1
    if sign in ("+", " ", ""):
        after.append(text)
        new -= 1
    return old, new


def _path(line: str) -> str:
    return line[4:].split("\t")[0].strip()
