"""The tree of a commit with a few paths as they are in a working tree: what git needs no whole index for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from coder_nb.worktrees.git import run

MOST = 500
"""Of more paths than these, a whole index is as quick."""
_OBJECTS = 1_000_000
_REF = "refs/coder-nb/scratch"
"""Named and never written: what fast-import is told to build a commit for."""


async def graft(
    root: Path, commit: str, staged: Mapping[str, str], looked: Sequence[str], gone: Iterable[str], *, timeout: float
) -> str | None:
    """The tree of a commit in which the `looked` paths are as they are in the working tree, the `staged` others as the
    index has them ("mode,blob"), and the `gone` are not; None where git needs the index for it, or does not manage."""
    entries = await _entries(root, staged, looked, timeout=timeout)
    if entries is None:
        return None
    removed = {*gone, *looked} - entries.keys()
    told = await run(
        root,
        *("-c", f"fastimport.unpackLimit={_OBJECTS}", "fast-import", "--quiet"),
        input=_orders(commit, entries, removed),
        timeout=timeout,
    )
    words = told.out.split()
    return words[2].decode() if told.code == 0 and words[:2] == [b"040000", b"tree"] else None


async def _entries(
    root: Path, staged: Mapping[str, str], looked: Sequence[str], *, timeout: float
) -> dict[str, str] | None:
    """The mode and blob of each path, from an index that has them alone: it decides about modes and line ends."""
    with TemporaryDirectory(prefix="coder-nb-") as scratch:
        env = {"GIT_INDEX_FILE": os.path.join(scratch, "index")}
        known = [word for path, facts in staged.items() for word in ("--cacheinfo", f"{facts},{path}")]
        names = os.fsencode("".join(f"{path}\0" for path in looked))
        update = ("update-index", "--add", "--remove", *known, "-z", "--stdin")
        if (await run(root, *update, input=names, env=env, timeout=timeout)).code != 0:
            return None
        listed = await run(root, "ls-files", "--stage", "-z", "--full-name", env=env, timeout=timeout)
    lines = [line.split("\t", 1) for line in os.fsdecode(listed.out).split("\0") if line]
    return {path: facts.rsplit(" ", 1)[0] for facts, path in lines} if listed.code == 0 else None


def _orders(commit: str, entries: Mapping[str, str], removed: Collection[str]) -> bytes:
    """What fast-import is told: all of it, the question for the tree, and to forget the commit."""
    lines = [
        f"commit {_REF}",
        "committer coder-nb <> 0 +0000",
        "data 0",
        f"from {commit}",
        *(f"D {_quoted(path)}" for path in sorted(removed)),
        *(f"M {facts} {_quoted(path)}" for path, facts in entries.items()),
        'ls ""',
        "",
        f"reset {_REF}",
        "",
        "",
    ]
    return os.fsencode("\n".join(lines))


def _quoted(path: str) -> str:
    marks = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
    return '"' + "".join(marks.get(mark, mark) for mark in path) + '"'
