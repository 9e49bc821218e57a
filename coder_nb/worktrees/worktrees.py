"""Each session's worktree: made where it is missing, mended where it was broken, moved on with the user's checkout.

All state is in git: a worktree on a detached HEAD, and private refs under ``refs/coder-nb/<session id>/``:
``base`` (what the user saw), ``kept`` (a chain of all that a change may still need) and ``checkpoints/<turn id>``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from coder_nb.core.changes import FileDelta
from coder_nb.core.values import Change
from coder_nb.errors import BadPath, CoderError, GitError, NoCommit, NotARepository
from coder_nb.settings import Settings
from coder_nb.worktrees import ignored, review
from coder_nb.worktrees.deltas import keep, list_deltas
from coder_nb.worktrees.git import Outcome, git, run
from coder_nb.worktrees.snapshot import Snapshot, head_of, private_commit, resolve, snapshot, tree_of
from coder_nb.worktrees.state import Applied, Repository, WorktreeState, ref


class Worktrees:
    """The worktrees of all sessions, under one folder. Calls for one repository run one after another."""

    def __init__(self, root: Path, settings: Settings | None = None) -> None:
        self.root = root.expanduser().resolve()
        self._settings = settings or Settings()
        self._timeout = self._settings.git_timeout
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def locate(self, path: Path) -> Repository:
        """The repository of a directory. Raises `BadPath`, `NotARepository` or `NoCommit`, with the cure."""
        real = await asyncio.to_thread(_real_directory, path)
        places = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir")
        found = await run(real, *places, "HEAD^{commit}", timeout=self._timeout)
        born = found.code == 0
        if not born:
            found = await run(real, *places, timeout=self._timeout)
        if found.code != 0:
            raise _why_not(real, found)
        toplevel, common_dir = os.fsdecode(found.out).removesuffix("\n").split("\n")[:2]
        if not born:
            raise NoCommit(
                f"The repository {toplevel} has no commit yet: commit once in it "
                f"(`git commit --allow-empty -m start`), then try again."
            )
        return Repository(path=str(real), toplevel=toplevel, common_dir=common_dir)

    async def ensure(
        self, session_id: str, path: Path, *, has_pending: bool, known: WorktreeState | None = None
    ) -> WorktreeState:
        """The session's worktree, ready for a turn: made, mended, or moved on to what the user sees now.

        With pending changes it stays at its base and is `stale` where the checkout has moved on; a worktree with work
        in it that no change accounts for is treated the same. `known` helps where the private refs were lost.
        """
        repository = await self.locate(path)
        async with self._lock(repository.toplevel):
            now = await snapshot(repository.root, guarded=True, timeout=self._timeout)
            home = self.root / session_id / (repository.root.name or "repository")
            standing = await self._standing(home, repository)
            base = await self._base(repository, session_id, known, home if standing == "ready" else None)
            if standing == "cut off" and base is not None:
                await self._relink(home, repository, base)
            elif standing != "ready":
                base = await self._make(home, repository, session_id, base if has_pending and base else now.commit)
            base = base or now.commit
            if base != now.commit and not has_pending:
                base = await self._follow(home, session_id, base, now)
            return await self._state(repository, session_id, home, base, now)

    async def checkpoint(self, state: WorktreeState, turn_id: str) -> str:
        """Keep the worktree's content as it is before a turn; gives the commit."""
        async with self._lock(state.repository):
            made = await snapshot(state.root, guarded=False, timeout=self._timeout)
            name = ref(state.session_id, "checkpoints", turn_id)
            await git(state.root, "update-ref", name, made.commit, timeout=self._timeout)
            return made.commit

    async def changes(self, state: WorktreeState, *, before: str) -> list[FileDelta]:
        """All that differs between the base and the worktree now; `touched` tells what changed since `before`."""
        async with self._lock(state.repository):
            return await list_deltas(state, before, timeout=self._timeout)

    async def apply(self, state: WorktreeState, change: Change | FileDelta) -> Applied:
        """Bring one file's change into the checkout, wholly or not at all; applying twice is applying once (law 16).

        The user's index is not touched. Follow it with `rebase_after_apply`, or the change will show again.
        """
        async with self._lock(state.repository):
            return await review.apply(state.checkout, change, timeout=self._timeout)

    async def reject(self, state: WorktreeState, change: Change | FileDelta) -> None:
        """Give the worktree's file its base content back. `Conflict` where the worktree no longer has room for it."""
        async with self._lock(state.repository):
            await keep(state, timeout=self._timeout)
            await review.reject(state.root, change, timeout=self._timeout)
            await keep(state, timeout=self._timeout)

    async def rebase_after_apply(self, state: WorktreeState, applied: Sequence[Change | FileDelta]) -> WorktreeState:
        """The state whose base has these changes in it, so that they do not show again and all others still do."""
        async with self._lock(state.repository):
            tree = await review.tree_with(state.root, state.base_commit, applied, timeout=self._timeout)
            under = await head_of(state.root, state.base_commit, timeout=self._timeout)
            base = await private_commit(state.root, tree, under, timeout=self._timeout)
            moved = msgspec.structs.replace(state, base_commit=base)
            await keep(moved, timeout=self._timeout)
            await git(state.root, "update-ref", ref(state.session_id, "base"), base, timeout=self._timeout)
            await self._move_head(state, base)
            return moved

    def _lock(self, toplevel: str) -> asyncio.Lock:
        lock = self._locks.get(toplevel)
        if lock is None:
            lock = self._locks[toplevel] = asyncio.Lock()
        return lock

    async def _base(
        self, repository: Repository, session_id: str, known: WorktreeState | None, home: Path | None
    ) -> str | None:
        """The session's base; where its ref was lost, the one the caller knows or the commit the worktree stands on."""
        name = ref(session_id, "base")
        base = await resolve(repository.root, name, timeout=self._timeout)
        if base is not None:
            return base
        if known is not None:
            base = await resolve(repository.root, known.base_commit, timeout=self._timeout)
        if base is None and home is not None:
            base = await resolve(home, "HEAD", timeout=self._timeout)
        if base is not None:
            await git(repository.root, "update-ref", name, base, timeout=self._timeout)
        return base

    async def _standing(self, home: Path, repository: Repository) -> str:
        """``ready``, ``missing``, or ``cut off``: the folder is there and git does not know it as a worktree of this
        repository."""
        if not await asyncio.to_thread(home.is_dir):
            return "missing"
        places = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir", "--git-dir", "HEAD")
        found = await run(home, *places, timeout=self._timeout)
        words = os.fsdecode(found.out).split("\n")
        if found.code != 0 or words[:2] != [str(home), repository.common_dir]:
            return "cut off"
        if not await asyncio.to_thread(_leads_back, Path(words[2]), home):
            await git(repository.root, "worktree", "repair", str(home), timeout=self._timeout)
        return "ready"

    async def _make(self, home: Path, repository: Repository, session_id: str, base: str) -> str:
        """Make the worktree aside and put it in its place when it is complete, so that a crash leaves nothing half."""
        await asyncio.to_thread(_set_aside, home, home.parent)
        await git(repository.root, "update-ref", ref(session_id, "base"), base, timeout=self._timeout)
        making = await self._clear(home, repository)
        await git(repository.root, "worktree", "add", "-f", "-f", "--detach", str(making), base, timeout=self._timeout)
        kept = await resolve(repository.root, ref(session_id, "kept"), timeout=self._timeout)
        if kept is not None and await self._follows(repository.root, kept, base):
            await git(making, "read-tree", "--reset", "-u", kept, timeout=self._timeout)
            await git(making, "reset", "--quiet", "--mixed", timeout=self._timeout)
        await ignored.copy(repository.root, making, self._settings.copy_ignored, timeout=self._timeout)
        await asyncio.to_thread(_put_in_place, making, home)
        await git(repository.root, "worktree", "repair", str(home), timeout=self._timeout)
        return base

    async def _follows(self, root: Path, kept: str, base: str) -> bool:
        """Whether what was kept is work on this base, which is put back into a worktree that was lost."""
        parents = (await git(root, "log", "-1", "--format=%P", kept, "--", timeout=self._timeout)).decode().split()
        return parents[:1] == [base]

    async def _clear(self, home: Path, repository: Repository) -> Path:
        """A free place to make a worktree in; what git remembers of one that is gone is forgotten, ours alone."""
        making = self.root / f"{home.parent.name}.making" / home.name
        for place in (making, home):
            if place == making or not await asyncio.to_thread(home.exists):
                await run(repository.root, "worktree", "remove", "-f", "-f", str(place), timeout=self._timeout)
        await asyncio.to_thread(shutil.rmtree, making.parent, ignore_errors=True)
        await asyncio.to_thread(making.parent.mkdir, parents=True, exist_ok=True)
        return making

    async def _relink(self, home: Path, repository: Repository, base: str) -> None:
        """Make git know a folder again whose link was pruned or broken; the folder's content stays as it is."""
        making = await self._clear(home, repository)
        add = ("worktree", "add", "-f", "-f", "--detach", "--no-checkout", str(making), base)
        await git(repository.root, *add, timeout=self._timeout)
        await asyncio.to_thread(_move_link, making, home)
        await git(repository.root, "worktree", "repair", str(home), timeout=self._timeout)
        await git(home, "reset", "--quiet", "--mixed", timeout=self._timeout)

    async def _follow(self, home: Path, session_id: str, base: str, now: Snapshot) -> str:
        """Move the worktree to what the user sees now, unless there is work in it; gives the base it is at."""
        await asyncio.to_thread(_drop_stale_lock, await self._index(home), self._timeout)
        mine = await snapshot(home, guarded=False, timeout=self._timeout)
        if mine.tree not in (now.tree, await tree_of(home, base, timeout=self._timeout)):
            return base
        await snapshot(home, guarded=False, in_place=True, timeout=self._timeout)
        await git(home, "checkout", "--quiet", "--force", "--detach", now.commit, timeout=self._timeout)
        await git(home, "update-ref", ref(session_id, "base"), now.commit, timeout=self._timeout)
        return now.commit

    async def _index(self, home: Path) -> Path:
        place = await git(home, "rev-parse", "--path-format=absolute", "--git-path", "index", timeout=self._timeout)
        return Path(os.fsdecode(place.removesuffix(b"\n")))

    async def _move_head(self, state: WorktreeState, base: str) -> None:
        """Let the agent's own `git status` show what is pending and no more, where it made no commits of its own.

        Only for show: where the agent's git is at work at this moment, it is left as it is.
        """
        head = await run(state.root, "rev-parse", "--verify", "HEAD", timeout=self._timeout)
        named = await run(state.root, "symbolic-ref", "--quiet", "HEAD", timeout=self._timeout)
        if named.code != 0 and head.out.decode().strip() == state.base_commit != base:
            await run(state.root, "update-ref", "--no-deref", "HEAD", base, state.base_commit, timeout=self._timeout)
            await run(state.root, "reset", "--quiet", "--mixed", timeout=self._timeout)

    async def _state(
        self, repository: Repository, session_id: str, home: Path, base: str, now: Snapshot
    ) -> WorktreeState:
        cwd = home / repository.subdirectory
        await asyncio.to_thread(cwd.mkdir, parents=True, exist_ok=True)
        return WorktreeState(
            session_id=session_id,
            repository=repository.toplevel,
            path=str(home),
            cwd=str(cwd),
            base_commit=base,
            files_left_out=now.left_out,
            stale=base != now.commit and await tree_of(home, base, timeout=self._timeout) != now.tree,
        )


