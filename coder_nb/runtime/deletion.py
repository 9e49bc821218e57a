"""The end of chats, sessions and their worktrees: what would be lost is asked first, and a crash is finished later.

A worktree's row is marked first (the tombstone), then it is looked what would be lost, then the folder goes. What a
crash leaves is finished by `recover` under the next lease: what had not been renamed yet is looked at again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from msgspec.structs import replace

from coder_nb.core.changes import ChangeStatus
from coder_nb.core.risk import Risk, weighed
from coder_nb.core.sessions import ChatInfo, SessionInfo
from coder_nb.errors import AtRisk, CoderError, Conflict
from coder_nb.runtime.context import Context
from coder_nb.runtime.runner import Runner
from coder_nb.store.base import Lease, TreeRow, TreeStatus

_log = logging.getLogger("coder_nb.deletion")
_OPEN: tuple[TreeStatus, ...] = ("active", "closing", "deleting")
STOP_WAIT = 30.0
"""Seconds that a turn gets to end where its session is closed by force."""


async def risk(context: Context, session: SessionInfo) -> Risk:
    """What would be lost with a session's worktree."""
    if session.isolation == "none":
        return Risk(session_id=session.id)
    row = await _row_of(context, session.id)
    pending = len(await context.store.changes.pending(session.id))
    if row is not None and row.host != context.host:
        where = f"The worktree lies on {row.host}, and this is {context.host}: look there."
        return weighed(Risk(session_id=session.id, worktree=row.path, pending=pending, error=where))
    home = await asyncio.to_thread(_home, context.worktrees.root / session.id, row)
    if home is None:
        return weighed(Risk(session_id=session.id, pending=pending))
    checkout = Path(row.checkout) if row and row.checkout else Path(session.path)
    return await context.worktrees.inspect(session.id, home, checkout, pending=pending)


async def close_session(context: Context, lease: Lease, session: SessionInfo, runner: Runner, *, force: bool) -> None:
    """Ends a session's agents and its worktree, and puts it away; its chats stay, to read and to go on with."""
    await _end(context, lease, session, runner, "closing", force=force)
    await context.store.catalog.archive_session(lease, session.id, at=context.now())


async def delete_session(context: Context, lease: Lease, session: SessionInfo, runner: Runner, *, force: bool) -> None:
    """Ends a session's agents and its worktree, and removes it with all its chats."""
    await _end(context, lease, session, runner, "deleting", force=force)
    await context.store.catalog.delete_session(lease, session.id)


async def close_chat(context: Context, lease: Lease, chat: ChatInfo, runner: Runner, *, force: bool) -> None:
    """Ends a chat's agents and puts it away; only a session's last one takes the worktree with it."""
    session = await context.store.catalog.get_session(chat.session_id)
    if await _others(context, chat):
        await _end_chat(context, chat, runner, force=force)
    else:
        await _end(context, lease, session, runner, "closing", force=force)
    await context.store.catalog.archive_chat(lease, chat.id, at=context.now())


async def delete_chat(context: Context, lease: Lease, chat: ChatInfo, runner: Runner, *, force: bool) -> None:
    """Ends a chat's agents and removes it; only a session's last one takes the worktree with it."""
    session = await context.store.catalog.get_session(chat.session_id)
    if await _others(context, chat):
        mine = [c for c in await context.store.changes.pending(session.id) if c.chat_id == chat.id]
        if mine and not force:
            raise _refusal(weighed(Risk(session_id=session.id, worktree=session.worktree, pending=len(mine))))
        await _end_chat(context, chat, runner, force=force)
    else:
        await _end(context, lease, session, runner, "closing", force=force)
    await context.store.catalog.delete_chat(lease, chat.id)


async def stash(context: Context, lease: Lease, session: SessionInfo, runner: Runner) -> Risk:
    """Puts the worktree's uncommitted work into the repository's stash; gives what is still at risk."""
    _check_idle(runner)
    async with runner.tree.standing(lease) as state:
        await context.worktrees.stash(state, f"coder-nb: {session.title or session.name}")
        await _let_go(context, lease, session.id, "It is in the repository's stash: `git stash list` shows it.")
    return await risk(context, session)


async def keep_branch(context: Context, lease: Lease, session: SessionInfo, runner: Runner, name: str) -> Risk:
    """Commits the worktree's work to a new branch; gives what is still at risk."""
    _check_idle(runner)
    async with runner.tree.standing(lease) as state:
        commit = await context.worktrees.keep_branch(state, name, session.title or f"Work of {session.name}")
        await _let_go(context, lease, session.id, f"It is on the branch {name}, in commit {commit[:10]}.")
    return await risk(context, session)


async def begun(context: Context) -> frozenset[str]:
    """The working directories of sessions whose end was begun here, or whose worktree is not where it was."""
    sessions = {session.id: session.path for session in await context.store.catalog.sessions()}
    rows = [row for row in await context.store.trees.rows() if row.host == context.host]
    paths: set[str] = set()
    for row in rows:
        gone = row.status == "active" and not await asyncio.to_thread(os.path.lexists, row.path)
        if row.session_id in sessions and (gone or row.status in ("closing", "deleting")):
            paths.add(sessions[str(row.session_id)])
    return frozenset(paths)


