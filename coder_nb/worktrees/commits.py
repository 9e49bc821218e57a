"""Changes as commits: onto a branch that nobody has checked out, or onto HEAD beside what the user has staged.

A tree, the base of a session, and an index are the same to a change: entries of mode and blob by path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from coder_nb.core.changes import Change, FileDelta
from coder_nb.errors import ApplyConflict, Conflict
from coder_nb.worktrees import landing
from coder_nb.worktrees.git import git, run
from coder_nb.worktrees.landing import blob_content, store_blob
from coder_nb.worktrees.merge import merge
from coder_nb.worktrees.snapshot import branch_ref, resolve, tree_of
from coder_nb.worktrees.undo import paths

Entries = Mapping[str, tuple[str, str]]
"""Mode and blob by path."""
Updates = dict[str, tuple[str, str] | None]
"""What becomes of paths; None where one goes."""


async def tree_with(
    root: Path, base: str, changes: Sequence[Change | FileDelta], *, timeout: float, merged: bool = False
) -> str:
    """The tree of a base with changes in it; `merged` where the base need not be what they were made from."""
    if not merged:
        return await _written(root, base, updates_of(changes), timeout=timeout)
    updates: Updates = {}
    for change in changes:
        entries = await _entries(root, base, paths(change), timeout=timeout)
        updates |= await landed(root, {**entries, **_there(updates)}, change, timeout=timeout)
    return await _written(root, base, updates, timeout=timeout)


def updates_of(changes: Sequence[Change | FileDelta]) -> Updates:
    """What changes make of their paths, where those are as they were when the changes were made."""
    updates: Updates = {}
    for change in changes:
        for gone in (change.old_path, change.path if change.new_blob is None else None):
            if gone is not None:
                updates[gone] = None
        if change.new_blob is not None:
            updates[change.path] = (str(change.new_mode), change.new_blob)
    return updates


def _there(updates: Updates) -> dict[str, tuple[str, str]]:
    return {path: entry for path, entry in updates.items() if entry is not None}


async def landed(root: Path, entries: Entries, change: Change | FileDelta, *, timeout: float) -> Updates:
    """What a change makes of entries, three-way. Raises `ApplyConflict` where that cannot be told."""
    landing.refuse(change)
    source = change.old_path or change.path
    before, here = entries.get(source), entries.get(change.path)
    old = None if change.old_blob is None else (str(change.old_mode), change.old_blob)
    new = None if change.new_blob is None else (str(change.new_mode), change.new_blob)
    if here == new and (source == change.path or before is None):
        return {}
    moved: Updates = {} if source == change.path else {source: None}
    if source != change.path and here not in (None, new):
        raise ApplyConflict(f"Another file {change.path} is there: nothing was committed. Move it away first.")
    if before == old:
        return {**moved, change.path: new}
    if before is None or old is None or new is None or "120000" in (before[0], old[0], new[0]):
        raise ApplyConflict(f"{change.path} is not what this change was made for there: nothing was committed.")
    sides = [await blob_content(root, blob, timeout=timeout) for _, blob in (before, old, new)]
    result = await merge(change.path, sides[0], sides[1], sides[2], timeout=timeout)
    mode = before[0] if old[0] == new[0] else new[0]
    return {**moved, change.path: (mode, await store_blob(root, result, timeout=timeout))}


async def _entries(root: Path, tree: str, names: Sequence[str], *, timeout: float) -> Entries:
    listed = await git(root, "ls-tree", "-z", "--full-tree", tree, "--", *names, timeout=timeout)
    return _parsed(listed)


def _parsed(listed: bytes) -> Entries:
    found: dict[str, tuple[str, str]] = {}
    for line in filter(None, os.fsdecode(listed).split("\0")):
        facts, path = line.split("\t", 1)
        mode, *rest = facts.split(" ")
        found[path] = (mode, rest[0] if len(rest[0]) >= 40 else rest[1])
    return found


def _is_unmerged(listed: bytes) -> bool:
    """Whether an index holds several sides of a file, as after a merge or a stash that did not fit."""
    return any(line.split(b"\t", 1)[0][-1:] != b"0" for line in listed.split(b"\0") if line)


async def _written(root: Path, base: str, updates: Updates, *, timeout: float) -> str:
    with TemporaryDirectory(prefix="coder-nb-") as scratch:
        env = {"GIT_INDEX_FILE": os.path.join(scratch, "index")}
        await git(root, "read-tree", base, env=env, timeout=timeout)
        await _update_index(root, updates, len(base), env=env, timeout=timeout)
        return (await git(root, "write-tree", env=env, timeout=timeout)).decode().strip()


async def _update_index(root: Path, updates: Updates, length: int, *, env: Mapping[str, str], timeout: float) -> None:
    """Goners first: a folder may have become a file."""
    lines = [f"0 {'0' * length}\t{path}\0" for path, entry in updates.items() if entry is None]
    lines += [f"{entry[0]} {entry[1]}\t{path}\0" for path, entry in updates.items() if entry is not None]
    await git(root, "update-index", "-z", "--index-info", input=os.fsencode("".join(lines)), env=env, timeout=timeout)


# Onto a branch -------------------------------------------------------------------------------------------------------


async def onto_branch(root: Path, branch: str, changes: Sequence[Change], message: str, *, timeout: float) -> str:
    """Commit changes onto a branch, which is begun at HEAD where there is none; gives the commit.

    The checkout, its index and its HEAD are left alone. Raises `ApplyConflict` where they do not fit on it.
    """
    name = await branch_ref(root, branch, timeout=timeout)
    listed = os.fsdecode(await git(root, "worktree", "list", "--porcelain", timeout=timeout)).splitlines()
    if f"branch {name}" in listed:
        raise Conflict(f"The branch {branch} is checked out: apply with `commit=` instead, or name another branch.")
    await _check_identity(root, timeout=timeout)
    tip = await resolve(root, name, timeout=timeout)
    start = tip or str(await resolve(root, "HEAD", timeout=timeout))
    tree = await tree_with(root, start, changes, timeout=timeout, merged=True)
    commit = await _commit(root, tree, start, message, timeout=timeout)
    if commit != tip:
        await git(root, "update-ref", "-m", f"coder-nb: {message}", name, commit, tip or "0" * 40, timeout=timeout)
    return commit


# Onto HEAD -----------------------------------------------------------------------------------------------------------


class OntoHead:
    """A commit of some changes, and of nothing else, on the branch that the user is on.

    `prepare` finds out whether it fits, the changes are applied to the files, and `finish` commits. What the user has
    staged stays staged, what she has not stays unstaged. Cut off in between, the same again goes on from there.
    """

    def __init__(self, root: Path, changes: Sequence[Change], message: str, *, timeout: float) -> None:
        self._root, self._changes, self._message, self._timeout = root, changes, message, timeout
        self._head = ""
        self._tree = ""
        self._staged: Updates = {}

    async def prepare(self) -> None:
        """Raises `Conflict` or `ApplyConflict` where it would not fit on HEAD, or on what is staged."""
        root, timeout = self._root, self._timeout
        await _check_identity(root, timeout=timeout)
        for name in ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD"):
            if await resolve(root, name, timeout=timeout) is not None:
                raise Conflict("A merge or rebase is under way in the checkout: finish it, then commit.")
        self._head = str(await resolve(root, "HEAD", timeout=timeout))
        self._tree = await tree_with(root, self._head, self._changes, timeout=timeout, merged=True)
        for change in self._changes:
            listed = await git(root, "ls-files", "-z", "--stage", "--full-name", "--", *paths(change), timeout=timeout)
            if _is_unmerged(listed):
                raise ApplyConflict(f"{change.path} has a conflict that is not resolved: resolve it, then commit.")
            entries = {**_parsed(listed), **_there(self._staged)}
            self._staged |= await landed(root, entries, change, timeout=timeout)

    async def finish(self) -> str:
        """Stage and commit; gives the commit. The index comes first, so that nothing ever looks as if taken back."""
        root, timeout = self._root, self._timeout
        if self._staged:
            await _update_index(root, self._staged, len(self._head), env={}, timeout=timeout)
            await run(root, "update-index", "-q", "--refresh", timeout=timeout)
        commit = await _commit(root, self._tree, self._head, self._message, timeout=timeout)
        if commit != self._head:
            told = f"commit: {self._message.splitlines()[0]}"
            await git(root, "update-ref", "-m", told, "HEAD", commit, self._head, timeout=timeout)
        return commit


async def _commit(root: Path, tree: str, parent: str, message: str, *, timeout: float) -> str:
    """A commit by the user; the parent itself where the tree is the same."""
    if tree == await tree_of(root, parent, timeout=timeout):
        return parent
    told = f"{message.strip()}\n".encode()
    made = await git(root, "commit-tree", tree, "-p", parent, input=told, timeout=timeout)
    return made.decode().strip()


async def _check_identity(root: Path, *, timeout: float) -> None:
    if (await run(root, "var", "GIT_AUTHOR_IDENT", timeout=timeout)).code != 0:
        raise Conflict(
            "git does not know who you are: run `git config --global user.name` and `user.email`, then commit."
        )
