"""The files of one session: its worktree before a turn, what the turn changed, and what is applied or rejected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from coder_nb.backends.base import Noticed
from coder_nb.core.changes import FileDelta
from coder_nb.core.entries import Checkpoint, FileChange
from coder_nb.core.values import Change, ChangeStatus
from coder_nb.runtime.context import Context
from coder_nb.store.base import Lease
from coder_nb.worktrees.state import WorktreeState


class Tree:
    """One session's worktree. One thing at a time is done to it: a turn's preparation, its changes, an apply."""

    def __init__(self, context: Context, session_id: str, path: str) -> None:
        self._context = context
        self.session_id, self._path = session_id, path
        self._state: WorktreeState | None = None
        self._before: str | None = None
        self._lock = asyncio.Lock()
        self.notices: list[Noticed] = []
        """What the last preparation has to say in the transcript."""

    async def prepare(self, lease: Lease, turn_id: str) -> tuple[Path, Checkpoint]:
        """The worktree, ready for a turn: where the agent works, and the checkpoint of how it was before."""
        async with self._lock:
            state = await self._ensure(lease)
            self._before = await self._context.worktrees.checkpoint(state, turn_id)
            return Path(state.cwd), Checkpoint(commit=self._before)

    async def changes(self, lease: Lease, chat_id: str, turn_id: str, agent: str) -> list[FileChange]:
        """Records what changed since the checkpoint as this agent's; older changes stay whose they are."""
        if self._state is None or self._before is None:
            return []
        async with self._lock:
            store = self._context.store.changes
            found = await self._context.worktrees.changes(self._state, before=self._before)
            pending = await store.pending(self.session_id)
            # Work of a turn that our own death cut short was never recorded: it is nobody's until now.
            known = {change.path for change in pending}
            unseen = [delta for delta in found if delta.touched or delta.path not in known]
            fresh = [self._change(delta, chat_id, turn_id, agent) for delta in unseen]
            if fresh:
                await store.record(lease, fresh)
            there = {delta.path for delta in found}
            gone = [change for change in pending if change.path not in there]
            decisions: dict[str, tuple[ChangeStatus, str]] = {
                change.id: ("superseded", "The agent has taken this back itself.") for change in gone
            }
            if decisions:
                await store.decide(lease, decisions, now=self._context.now())
            for elsewhere in {change.chat_id for change in pending} - {chat_id}:  # theirs may be superseded by now
                self._context.feed(elsewhere).tell(changes=True)
            self._before = None
            return [_entry_of(change) for change in fresh]

    @asynccontextmanager
    async def standing(self, lease: Lease) -> AsyncIterator[WorktreeState]:
        """The worktree as it stands, while nothing else is done to it."""
        async with self._lock:
            yield self._state or await self._ensure(lease)

    async def _ensure(self, lease: Lease) -> WorktreeState:
        context = self._context
        pending = await context.store.changes.pending(self.session_id)
        state = await context.worktrees.ensure(
            self.session_id, Path(self._path), has_pending=bool(pending), known=self._state
        )
        self.notices = notices(state, before=self._state)
        await self.keep(lease, state)
        return state

    async def keep(self, lease: Lease, state: WorktreeState) -> None:
        """Takes over a new state of the worktree."""
        if self._state is None or (state.path, state.base_commit) != (self._state.path, self._state.base_commit):
            await self._context.store.catalog.set_worktree(
                lease, self.session_id, path=state.path, branch=state.branch or "", base_commit=state.base_commit
            )
        self._state = state

    def _change(self, delta: FileDelta, chat_id: str, turn_id: str, agent: str) -> Change:
        return Change(
            id=self._context.new_id(),
            session_id=self.session_id,
            chat_id=chat_id,
            turn_id=turn_id,
            path=delta.path,
            operation=delta.operation,
            agent=agent,
            old_path=delta.old_path,
            additions=delta.additions,
            deletions=delta.deletions,
            binary=delta.binary,
            old_mode=delta.old_mode,
            new_mode=delta.new_mode,
            old_blob=delta.old_blob,
            new_blob=delta.new_blob,
            hunks=delta.hunks,
            cells=delta.cells,
            note=delta.note,
            created_at=self._context.now(),
        )


def notices(state: WorktreeState, *, before: WorktreeState | None) -> list[Noticed]:
    """What a person should know about the worktree that a turn starts with, said when it becomes true."""
    found: list[Noticed] = []
    if state.files_left_out and (before is None or before.files_left_out != state.files_left_out):
        listed = ", ".join(state.files_left_out[:8]) + (" ..." if len(state.files_left_out) > 8 else "")
        found.append(Noticed(text=f"Left out of the agent's worktree: {listed}.", code="files_left_out"))
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
