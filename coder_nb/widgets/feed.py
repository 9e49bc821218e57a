"""Frames from the runtime to one widget by comm, in batches, so that the kernel's channel carries few messages.

It runs on the portal, so that frames flow while the cell blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from coder_nb.client.follow import following
from coder_nb.core.codec import encode
from coder_nb.core.stream import Frame
from coder_nb.core.verbs import Verbs

BATCH = 0.03
"""How long frames are gathered before they are sent together, in seconds: some thirty messages a second."""

Send = Callable[[dict[str, Any]], None]


async def feed(verbs: Verbs, chat_id: str, send: Send, *, after: int | None, tail: int) -> None:
    """Sends a chat's frames from a cursor on, numbered from 0, until it is cancelled."""
    gathered: list[Frame] = []
    arrived = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(_send(gathered, arrived, send), name="widget sender")
            async with following(verbs.stream(chat_id, after=after, tail=tail)) as frames:
                async for frame in frames:
                    gathered.append(frame)
                    arrived.set()
            sender.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _send(gathered: list[Frame], arrived: asyncio.Event, send: Send) -> None:
    seq = 0
    while True:
        await arrived.wait()
        arrived.clear()
        batch, gathered[:] = list(gathered), []
        if batch:
            send({"op": "frames", "seq": seq, "frames": msgspec.json.decode(encode(batch))})
            seq += 1
        await asyncio.sleep(BATCH)
