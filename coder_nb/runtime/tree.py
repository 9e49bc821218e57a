"""The files of one session: its worktree before a turn, what the turn changed, and what is applied or rejected."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from coder_nb.backends.events import Noticed
from coder_nb.core.changes import Change, ChangeStatus, FileDelta, as_it_is
from coder_nb.core.entries import Checkpoint, FileChange
from coder_nb.core.sessions import SessionInfo
from coder_nb.runtime.context import Context
from coder_nb.runtime.outside import Watch, listed
from coder_nb.store.base import Lease
from coder_nb.worktrees.python import environment
from coder_nb.worktrees.state import WorktreeState


class Tree:
    """One session's worktree. One thing at a time is done to it: a turn's preparation, its changes, an apply."""

    def __init__(self, context: Context, session_id: str, path: str) -> None:
        self._context = context
        self.session_id, self._path = session_id, path
        self._state: WorktreeState | None = None
        self._before: str | None = None
        self._watch = Watch(context.worktrees)
        self._lock = asyncio.Lock()
        self.notices: list[Noticed] = []
        """What the last preparation has to say in the transcript."""

    async def prepare(self, lease: Lease, turn_id: str) -> tuple[Path, Checkpoint]:
        """The worktree, ready for a turn: where the agent works, and the checkpoint of how it was before."""
        async with self._lock:
            state = await self._ensure(lease)
            self._before = await self._context.worktrees.checkpoint(state, turn_id)
            await self._watch.begin(state)
            return Path(state.cwd), Checkpoint(commit=self._before)

    async def changes(self, lease: Lease, chat_id: str, turn_id: str, agent: str) -> list[FileChange]:
        """Records what changed since the checkpoint as this agent's; older changes stay whose they are."""
        if self._state is None or self._before is None:
            return []
        async with self._lock:
            store = self._context.store.changes
            found = await self._context.worktrees.changes(self._state, before=self._before)
            pending = await store.pending(self.session_id)
            unseen = await self._unseen(found, pending)
            fresh = [self._change(d, chat_id, turn_id, agent if d.touched else None) for d in unseen]
            if fresh:
                await store.record(lease, fresh)
            await self._supersede(lease, found, pending, "The agent has taken this back itself.")
            for elsewhere in {change.chat_id for change in pending} - {chat_id}:  # theirs may be superseded by now
                self._context.feed(elsewhere).tell(changes=True)
            self._before = None
            return [_entry_of(change) for change in fresh]

    async def outside(self, notebook: str | None, acted_on: str) -> list[Noticed]:
        """What the turn, or somebody meanwhile, did to the checkout other than by an apply; see `Watch.end`."""
        if self._state is None:
            return []
        async with self._lock:
            return await self._watch.end(self._state, notebook, acted_on)

    def environment(self, python: str) -> dict[str, str]:
        """The variables by which an agent finds the notebook's Python, and with it the worktree's packages."""
        state = self._state
        if state is None:
            return {}
        return environment(python or sys.executable, state.checkout, state.root, os.environ)

    @asynccontextmanager
    async def standing(self, lease: Lease) -> AsyncIterator[WorktreeState]:
        """The worktree as it stands, while nothing else is done to it."""
        async with self._lock:
            state = self._state or await self._ensure(lease)
            async with self._watch.ours(state):
                yield state

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Within, nothing is done to the worktree, and it is not made where there is none."""
        async with self._lock:
            yield

    @property
    def busy(self) -> bool:
        """Whether something is done to the worktree at this moment."""
        return self._lock.locked()

    def forget(self) -> None:
        """The worktree is gone: the next turn makes another one."""
        self._state = self._before = None

    async def recount(self, lease: Lease, chat_id: str, turn_id: str) -> None:
        """Brings the pending changes up to what the worktree holds after a restore; within `standing`.

        What an agent had done before and what is there again is that agent's again; anything else is nobody's.
        """
        state = self._state
        if state is None:
            return
        store = self._context.store.changes
        found = await self._context.worktrees.changes(state, before=state.base_commit)
        pending = await store.pending(self.session_id)
        there = {(change.path, change.new_blob, change.new_mode, change.operation) for change in pending}
        fresh = [d for d in found if (d.path, d.new_blob, d.new_mode, d.operation) not in there]
        earlier = {(c.path, c.new_blob): c for c in await store.of_session(self.session_id)} if fresh else {}
        changes = []
        for delta in fresh:
            known = earlier.get((delta.path, delta.new_blob))
            whose = (known.chat_id, known.turn_id, known.agent) if known else (chat_id, turn_id, None)
            changes.append(self._change(delta, *whose))
        await self._supersede(lease, found, pending, "A restore has taken this back.")
        if changes:
            await store.record(lease, changes)
        for elsewhere in {change.chat_id for change in (*pending, *changes)}:
            self._context.feed(elsewhere).tell(changes=True)

    async def _unseen(self, found: list[FileDelta], pending: Sequence[Change]) -> list[FileDelta]:
        """The differences that are to be recorded: what the turn touched, and what no change accounts for.

        The latter is work of a turn that our own death cut short, or a user's own edit in the worktree. In the checkout
        itself, such an edit is the user's business.
        """
        known = {change.path for change in pending}
        if self._state is None or self._state.isolation == "none":
            return [delta for delta in found if delta.touched]
        return [delta for delta in found if delta.touched or delta.path not in known]

    async def _supersede(self, lease: Lease, found: list[FileDelta], pending: Sequence[Change], why: str) -> None:
        """Decides about changes that are not there any more; what the base has already was applied (a crash came before
        that was written down)."""
        there = {delta.path for delta in found}
        gone = [change for change in pending if change.path not in there]
        if not gone or self._state is None:
            return
        landed, taken_back = await self._context.worktrees.in_base(self._state, gone)
        decisions: dict[str, tuple[ChangeStatus, str]] = {change.id: ("applied", "") for change in landed}
        decisions |= {change.id: ("superseded", why) for change in taken_back}
        if decisions:
            await self._context.store.changes.decide(lease, decisions, now=self._context.now())

    async def _ensure(self, lease: Lease) -> WorktreeState:
        context = self._context
        session = await context.store.catalog.get_session(self.session_id)
        first = self._state is None
        gone = self._state is not None and not await asyncio.to_thread(Path(self._state.cwd).is_dir)
        state = await self._made(session)
        if first and await self._settle_restores(state, session):
            state = await self._made(session)
        if first:
            await context.worktrees.prune(state, now=context.now() / 1000)
        if gone:  # the agents stand in a folder that is no more, though its place is taken again
            await asyncio.gather(*(context.pool.retire_chat(chat_id) for chat_id in session.chats))
        self.notices = notices(state, before=self._state)
        await self.keep(lease, state)
        return state

    async def _made(self, session: SessionInfo) -> WorktreeState:
        pending = await self._context.store.changes.pending(self.session_id)
        return await self._context.worktrees.ensure(
            self.session_id,
            Path(self._path),
            has_pending=bool(pending),
            known=self._state,
            isolation=session.isolation,
            base=session.base,
            pending=pending,
        )

    async def _settle_restores(self, state: WorktreeState, session: SessionInfo) -> bool:
        """Takes back what a restore wrote before a crash, unless its entry is in the log; whether there was any."""
        cut_short = await self._context.worktrees.unsettled(state)
        for restore_id in cut_short:
            logs = [await self._context.store.log.landmarks(chat_id) for chat_id in session.chats]
            counts = any(entry.id == restore_id for log in logs for entry in log)
            await self._context.worktrees.settle_restore(state, restore_id, counts=counts)
        return bool(cut_short)

    async def keep(self, lease: Lease, state: WorktreeState) -> None:
        """Takes over a new state of the worktree."""
        if self._state is None or (state.path, state.base_commit) != (self._state.path, self._state.base_commit):
            await self._context.store.trees.record(
                lease,
                self.session_id,
                path=state.path,
                branch=state.branch or "",
                base_commit=state.base_commit,
                checkout=state.repository,
            )
        self._state = state

    def _change(self, delta: FileDelta, chat_id: str, turn_id: str, agent: str | None) -> Change:
        change = Change(
            id=self._context.new_id(),
            session_id=self.session_id,
            chat_id=chat_id,
            turn_id=turn_id,
            path=delta.path,
            operation=delta.operation,
            agent=agent,
            created_at=self._context.now(),
        )
        return as_it_is(delta, change)


def notices(state: WorktreeState, *, before: WorktreeState | None) -> list[Noticed]:
    """What a person should know about the worktree that a turn starts with, said when it becomes true."""
    found: list[Noticed] = []
    if state.files_left_out and (before is None or before.files_left_out != state.files_left_out):
        where = "worktree" if state.isolation == "worktree" else "checkpoints"
        text = f"Left out of the agent's {where}: {listed(state.files_left_out)}."
        found.append(Noticed(text=text, code="files_left_out"))
    if state.stale and not (before and before.stale):
        text = (
            "Your checkout has moved on, and the worktree could not follow while changes are pending: "
            "apply or reject them, then the next turn starts from what you have now."
        )
        found.append(Noticed(text=text, code="worktree_stale", level="warning"))
    return found


def _entry_of(change: Change) -> FileChange:
    return FileChange(
        change_id=change.id,
        path=change.path,
        operation=change.operation,
        old_path=change.old_path,
        additions=change.additions,
        deletions=change.deletions,
        binary=change.binary,
    )
