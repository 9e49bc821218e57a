"""Each session's worktree: made, mended, moved on, looked at, gone back in, reviewed from, and removed.

All state is in git: a worktree on a detached HEAD, and private refs under ``refs/coder-nb/<session id>/``:
``base`` (what the user saw), ``kept`` (a chain of all that a change may still need), ``checkpoints/<id>`` (the files as
they were before a turn or a restore), ``restoring/<id>`` (what a restore was about to bring back) and ``undo/*``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from coder_nb.core.changes import Change, FileDelta
from coder_nb.core.parts import inverse
from coder_nb.core.risk import Risk
from coder_nb.core.sessions import Isolation
from coder_nb.errors import ApplyConflict, BadPath, CoderError, GitError, InvalidOption, NoCommit, NotARepository
from coder_nb.settings import Settings
from coder_nb.worktrees import checkpoints, keeping, outside, removal, review, risk, shadow
from coder_nb.worktrees.commits import tree_with
from coder_nb.worktrees.deltas import keep, list_deltas
from coder_nb.worktrees.git import Outcome, git, run, shadowed
from coder_nb.worktrees.making import MARK, Making, store_mark
from coder_nb.worktrees.snapshot import (
    Sieve,
    Snapshot,
    commit_tree,
    head_of,
    of_worktree,
    private_commit,
    resolve,
    snapshot,
    tree_of,
)
from coder_nb.worktrees.state import Applied, Repository, WorktreeState, ref

_replace = msgspec.structs.replace


class Worktrees:
    """The worktrees of all sessions, under one folder. Calls for one repository run one after another."""

    def __init__(self, root: Path, settings: Settings | None = None) -> None:
        self.root = root.expanduser().resolve()
        self.timeout = (settings or Settings()).git_timeout
        self._settings = settings or Settings()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def at(self, place: WorktreeState | Repository) -> AsyncIterator[None]:
        """Within, nobody else works on the repository, and git finds it also where it is a shadow."""
        toplevel = place.repository if isinstance(place, WorktreeState) else place.toplevel
        lock = self._locks.get(toplevel)
        if lock is None:
            lock = self._locks[toplevel] = asyncio.Lock()
        async with lock:
            with shadowed(toplevel, place.shadow):
                yield

    async def locate(self, path: Path) -> Repository:
        """The repository of a directory, a shadow where it has none.

        Raises `BadPath`, `NoCommit`, or `NotARepository` for what no agent can work on, with the cure.
        """
        real = await asyncio.to_thread(_real_directory, path)
        places = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir")
        found = await run(real, *places, "HEAD^{commit}", timeout=self.timeout)
        born = found.code == 0
        if not born:
            found = await run(real, *places, timeout=self.timeout)
        if found.code != 0:
            if "not a git repository" in found.err:
                return shadow.of(self.root, real)
            raise _why_not(real, found)
        toplevel, common_dir = os.fsdecode(found.out).removesuffix("\n").split("\n")[:2]
        if not born:
            raise NoCommit(
                f"The repository {toplevel} has no commit yet: commit once in it "
                f"(`git commit --allow-empty -m start`), then try again."
            )
        return Repository(path=str(real), toplevel=toplevel, common_dir=common_dir)

    async def ensure(
        self,
        session_id: str,
        path: Path,
        *,
        has_pending: bool,
        known: WorktreeState | None = None,
        isolation: Isolation = "worktree",
        base: str | None = None,
        pending: Sequence[Change] = (),
    ) -> WorktreeState:
        """The session's worktree, ready for a turn: made, mended, or moved on to what the user sees now.

        With pending changes it stays at its base and is `stale` where the checkout has moved on; a worktree with work
        in it that no change accounts for is treated the same. `known` helps where the private refs were lost. With a
        `base`, what it follows is that commit or branch. With isolation ``none`` it is the checkout itself, and its
        base is what is there but for the `pending` changes.
        """
        repository = await self.locate(path)
        async with self.at(repository):
            if repository.shadow:
                await shadow.ensure(repository, files=self._settings.shadow_files, timeout=self.timeout)
            now = await self._seen(repository, base)
            if isolation == "none":
                return await self._in_place(repository, session_id, now, pending)
            making = Making(self.root, self._settings, repository, session_id)
            return await making.ready(now, has_pending=has_pending, known=known, requested=base is not None)

    async def checkpoint(self, state: WorktreeState, turn_id: str) -> str:
        """Keep the worktree's content as it is before a turn; gives the commit."""
        async with self.at(state):
            return await checkpoints.take(state, turn_id, timeout=self.timeout)

    async def restore(self, state: WorktreeState, checkpoint: str, *, restore_id: str) -> str:
        """Give the files back what they held at a checkpoint, by its id; how they are now is a checkpoint first.

        The new checkpoint has the id `restore_id`; gives its commit.

        Until `settle_restore` says that it counts, a crash takes it back. `Conflict` names what could not be written;
        then nothing was.
        """
        async with self.at(state):
            await keep(state, timeout=self.timeout)
            return await checkpoints.restore(state, checkpoint, restore_id, timeout=self.timeout)

    async def unsettled(self, state: WorktreeState) -> tuple[str, ...]:
        """The ids of restores that were not settled, as a crash came between."""
        async with self.at(state):
            return await checkpoints.unsettled(state, timeout=self.timeout)

    async def settle_restore(self, state: WorktreeState, restore_id: str, *, counts: bool) -> None:
        """Leave a restore as it is, or where it does not count, take it back."""
        async with self.at(state):
            await checkpoints.settle(state, restore_id, counts=counts, timeout=self.timeout)

    async def checkpoint_ids(self, session_id: str, path: Path) -> frozenset[str]:
        """The ids of all checkpoints of a session that are still kept."""
        repository = await self.locate(path)
        async with self.at(repository):
            return await checkpoints.kept(repository.root, session_id, timeout=self.timeout)

    async def prune(self, state: WorktreeState, *, now: float) -> int:
        """Forget checkpoints beyond the settings' age and count; gives how many."""
        age, most = self._settings.checkpoint_days * 86_400, self._settings.checkpoint_limit
        async with self.at(state):
            return await checkpoints.prune(state, oldest=now - age, most=most, timeout=self.timeout)

    async def changes(self, state: WorktreeState, *, before: str) -> list[FileDelta]:
        """All that differs between the base and the worktree now; `touched` tells what changed since `before`."""
        async with self.at(state):
            return await list_deltas(state, before, timeout=self.timeout)

    async def in_base(
        self, state: WorktreeState, changes: Sequence[Change]
    ) -> tuple[Sequence[Change], Sequence[Change]]:
        """Of changes that the worktree does not show: those that are in its base, and those that were taken back.

        Where the base is neither before nor after a change, the user has edited the file in place: it is in neither.
        """
        async with self.at(state):
            root, base = state.root, state.base_commit
            landed = await checkpoints.as_left(root, base, changes, timeout=self.timeout)
            others = [change for change in changes if change not in landed]
            if state.isolation == "worktree":
                return landed, others
            undone = await checkpoints.as_left(root, base, [inverse(one) for one in others], timeout=self.timeout)
            ids = {change.id for change in undone}
            return [], [change for change in others if change.id in ids]

    async def look_outside(self, state: WorktreeState) -> outside.Seen:
        """A look at the checkout, to be compared with a later one by `outside.difference`."""
        with shadowed(state.repository, state.shadow):
            return await outside.look(state.checkout, timeout=self.timeout)

    async def apply(self, state: WorktreeState, change: Change | FileDelta) -> Applied:
        """Bring one file's change into the checkout, wholly or not at all; applying twice is applying once (law 16).

        The user's index is not touched. Follow it with `rebase_after_apply`, or the change will show again. What an
        agent did in the checkout itself is there already.
        """
        if state.isolation == "none":
            return Applied(path=change.path, status="applied")
        kept_as = ref(state.session_id, "undo", change.id) if isinstance(change, Change) else None
        async with self.at(state):
            return await review.apply(state.checkout, change, timeout=self.timeout, kept_as=kept_as)

    async def reject(self, state: WorktreeState, change: Change | FileDelta) -> None:
        """Give the worktree's file its base content back. `Conflict` where the worktree no longer has room for it.

        In the checkout itself, what the user did to the file since stays; `ApplyConflict` where that is not clear.
        """
        async with self.at(state):
            await keep(state, timeout=self.timeout)
            if state.isolation == "none" and isinstance(change, Change):
                done = await review.apply(state.checkout, inverse(change), timeout=self.timeout)
                if done.status == "conflict":
                    raise ApplyConflict(done.note)
            else:
                await review.reject(state.root, change, timeout=self.timeout)
            await keep(state, timeout=self.timeout)

    async def rebase_after_apply(self, state: WorktreeState, applied: Sequence[Change | FileDelta]) -> WorktreeState:
        """The state whose base has these changes in it, so that they do not show again and all others still do."""
        async with self.at(state):
            tree = await tree_with(state.root, state.base_commit, applied, timeout=self.timeout)
        return await self.rebase_onto(state, tree)

    async def rebase_onto(self, state: WorktreeState, tree: str) -> WorktreeState:
        """The state whose base has this content."""
        async with self.at(state):
            under = await head_of(state.root, state.base_commit, timeout=self.timeout)
            base = await private_commit(state.root, tree, under, timeout=self.timeout)
            moved = _replace(state, base_commit=base)
            await keep(moved, timeout=self.timeout)
            await git(state.root, "update-ref", ref(state.session_id, "base"), base, timeout=self.timeout)
            if state.isolation == "worktree":
                await self._move_head(state, base)
            return moved

    async def clone(self, state: WorktreeState, session_id: str, path: Path, *, at: str | None = None) -> WorktreeState:
        """A worktree for another session on `path`, with the same base, and the uncommitted work that this one holds,
        or held at the commit of a checkpoint."""
        repository = await self.locate(path)
        async with self.at(state):
            base, root = state.base_commit, state.root
            commit = at or (await of_worktree(state, timeout=self.timeout)).commit
            tree, time = await tree_of(root, commit, timeout=self.timeout), (await self._time_of(root, commit))
            parents, title = [base, commit], "The worktree as it was"
            kept = await commit_tree(root, tree, parents, title, time, timeout=self.timeout)
            for name, commit in (("base", base), ("kept", kept)):
                await git(state.root, "update-ref", ref(session_id, name), commit, timeout=self.timeout)
            seen = await self._seen(repository, None)
            making = Making(self.root, self._settings, repository, session_id)
            return await making.ready(seen, has_pending=True, known=None, requested=False)

    # The end of a worktree -------------------------------------------------------------------------------------------

    async def inspect(self, session_id: str, home: Path, checkout: Path | None, *, pending: int = 0) -> Risk:
        """What would be lost with a worktree's folder; never raises: a failure is in the report, and "at risk"."""
        return await risk.inspect(
            session_id, home, checkout, listed=self._settings.copy_ignored, pending=pending, timeout=self.timeout
        )

    async def remove(self, session_id: str, checkout: Path | None, *, forget: bool) -> None:
        """Removes a session's worktree, whatever is in it; again after a crash, it finishes. `forget` the refs too."""
        repository = None if checkout is None else await self._repository_of(checkout)
        if repository is None:
            await removal.remove(self.root, session_id, None, forget=forget, timeout=self.timeout)
            return
        async with self.at(repository):
            await removal.remove(self.root, session_id, repository.root, forget=forget, timeout=self.timeout)

    async def finish(self, session_id: str) -> None:
        """Deletes what a removal that was cut short has left."""
        await removal.finish(self.root, session_id)

    def is_foreign(self, session_id: str) -> bool:
        """Whether another store has made a session's folder; blocks for a look at it."""
        try:
            return (self.root / session_id / MARK).read_text() != store_mark(self._settings)
        except OSError:
            return False

    async def stash(self, state: WorktreeState, title: str) -> None:
        """Put all work in the worktree that is not committed into the repository's stash; it is clean then."""
        async with self.at(state):
            await keeping.stash(state, title, timeout=self.timeout)

    async def keep_branch(self, state: WorktreeState, name: str, title: str) -> str:
        """Commit all work in the worktree to a new branch, which then has it alone; gives the commit."""
        async with self.at(state):
            return await keeping.branch(state, name, title, timeout=self.timeout)

    # Within ----------------------------------------------------------------------------------------------------------

    async def _repository_of(self, checkout: Path) -> Repository | None:
        """The repository of a checkout that may be gone."""
        try:
            return await self.locate(checkout)
        except (BadPath, NotARepository, NoCommit):
            return None

    async def _time_of(self, root: Path, commit: str) -> str:
        return (await head_of(root, commit, timeout=self.timeout)).time

    async def _seen(self, repository: Repository, base: str | None) -> Snapshot:
        """What a session begins with: the checkout as it is, or a commit that was asked for."""
        if base is None:
            sieve = Sieve(guarded=True, limit=self._settings.large_file)
            own_index = bool(repository.shadow)
            return await snapshot(repository.root, sieve=sieve, in_place=own_index, timeout=self.timeout)
        commit = await resolve(repository.root, base, timeout=self.timeout)
        if commit is None:
            raise InvalidOption(f"There is no commit or branch {base!r} in {repository.toplevel}: check its name.")
        head = await head_of(repository.root, commit, timeout=self.timeout)
        return Snapshot(commit=commit, tree=await tree_of(repository.root, commit, timeout=self.timeout), head=head)

    async def _in_place(
        self, repository: Repository, session_id: str, now: Snapshot, pending: Sequence[Change]
    ) -> WorktreeState:
        """The checkout as its own worktree; a pending change that the user has edited since is not taken out."""
        root = repository.root
        untouched = await checkpoints.as_left(root, now.commit, pending, timeout=self.timeout)
        tree = await tree_with(root, now.commit, [inverse(one) for one in untouched], timeout=self.timeout)
        base = await private_commit(root, tree, now.head, timeout=self.timeout)
        await git(root, "update-ref", ref(session_id, "base"), base, timeout=self.timeout)
        return WorktreeState(
            session_id=session_id,
            repository=repository.toplevel,
            path=repository.toplevel,
            cwd=repository.path,
            base_commit=base,
            files_left_out=now.left_out,
            isolation="none",
            shadow=repository.shadow,
            large=self._settings.large_file,
        )

    async def _move_head(self, state: WorktreeState, base: str) -> None:
        """Let the agent's own `git status` show what is pending and no more, where it made no commits of its own.

        Only for show: where the agent's git is at work at this moment, it is left as it is.
        """
        head = await run(state.root, "rev-parse", "--verify", "HEAD", timeout=self.timeout)
        named = await run(state.root, "symbolic-ref", "--quiet", "HEAD", timeout=self.timeout)
        if named.code != 0 and head.out.decode().strip() == state.base_commit != base:
            await run(state.root, "update-ref", "--no-deref", "HEAD", base, state.base_commit, timeout=self.timeout)
            await run(state.root, "reset", "--quiet", "--mixed", timeout=self.timeout)


def _why_not(path: Path, outcome: Outcome) -> CoderError:
    """Why git names no checkout for a directory."""
    if "must be run in a work tree" in outcome.err:
        return NotARepository(f"{path} is a bare repository or inside a .git folder: give a checkout of it.")
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
