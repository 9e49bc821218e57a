"""Forks: where the files of a new chat come from, and what is taken away again where one of the steps fails."""

from __future__ import annotations

from pathlib import Path

from coder_nb import ids
from coder_nb.core import export
from coder_nb.core.changes import Change
from coder_nb.core.copies import Files
from coder_nb.core.entries import Checkpoint, TurnEnded
from coder_nb.core.sessions import ChatInfo
from coder_nb.runtime import copying
from coder_nb.runtime.context import Context
from coder_nb.runtime.tree import Tree
from coder_nb.store.base import Lease


async def fork(
    context: Context,
    lease: Lease,
    source: ChatInfo,
    tree: Tree,
    *,
    turn_id: str | None,
    files: Files,
    name: str | None,
) -> str:
    """Makes the fork, on the same worktree, a copy of it, or one that is made anew; returns the new chat's id."""
    export.kept_turns(await context.store.turns.of_chat(source.id), turn_id)
    if files == "shared":
        return await copying.forked(context, lease, source, source.session_id, turn_id=turn_id, name=name)
    session = await context.store.catalog.get_session(source.session_id)
    made = await context.store.catalog.open_session(
        session.owner,
        session.path,
        name=f"{session.name}-fork",
        new=True,
        session_id=ids.new_id(),
        now=context.now(),
    )
    path = Path(session.path)
    try:
        pending: tuple[Change, ...] = ()
        if files == "cloned":
            at = await _checkpoint_after(context, source.id, turn_id)
            async with tree.standing(lease) as state:
                await context.worktrees.clone(state, made.id, path, at=at)
            pending = () if at else await context.store.changes.pending(session.id)
        return await copying.forked(
            context, lease, source, made.id, turn_id=turn_id, name=name or source.name, pending=pending
        )
    except BaseException:
        await context.worktrees.remove(made.id, path, forget=True)
        await context.store.catalog.delete_session(lease, made.id)
        raise


async def _checkpoint_after(context: Context, chat_id: str, turn_id: str | None) -> str | None:
    """How the worktree was at the end of a turn: the checkpoint of the next one; None where it is as it was then."""
    if turn_id is None:
        return None
    entries = (await context.store.log.tail(chat_id, 2**62)).entries
    ended = next((e.pos for e in entries if e.turn_id == turn_id and isinstance(e.body, TurnEnded)), None)
    later = (e.body.commit for e in entries if ended is not None and e.pos > ended and isinstance(e.body, Checkpoint))
    return next(later, None)
