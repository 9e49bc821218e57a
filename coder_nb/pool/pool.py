"""The warm agent sessions: at most one for each (chat, agent), opened once however many ask (law 10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from coder_nb.backends.base import AgentSession
from coder_nb.errors import Conflict
from coder_nb.pool import policy
from coder_nb.pool.policy import Fact, Key


class _Slot:
    """The place of one (chat, agent): its lock makes concurrent requests one start."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.session: AgentSession | None = None
        self.busy = False
        self.retired = False
        self.users = 0
        """How many hold or await it: without any, and without a session, it is given up."""
        self.last_active = 0.0


class Pool:
    """Keeps agent sessions warm between turns; the database is the truth, this is a cache (law 12)."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._slots: dict[Key, _Slot] = {}
        self._closed = False

    @asynccontextmanager
    async def lease(
        self,
        key: Key,
        start: Callable[[], Awaitable[AgentSession]],
        fits: Callable[[AgentSession], bool] = lambda session: True,
        *,
        keep: bool = True,
    ) -> AsyncIterator[AgentSession]:
        """The warm session of a key for one turn, started where there is none; busy until the block ends.

        One that does not fit, or is dead, is closed, and started anew; one that is dead at the end is forgotten, and
        one that is not to be kept is closed.
        """
        if self._closed:
            raise Conflict("The server is stopping: start it again, then prompt again.")
        slot = self._slots.setdefault(key, _Slot())
        slot.users += 1
        try:
            async with slot.lock, self._turn(key, slot, start, fits, keep=keep) as session:
                yield session
        finally:
            slot.users -= 1
            self._give_up_empty(key, slot)

    @asynccontextmanager
    async def _turn(
        self,
        key: Key,
        slot: _Slot,
        start: Callable[[], Awaitable[AgentSession]],
        fits: Callable[[AgentSession], bool],
        *,
        keep: bool,
    ) -> AsyncIterator[AgentSession]:
        if slot.session is not None and not (slot.session.alive and fits(slot.session)):
            await self._close(key)
        if slot.session is None:
            slot.session = await start()
        slot.busy = True
        session = slot.session
        try:
            yield session
        finally:
            slot.busy = False
            slot.last_active = self._clock()
            if not session.alive or slot.retired or not keep:
                await self._close(key)

    def get(self, key: Key) -> AgentSession | None:
        """The warm session of a key, if there is one."""
        slot = self._slots.get(key)
        return slot.session if slot else None

    def facts(self) -> list[Fact]:
        """What `policy` decides by."""
        return [Fact(key, slot.busy, slot.last_active) for key, slot in self._slots.items() if slot.session is not None]

    async def sweep(self, *, ttl: float, limit: int) -> list[Key]:
        """Closes what has been idle for `ttl` seconds or is beyond `limit`; returns what it closed."""
        keys = dict.fromkeys(policy.idle(self.facts(), now=self._clock(), ttl=ttl))
        rest = [fact for fact in self.facts() if fact.key not in keys]
        keys |= dict.fromkeys(policy.over_limit(rest, limit=limit))
        return [key for key in keys if await self.evict(key)]

    async def evict(self, key: Key) -> bool:
        """Closes a warm session that is not busy; looked at again at the moment of closing."""
        slot = self._slots.get(key)
        if slot is None or slot.session is None or slot.busy or slot.lock.locked():
            return False
        async with slot.lock:
            await self._close(key)
        self._give_up_empty(key, slot)
        return True

    async def retire(self, key: Key) -> None:
        """Closes a warm session, a busy one as soon as its turn has ended, as what it remembers is not all any more."""
        slot = self._slots.get(key)
        if slot is not None and slot.session is not None and not await self.evict(key):
            slot.retired = True

    async def close(self) -> None:
        """Closes all of them at once; a turn that still runs on one sees its session end."""
        self._closed = True
        keys = [key for key, slot in self._slots.items() if slot.session is not None]
        await asyncio.gather(*(self._close(key) for key in keys), return_exceptions=True)

    async def _close(self, key: Key) -> None:
        slot = self._slots.get(key)
        if slot is None or slot.session is None:
            return
        session, slot.session, slot.retired = slot.session, None, False
        await session.close()

    def _give_up_empty(self, key: Key, slot: _Slot) -> None:
        if slot.session is None and not slot.users and self._slots.get(key) is slot:
            del self._slots[key]
