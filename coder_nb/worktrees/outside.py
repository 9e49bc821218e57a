"""What changes in a checkout while an agent works elsewhere: a cheap look before, one after, and the difference."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from coder_nb.core.entries import Value
from coder_nb.worktrees.git import git

_STATUS = (
    "status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames", "--untracked-files=all",
    "--ignore-submodules=all",
)  # fmt: skip


class Seen(Value):
    """What stands out in a checkout: its HEAD, and what is changed or untracked, with the times of those files."""

    head: str
    files: dict[str, tuple[str, int, int]]


async def look(root: Path, *, timeout: float) -> Seen:
    """A look at a checkout, for which git has to read no file's content that was not written since."""
    said = await git(root, *_STATUS, timeout=timeout)
    lines = [os.fsdecode(line) for line in said.split(b"\0") if line]
    head = " ".join(line for line in lines if line.startswith(("# branch.oid", "# branch.head")))
    marks = dict(_mark(line) for line in lines if line[:2] in ("1 ", "u ", "? "))
    return Seen(head=head, files=await asyncio.to_thread(_stamped, root, marks))


def _mark(line: str) -> tuple[str, str]:
    """A path and how git describes it."""
    if line[0] == "?":
        return line[2:], "?"
    *facts, path = line.split(" ", 8 if line[0] == "1" else 10)
    return path, " ".join(facts)


def _stamped(root: Path, marks: dict[str, str]) -> dict[str, tuple[str, int, int]]:
    found = {}
    for path, mark in marks.items():
        try:
            state = (root / path).lstat()
            found[path] = (mark, state.st_size, state.st_mtime_ns)
        except OSError:
            found[path] = (mark, -1, 0)
    return found


def difference(before: Seen, after: Seen) -> tuple[str, ...]:
    """The files that differ between two looks. Where HEAD has moved, what is committed now is not told apart."""
    paths: Iterable[str] = sorted(before.files.keys() | after.files.keys())
    if before.head != after.head:  # a commit takes files out of the list without writing them
        paths = sorted(after.files)
    return tuple(path for path in paths if before.files.get(path) != after.files.get(path))
