"""Routes about going back, and about the end of chats, sessions and worktrees: one call of the runtime each."""

from __future__ import annotations

from msgspec import Struct

from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.risk import Risk, WorktreeInfo
from coder_nb.core.verbs import Verbs


class Restore(Struct, frozen=True, kw_only=True):
    """What to bring back, to before which turn or restore."""

    turn_id: str
    files: bool = True
    conversation: bool = True


class Restored(Struct, frozen=True, kw_only=True):
    undo: str
    """What to restore to in order to take it back."""


class Force(Struct, frozen=True, kw_only=True):
    """Whether work that nobody has applied may be lost by it."""

    force: bool = False


class Branch(Struct, frozen=True, kw_only=True):
    name: str


class Reap(Struct, frozen=True, kw_only=True):
    dry_run: bool = False


async def checkpoints(runtime: Verbs, chat_id: str) -> tuple[CheckpointInfo, ...]:
    return await runtime.checkpoints(chat_id)


async def restore(runtime: Verbs, chat_id: str, body: Restore) -> Restored:
    undo = await runtime.restore(chat_id, body.turn_id, files=body.files, conversation=body.conversation)
    return Restored(undo=undo)


async def risk(runtime: Verbs, session_id: str) -> Risk:
    return await runtime.risk(session_id)


async def stash(runtime: Verbs, session_id: str) -> Risk:
    return await runtime.stash(session_id)


async def keep_branch(runtime: Verbs, session_id: str, body: Branch) -> Risk:
    return await runtime.keep_branch(session_id, body.name)


async def close_session(runtime: Verbs, session_id: str, body: Force) -> None:
    await runtime.close_session(session_id, force=body.force)


async def delete_session(runtime: Verbs, session_id: str, query: Force) -> None:
    await runtime.delete_session(session_id, force=query.force)


async def close_chat(runtime: Verbs, chat_id: str, body: Force) -> None:
    await runtime.close_chat(chat_id, force=body.force)


async def delete_chat(runtime: Verbs, chat_id: str, query: Force) -> None:
    await runtime.delete_chat(chat_id, force=query.force)


async def worktrees(runtime: Verbs) -> tuple[WorktreeInfo, ...]:
    return await runtime.worktrees()


async def reap(runtime: Verbs, body: Reap) -> tuple[WorktreeInfo, ...]:
    return await runtime.reap(dry_run=body.dry_run)
