"""What a dead runner left behind gets its end: turns in flight are interrupted, and never run again by themselves."""

from __future__ import annotations

import msgspec

from coder_nb.core.entries import Entry, TurnEnded
from coder_nb.core.lifecycle import INBOX, RUN, inbox, step
from coder_nb.core.sessions import TurnInfo
from coder_nb.runtime.context import Context
from coder_nb.runtime.recorder import closed_body
from coder_nb.store.base import Batch, Lease, RunState, Store

_replace = msgspec.structs.replace
REASON = "The process that ran this turn ended before the turn did: prompt again to go on."


async def settle(context: Context, lease: Lease, *, chat_id: str | None = None) -> None:
    """Ends the unfinished turns of a working directory, or of one chat of it, as interrupted; their queues are held.

    Only to be called while none of them runs here (laws 1, 3 and 8).
    """
    for turn in await context.store.turns.unfinished(lease.path):
        if chat_id in (None, turn.chat_id):
            await _interrupt(context, lease, turn)


async def held(store: Store, chat_id: str) -> bool:
    """Whether what waits in a chat has to wait on, after a turn of it was cut short."""
    waiting = bool(await store.inbox.waiting(chat_id))
    return step(INBOX, inbox(held=False, waiting=waiting), "interrupt") == "held"


async def _interrupt(context: Context, lease: Lease, turn: TurnInfo) -> None:
    now = max(context.now(), turn.started_at)  # the clock may have been set back meanwhile
    left = await context.store.log.unclosed(turn.chat_id)
    closed = [_replace(e, body=closed_body(e.body, "failed"), open=False) for e in left if e.turn_id == turn.id]
    ended = Entry(
        id=context.new_id(),
        chat_id=turn.chat_id,
        turn_id=turn.id,
        ts=now,
        agent=turn.agent,
        body=TurnEnded(
            end="interrupted",
            reason="process_died",
            message=REASON,
            code="interrupted",
            duration_ms=now - turn.started_at,
        ),
    )
    batch = Batch(
        entries=(*closed, ended),
        turn=_replace(
            turn,
            state="interrupted",
            end="interrupted",
            ended_at=now,
            message=REASON,
            reason="process_died",
            code="interrupted",
        ),
        state=RunState(
            run_status=step(RUN, "running", "interrupted"),
            clear_turn=True,
            clear_error=True,
            held=await held(context.store, turn.chat_id),
        ),
    )
    await context.store.log.commit(lease, turn.chat_id, batch)
    context.feed(turn.chat_id).tell(log=True, state=True)