async def recover(context: Context, lease: Lease) -> None:
    """Finishes, or takes back, what a crash left of ends that were begun on a working directory."""
    rows = [row for row in await context.store.trees.rows() if row.session_id and row.host == context.host]
    mine = {session.id: session for session in await context.store.catalog.sessions() if session.path == lease.path}
    for row in rows:
        session = mine.get(row.session_id or "")
        if session is None:
            continue
        try:
            if row.status in ("closing", "deleting"):
                await _finish(context, lease, session, row)
            elif row.status == "active" and not await asyncio.to_thread(os.path.lexists, row.path):
                await context.store.trees.mark(lease, session.id, "removed", was=("active",))
        except CoderError as error:
            _log.error("the end of session %s could not be finished: %s", session.id, error.message)


async def _finish(context: Context, lease: Lease, session: SessionInfo, row: TreeRow) -> None:
    found = await risk(context, session)
    if found.worktree is not None and found.at_risk:
        await context.store.trees.mark(lease, session.id, "active", was=("closing", "deleting"))
        return
    await _remove(context, lease, session, row.status)
    if row.status == "deleting":
        await context.store.catalog.delete_session(lease, session.id)
    else:
        await context.store.catalog.archive_session(lease, session.id, at=context.now())


async def _end(
    context: Context, lease: Lease, session: SessionInfo, runner: Runner, how: TreeStatus, *, force: bool
) -> None:
    """The worktree's end: tombstone, preflight, removal."""
    if runner.ending:
        raise Conflict("This session is being closed or deleted at this moment: wait for it.")
    runner.ending = True
    try:
        await _quiet(runner, force=force)
        await context.store.trees.mark(lease, session.id, how, was=_OPEN)
        async with runner.tree.alone():
            found = await risk(context, session)
            if found.at_risk and not force:
                await context.store.trees.mark(lease, session.id, "active", was=(how,))
                raise _refusal(found)
            for chat in await context.store.catalog.chats(session.id):
                await context.pool.retire_chat(chat.id)
            await _remove(context, lease, session, how)
            runner.tree.forget()
    finally:
        runner.ending = False
        runner.wake()


async def _remove(context: Context, lease: Lease, session: SessionInfo, how: TreeStatus) -> None:
    row = await _row_of(context, session.id)
    if session.isolation == "worktree" and (row is None or row.host == context.host):
        checkout = Path(row.checkout) if row and row.checkout else Path(session.path)
        await context.worktrees.remove(session.id, checkout, forget=how == "deleting")
    if how != "deleting":
        await _let_go(context, lease, session.id, "Its worktree was removed.")
    await context.store.trees.mark(lease, session.id, "removed", was=_OPEN)


async def _end_chat(context: Context, chat: ChatInfo, runner: Runner, *, force: bool) -> None:
    if runner.turn is not None and runner.turn.chat_id == chat.id:
        await _quiet(runner, force=force)
    await context.pool.retire_chat(chat.id)


async def _quiet(runner: Runner, *, force: bool) -> None:
    """Lets no turn run: raises `Conflict` where one does, and with `force` stops it."""
    if runner.turn is None:
        return
    if not force:
        raise Conflict("An agent is working here: stop it or wait for it, then close; or say `force=True`.")
    await runner.turn.stop(message="Its session was closed.", code="closed")
    async with asyncio.timeout(STOP_WAIT):
        await runner.quiet.wait()


def _check_idle(runner: Runner) -> None:
    if runner.turn is not None:
        raise Conflict("An agent is still working on these files: stop it or wait for it.")


async def _let_go(context: Context, lease: Lease, session_id: str, note: str) -> None:
    """Pending changes of work that is elsewhere now, or gone by the user's word."""
    pending = await context.store.changes.pending(session_id)
    decisions: dict[str, tuple[ChangeStatus, str]] = {change.id: ("superseded", note) for change in pending}
    if decisions:
        await context.store.changes.decide(lease, decisions, now=context.now())
    for chat_id in {change.chat_id for change in pending}:
        context.feed(chat_id).tell(changes=True)


async def _others(context: Context, chat: ChatInfo) -> bool:
    """Whether a session has other chats that are not put away."""
    chats = await context.store.catalog.chats(chat.session_id)
    return any(other.id != chat.id and other.archived_at is None for other in chats)


async def _row_of(context: Context, session_id: str) -> TreeRow | None:
    rows = [row for row in await context.store.trees.rows() if row.session_id == session_id and row.status in _OPEN]
    return rows[-1] if rows else None


def _home(folder: Path, row: TreeRow | None) -> Path | None:
    """Where a session's worktree is; None where there is none."""
    if row is not None and os.path.lexists(row.path):
        return Path(row.path)
    if folder.is_symlink():
        return folder
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    homes = [place for place in inside if place.name[0] != "." and ".aside-" not in place.name]
    asides = [place for place in inside if ".aside-" in place.name]
    return next(iter([*homes, *asides]), None)


def _refusal(found: Risk) -> AtRisk:
    text = (
        f"This would be lost with the worktree: {found.words}. Apply or reject it, keep it with `session.stash()` or "
        "`session.keep_branch(name)`, or say `force=True`."
    )
    return AtRisk(text, report=replace(found))
