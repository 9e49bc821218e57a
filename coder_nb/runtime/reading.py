"""Following a chat: what is stored, then what comes. Reading live, late, again, after a break: the same few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from coder_nb.core.changes import Change
from coder_nb.core.sessions import ChatInfo, SessionInfo
from coder_nb.core.stream import PROTOCOL, ChangesFrame, DeltaFrame, Frame, Hello, PageFrame, StateFrame
from coder_nb.runtime.feed import Feed
from coder_nb.store.base import Log

PAGE = 500


async def follow(
    log: Log,
    feed: Feed,
    chat_id: str,
    *,
    after: int | None,
    tail: int,
    epoch: str,
    runtime_id: str,
    merge: float,
    session: SessionInfo,
    state: Callable[[], Awaitable[ChatInfo]],
    changes: Callable[[], Awaitable[tuple[Change, ...]]],
) -> AsyncGenerator[Frame]:
    """The frames of `docs/protocol.md`; a slow reader gets fewer and larger ones, and misses nothing (law 5)."""
    subscription = feed.subscribe()
    try:
        chat = await state()
        first = await log.tail(chat_id, tail) if after is None else await log.read(chat_id, after=after, limit=PAGE)
        first_pos = first.entries[0].pos if after is None and first.entries else 0
        yield Hello(
            protocol=PROTOCOL, runtime_id=runtime_id, epoch=epoch, chat=chat, session=session, first_pos=first_pos
        )
        yield PageFrame(page=first)
        yield ChangesFrame(changes=await changes())
        cursor = first.rev
        while True:
            if subscription.log:
                subscription.log = False
                while (page := await log.read(chat_id, after=cursor, limit=PAGE)).entries or page.chunks:
                    cursor = page.rev
                    yield PageFrame(page=page)
                    if not page.more:
                        break
            # Live text continues what the log holds: where more was committed meanwhile, that comes first.
            if not subscription.log and (deltas := subscription.take_deltas()):
                yield DeltaFrame(deltas=deltas)
            if subscription.state:
                subscription.state = False
                yield StateFrame(chat=await state())
            if subscription.changes:
                subscription.changes = False
                yield ChangesFrame(changes=await changes())
            await subscription.wait()
            await asyncio.sleep(merge)
    finally:
        feed.listeners.discard(subscription)
