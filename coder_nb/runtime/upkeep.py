"""What a runtime does by itself beside looking after agents: leases, other processes, what is old, dead or orphaned."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from coder_nb.errors import StoreError
from coder_nb.runtime import reaper, retention
from coder_nb.runtime.hosting import Host
from coder_nb.runtime.supervision import Duty

_log = logging.getLogger("coder_nb.runtime")
HOUR = 3600.0
"""Seconds between two looks at what was kept for long enough."""


def duties(host: Host, *, delete_chat: Callable[[str], Awaitable[None]]) -> tuple[Duty, ...]:
    """What is done from time to time; the first time at once."""
    context = host.context
    orphans = max(60.0, context.settings.orphan_grace)

    async def reap() -> None:
        await reaper.reap(context, dry_run=False)

    async def let_go_of_what_is_old() -> None:
        await retention.sweep(context, delete_chat)

    return (
        Duty("settle the dead", math.inf, host.settle_the_dead),
        Duty("look for orphaned worktrees", orphans, reap),
        Duty("give back idle leases", context.settings.sweep, host.release_idle),
        Duty("let go of what is old", HOUR, let_go_of_what_is_old),
    )


async def follow_others(host: Host) -> None:
    """Tells listeners of chats that other processes may have written to, for ever."""
    context = host.context
    while True:
        try:
            async for chats in context.store.watch():
                for chat_id, feed in list(context.feeds.items()):
                    if chats is None or chat_id in chats:
                        feed.tell(log=True, state=True, changes=True)
            return
        except StoreError as error:
            _log.warning("the store cannot be followed: %s", error.message)
            await asyncio.sleep(1.0)
