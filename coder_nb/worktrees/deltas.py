"""What differs between a base and a worktree, file by file, read from git."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from coder_nb.core.changes import FileDelta, Operation, is_secret
from coder_nb.core.entries import Value
from coder_nb.core.hunks import Hunk, sections
from coder_nb.core.parts import with_ids
from coder_nb.worktrees import cells
from coder_nb.worktrees.git import Outcome, git, run, together
from coder_nb.worktrees.snapshot import Content, commit_tree, content_of
from coder_nb.worktrees.state import WorktreeState, ref

SHOWN = 4 * 1024 * 1024
"""Files beyond this size are applied like others, but their lines are not shown."""

SYMLINK, SUBMODULE = "120000", "160000"
_OPERATIONS: dict[str, Operation] = {"A": "create", "D": "delete", "R": "rename"}
_DIFF = ("-c", f"core.bigFileThreshold={SHOWN}", "diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv")
_PATCH = ("--patch", "--no-color", "--submodule=short", "-U3")
_Stats = dict[str, tuple[int | None, int | None]]


class _Record(Value):
    """One line of git's raw format."""

    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str
    status: str
    old_path: str
    path: str


async def keep(state: WorktreeState, *, timeout: float) -> None:
    """Keep the worktree's content as a commit, with all earlier ones, as changes refer to their blobs."""
    now, last = await _now(state, timeout=timeout)
    await _hold(state, now, last, timeout=timeout)


async def _now(state: WorktreeState, *, timeout: float) -> tuple[Content, Outcome]:
    """What the worktree holds, and what is known of what was kept of it last."""
    kept = ("log", "-1", "--format=%H %T %P", ref(state.session_id, "kept"), "--")
    now, last = await together(content_of(state, timeout=timeout), run(state.root, *kept, timeout=timeout))
    return now, last


async def _hold(state: WorktreeState, now: Content, found: Outcome, *, timeout: float) -> None:
    last, tree, *parents = found.out.decode().split() if found.code == 0 else (None, None)
    if last is not None and tree == now.tree and parents[:1] == [state.base_commit]:
        return
    parents = [state.base_commit, *([last] if last else []), now.head.commit]
    title = "The worktree as it was"
    commit = await commit_tree(state.root, now.tree, parents, title, now.head.time, timeout=timeout)
    await git(state.root, "update-ref", ref(state.session_id, "kept"), commit, timeout=timeout)


async def list_deltas(state: WorktreeState, before: str, *, timeout: float) -> list[FileDelta]:
    """All differences between the state's base and the worktree, which are kept from now on."""
    now, last = await _now(state, timeout=timeout)
    base, tree = state.base_commit, now.tree
    names = ("diff-tree", "-r", "--no-renames", "--name-only", "-z", before, tree, "--")
    _, (records, stats, patch), named = await together(
        _hold(state, now, last, timeout=timeout),
        _differences(state.root, base, tree, timeout=timeout),
        git(state.root, *names, timeout=timeout),
    )
    touched = set(os.fsdecode(named).split("\0"))
    hunks = iter(sections(patch))
    found = [_noted(state.root, _delta(r, stats, hunks, touched)) for r in records]
    return [await cells.told(state.root, delta, timeout=timeout) for delta in found]


async def _differences(root: Path, base: str, tree: str, *, timeout: float) -> tuple[list[_Record], _Stats, bytes]:
    """What differs, the counts of each path, and the patch."""
    told = await git(root, *_DIFF, "--raw", "--numstat", *_PATCH, "-z", base, tree, "--", timeout=timeout)
    listed, _, patch = told.partition(b"\0\0")
    records, stats = _parse(os.fsdecode(listed))
    return records, stats, patch


def _parse(listed: str) -> tuple[list[_Record], _Stats]:
    """Git's raw records, and the counts of each path (None where git counts no lines)."""
    words = iter(listed.split("\0"))
    records: list[_Record] = []
    stats: _Stats = {}
    for word in words:
        if word.startswith(":"):
            old_mode, new_mode, old_blob, new_blob, status = word[1:].split(" ")
            old_path = next(words)
            path = next(words) if status[0] == "R" else old_path
            records.append(
                _Record(
                    old_mode=old_mode,
                    new_mode=new_mode,
                    old_blob=old_blob,
                    new_blob=new_blob,
                    status=status[0],
                    old_path=old_path,
                    path=path,
                )
            )
        elif word:
            added, deleted, path = word.split("\t", 2)
            if not path:
                next(words)
                path = next(words)
            stats[path] = (_count(added), _count(deleted))
    return records, stats


def _count(word: str) -> int | None:
    return None if word == "-" else int(word)


def _delta(
    record: _Record,
    stats: _Stats,
    patches: Iterator[tuple[Hunk, ...]],
    touched: set[str],
) -> FileDelta:
    hunks = next(patches, ())
    if record.status == "T":  # git shows a file that became a link as one that went and one that came
        hunks += next(patches, ())
    additions, deletions = stats.get(record.path, (None, None))
    renamed = record.status == "R"
    return FileDelta(
        path=record.path,
        operation=_OPERATIONS.get(record.status, "edit"),
        touched=record.path in touched or (renamed and record.old_path in touched),
        old_path=record.old_path if renamed else None,
        additions=additions,
        deletions=deletions,
        binary=additions is None,
        old_mode=None if record.status == "A" else record.old_mode,
        new_mode=None if record.status == "D" else record.new_mode,
        old_blob=None if record.status == "A" else record.old_blob,
        new_blob=None if record.status == "D" else record.new_blob,
        hunks=with_ids(hunks),
    )


def _noted(root: Path, delta: FileDelta) -> FileDelta:
    """The delta with what a reader has to know before applying it."""
    note = ""
    if is_secret(delta.path) or (delta.old_path is not None and is_secret(delta.old_path)):
        note = "The file's name says that it holds secrets: it is never written by an apply."
    elif SUBMODULE in (delta.old_mode, delta.new_mode):
        note = "This is a repository inside the repository: it is not applied; update it by hand."
    elif delta.binary and delta.new_mode != SYMLINK and _size(root / delta.path) > SHOWN:
        note = "The file is too large for its lines to be shown."
    return msgspec.structs.replace(delta, note=note)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