def _why_not(path: Path, outcome: Outcome) -> CoderError:
    """Why git names no checkout for a directory."""
    if "must be run in a work tree" in outcome.err:
        return NotARepository(f"{path} is a bare repository or inside a .git folder: give a checkout of it.")
    if "not a git repository" in outcome.err:
        return NotARepository(f"{path} is in no git repository: run `git init` and commit once in it, then try again.")
    if "dubious ownership" in outcome.err:
        return GitError(
            f"The repository at {path} belongs to another user, so git does not trust it: if you do, run "
            f"`git config --global --add safe.directory {path}`, then try again."
        )
    return GitError(f"git does not read the repository at {path}: {outcome.reason}. Settle that, then try again.")


def _real_directory(path: Path) -> Path:
    try:
        real = path.expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # no home of that name; characters that no path has
        raise BadPath(f"There is no directory {path}: check the path, or create it first.") from error
    if not real.is_dir():
        raise BadPath(f"{path} is a file: give the directory that it lies in, {real.parent}.")
    return real


def _set_aside(place: Path, folder: Path) -> None:
    """Move what stands where something of ours has to be; its content may be somebody's work."""
    if os.path.lexists(place):
        place.rename(folder / f"{place.name}.aside-{time.time_ns()}")


def _put_in_place(making: Path, home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    making.rename(home)
    making.parent.rmdir()


def _move_link(making: Path, home: Path) -> None:
    if (home / ".git").is_dir():
        _set_aside(home / ".git", home.parent)
    (making / ".git").replace(home / ".git")
    shutil.rmtree(making.parent, ignore_errors=True)


def _leads_back(git_dir: Path, home: Path) -> bool:
    """Whether git would find the worktree from the repository; after a crash in mid-move it would prune it instead."""
    link = git_dir / "gitdir"
    return link.exists() and os.fsdecode(link.read_bytes()).strip() == str(home / ".git")


def _drop_stale_lock(index: Path, age: float) -> None:
    """Remove the lock that a killed git left: older than any git of ours can be."""
    lock = index.with_name(f"{index.name}.lock")
    if lock.exists() and time.time() - lock.stat().st_mtime > age:
        lock.unlink(missing_ok=True)
