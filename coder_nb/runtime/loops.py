"""What a runtime does by itself, for as long as it lives."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from coder_nb.errors import CoderError, StoreError
from coder_nb.runtime import reaper, retention
from coder_nb.runtime.hosting import Host
from coder_nb.runtime.tasks import Tasks

_log = logging.getLogger("coder_nb.runtime")
HOUR = 3600.0
"""Seconds between two looks at what was kept for long enough."""


class Loops:
    """The work of a runtime that nobody asks for: leases, other processes, idle agents, what is old or orphaned."""

    def __init__(self, host: Host, *, delete_chat: Callable[[str], Awaitable[None]]) -> None:
        self._host, self._delete_chat = host, delete_chat
        self._context = host.context

    def start(self, tasks: Tasks) -> None:
        """Begins all of it; the tasks end with their owner."""
        tasks.start(self._host.leases.keep(), name="renew leases")
        tasks.start(self._follow_others(), name="follow other processes")
        tasks.start(self._sweep(), name="sweep the pool")
        tasks.start(self._host.settle_the_dead(), name="settle the dead")
        tasks.start(self._reap(), name="look for orphaned worktrees")

    async def _follow_others(self) -> None:
        """Tells listeners of chats that other processes may have written to."""
        while True:
            try:
                async for chats in self._context.store.watch():
                    for chat_id, feed in list(self._context.feeds.items()):
                        if chats is None or chat_id in chats:
                            feed.tell(log=True, state=True, changes=True)
                return
            except StoreError as error:
                _log.warning("the store cannot be followed: %s", error.message)
                await asyncio.sleep(1.0)

    async def _sweep(self) -> None:
        settings, pool = self._context.settings, self._context.pool
        looked = float("-inf")
        while True:
            await asyncio.sleep(settings.sweep)
            if time.monotonic() - looked >= HOUR:
                looked = time.monotonic()
                await self._let_go_of_what_is_old()
            for chat_id, agent in await pool.sweep(ttl=settings.idle_eviction, limit=settings.max_live):
                _log.info("evicted agent=%s chat=%s", agent, chat_id)
            try:
                await self._host.release_idle()
            except StoreError as error:
                _log.warning("it could not be seen which leases are idle: %s", error.message)

    async def _let_go_of_what_is_old(self) -> None:
        try:
            await retention.sweep(self._context, self._delete_chat)
        except StoreError as error:
            _log.warning("it could not be seen which chats are old: %s", error.message)

    async def _reap(self) -> None:
        """Looks for worktrees without a session, now and as often as one must have been left alone to be removed."""
        while True:
            try:
                await reaper.reap(self._context, dry_run=False)
            except CoderError as error:
                _log.warning("worktrees without a session could not be looked for: %s", error.message)
            await asyncio.sleep(max(60.0, self._context.settings.orphan_grace))
