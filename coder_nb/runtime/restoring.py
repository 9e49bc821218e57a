"""Going back: to the files, the conversation, or both, as they were before a turn; and to before that again.

Nothing is removed. The files as they are become a checkpoint first, and the conversation is hidden by an entry. Should
a crash come between, the entry decides: where it is missing, the files are taken back at the next start.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.entries import Checkpoint, Entry, UserMessage
from coder_nb.core.sessions import ChatInfo
from coder_nb.core.transcript import visible
from coder_nb.errors import CoderError, Conflict, NotFound
from coder_nb.runtime.context import Context
from coder_nb.runtime.memory import remember
from coder_nb.runtime.runner import Runner
from coder_nb.store.base import Batch, Lease

EVERYWHERE = 2**53
"""A position behind all others."""
PROMPT = 80
"""Characters of a prompt that are enough to know a turn by."""


async def checkpoints(context: Context, chat: ChatInfo, path: str) -> tuple[CheckpointInfo, ...]:
    """All that a chat can be restored to, the oldest first."""
    entries = await context.store.log.landmarks(chat.id)
    shown = {entry.id for entry in visible(entries)}
    try:
        kept = await context.worktrees.checkpoint_ids(chat.session_id, Path(path))
    except CoderError:  # what git cannot tell is not promised
        kept = frozenset()
    asked = {entry.turn_id: entry.body.text for entry in entries if isinstance(entry.body, UserMessage)}
    return tuple(
        CheckpointInfo(
            id=entry.turn_id or entry.id,
            chat_id=chat.id,
            commit=entry.body.commit,
            kind="turn" if entry.turn_id else "restore",
            ts=entry.ts,
            agent=entry.agent,
            prompt=" ".join(asked.get(entry.turn_id, "").split())[:PROMPT] if entry.turn_id else "",
            files=(entry.turn_id or entry.id) in kept,
            hidden=entry.id not in shown,
        )
        for entry in entries
        if isinstance(entry.body, Checkpoint)
    )


async def restore(
    context: Context, lease: Lease, chat: ChatInfo, runner: Runner, target: str, *, files: bool, conversation: bool
) -> str:
    """Goes back to before a turn or a restore; returns the id by which this restore is undone."""
    if runner.turn is not None:
        raise Conflict("An agent is working here: stop it or wait for it, then restore.")
    before = await context.store.log.landmarks(chat.id)
    first = _begins_at(before, target)
    restore_id = context.new_id()
    async with runner.tree.standing(lease) as state:
        if files:
            commit = await context.worktrees.restore(state, target, restore_id=restore_id)
        else:
            commit = await context.worktrees.checkpoint(state, restore_id)
        try:
            body = Checkpoint(commit=commit, hides_from=first if conversation else None)
            entry = Entry(id=restore_id, chat_id=chat.id, pos=0, ts=context.now(), body=body)
            later = replace(entry, pos=EVERYWHERE)
            agents = _agents(before, (*before, later)) if conversation else {}
            for agent in agents:
                await _forget(context, lease, chat.id, agent)
            await context.store.log.commit(lease, chat.id, Batch(entries=(entry,)))
        except BaseException:
            await context.worktrees.settle_restore(state, restore_id, counts=False)
            raise
        if files:
            await context.worktrees.settle_restore(state, restore_id, counts=True)
            await runner.tree.recount(lease, chat.id, restore_id)
    for agent, (prompts, less) in agents.items():
        await _rewind(context, lease, chat.id, agent, prompts, less)
    context.feed(chat.id).tell(log=True, state=True, changes=True)
    return restore_id


def _begins_at(entries: tuple[Entry, ...], target: str) -> int:
    """The position from which on everything came after a checkpoint."""
    of_turn = [entry.pos for entry in entries if entry.turn_id == target]
    of_restore = [e.pos for e in entries if e.id == target and isinstance(e.body, Checkpoint) and not e.turn_id]
    if not of_turn and not of_restore:
        raise NotFound("This chat has no such checkpoint: `chat.checkpoints` lists those there are.")
    return min(of_turn or of_restore)


def _agents(before: tuple[Entry, ...], after: tuple[Entry, ...]) -> dict[str, tuple[list[Entry], bool]]:
    """The agents of whose turns other ones are visible now: what the user says to each, and whether that is less."""
    told = [[entry for entry in visible(entries) if isinstance(entry.body, UserMessage)] for entries in (before, after)]
    found = {}
    for agent in sorted({str(entry.agent) for entries in told for entry in entries if entry.agent}):
        then, now = ([entry for entry in entries if entry.agent == agent] for entries in told)
        if [entry.id for entry in then] != [entry.id for entry in now]:
            found[agent] = (now, [entry.id for entry in then[: len(now)]] == [entry.id for entry in now])
    return found


async def _rewind(context: Context, lease: Lease, chat_id: str, agent: str, prompts: list[Entry], less: bool) -> None:
    """Lets an agent go back in its own memory, if it can; else its next turn begins a new one, and is told the rest."""
    session = context.pool.get((chat_id, agent))
    if session is None:
        return
    to = prompts[-1].native_id if prompts else None
    if less and (to or not prompts) and await session.rewind(to):
        await remember(context, lease, chat_id, agent, session, settled=True)
    else:
        await context.pool.retire((chat_id, agent))


async def _forget(context: Context, lease: Lease, chat_id: str, agent: str) -> None:
    """Writes down that an agent has no memory of the chat: a crash must not let it go on with one that is too long."""
    known = await context.store.agents.get(chat_id, agent)
    if known is not None:
        cold = replace(known, native_id=None, status="cold", pid=None, forked_from=None)
        await context.store.agents.put(lease, cold)
