"""The warm agent sessions: at most one for each (chat, agent), opened once however many ask (law 10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

from coder_nb.backends.base import AgentSession
from coder_nb.errors import Conflict
from coder_nb.warm import policy
from coder_nb.warm.policy import Fact, Key, Letting

_log = logging.getLogger("coder_nb.pool")
Start = Callable[[], Awaitable[AgentSession]]
STOPPING = "The server is stopping: start it again, then try again."
WANTED = 256
"""How many that died are kept in mind, to be started again."""


class _Slot:
    """The place of one (chat, agent): its lock makes concurrent requests one start."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.session: AgentSession | None = None
        self.start: Start | None = None
        """By what it was opened, where it can be opened by the same again."""
        self.ending: asyncio.Task[None] | None = None
        """The session that was here last, while it is closed."""
        self.busy = False
        self.retired = False
        self.why = ""
        """Why it is ended in the middle of its turn."""
        self.users = 0
        """How many hold or await it: without any, and without a session, it is given up."""
        self.last_active = 0.0


class Pool:
    """Keeps agent sessions warm between turns; the database is the truth, this is a cache (law 12)."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._slots: dict[Key, _Slot] = {}
        self._wanted: dict[Key, Start] = {}
        self._closed = False
        self.changed: Callable[[], None] = lambda: None
        """Called when there is one more, or one is wanted again: somebody may have to look."""

    @asynccontextmanager
    async def lease(
        self,
        key: Key,
        start: Start,
        fits: Callable[[AgentSession], bool] = lambda session: True,
        *,
        keep: bool = True,
    ) -> AsyncIterator[AgentSession]:
        """The warm session of a key for one turn, started where there is none; busy until the block ends.

        One that does not fit, or is dead, is closed, and started anew; one that is dead at the end is forgotten, and
        one that is not to be kept is closed.
        """
        self._wanted.pop(key, None)  # whoever is here starts it
        async with self._holding(key) as slot, self._turn(key, slot, start, fits, keep=keep) as session:
            yield session

    @asynccontextmanager
    async def _turn(
        self, key: Key, slot: _Slot, start: Start, fits: Callable[[AgentSession], bool], *, keep: bool
    ) -> AsyncIterator[AgentSession]:
        session = slot.session
        if session is None or not (session.alive and fits(session)):
            session = await self._open(key, slot, start)
            self.changed()
        slot.busy, slot.why, slot.last_active = True, "", self._clock()
        try:
            yield session
        finally:
            slot.busy = False
            slot.last_active = self._clock()
            if not session.alive or slot.retired or not keep:
                await self._close(key, slot)

    def get(self, key: Key) -> AgentSession | None:
        """The warm session of a key, if there is one."""
        slot = self._slots.get(key)
        return slot.session if slot else None

    def facts(self) -> list[Fact]:
        """What `policy` decides by, but for what only a look at the processes can tell."""
        return [fact for key in list(self._slots) if (fact := self.fact(key)) is not None]

    def fact(self, key: Key) -> Fact | None:
        """The same of one."""
        slot = self._slots.get(key)
        if slot is None or slot.session is None:
            return None
        return Fact(key, slot.busy, slot.last_active, slot.session.alive)

    def __iter__(self) -> Iterator[Key]:
        """All that are warm, that start or end at this moment, or are wanted again."""
        return iter(dict.fromkeys((*self._slots, *self._wanted)))

    def starting(self) -> list[Key]:
        """Those that are just being opened."""
        empty = [key for key, slot in self._slots.items() if slot.session is None and slot.ending is None]
        return [key for key in empty if self._slots[key].lock.locked()]

    # What becomes of them --------------------------------------------------------------------------------------------

    async def let_go(self, letting: Letting) -> bool:
        """Does what was decided, if it still holds at this very moment; returns whether it was done."""
        key = letting.fact.key
        if not policy.still(letting, self.fact(key)):
            return False
        return await (self.restart(key) if letting.way == "restart" else self.evict(key))

    async def evict(self, key: Key) -> bool:
        """Closes a warm session that nobody has or waits for; False where there is none."""
        slot = self._slots.get(key)
        if slot is None or slot.session is None or slot.users:
            return False
        async with self._holding(key):
            await self._close(key, slot)
        return True

    async def restart(self, key: Key) -> bool:
        """Closes a session that is not busy, if there is one, and opens it again as it was opened last.

        False where it is busy, or nobody knows how. Raises what opening it raises.
        """
        slot = self._slots.get(key)
        start = self._wanted.get(key) or (slot.start if slot else None)
        if start is None or (slot is not None and slot.users):
            return False
        async with self._holding(key) as slot:
            await self._open(key, slot, start)
            slot.last_active = self._clock()
            self._wanted.pop(key, None)
            if slot.retired:
                await self._close(key, slot)
            return slot.session is not None

    async def end(self, key: Key, why: str) -> bool:
        """Closes a session in the middle of its turn, which fails with that sentence; False where none runs."""
        slot = self._slots.get(key)
        if slot is None or slot.session is None or not slot.busy:
            return False
        slot.why = why
        await slot.session.close()
        return True

    def why_ended(self, key: Key) -> str:
        """The sentence with which a session was ended in the turn that runs; empty where it was not."""
        slot = self._slots.get(key)
        return slot.why if slot else ""

    async def retire(self, key: Key) -> None:
        """Closes a warm session, a busy one as soon as its turn has ended, as what it remembers is not all any more."""
        self._wanted.pop(key, None)
        slot = self._slots.get(key)
        if slot is not None and (slot.session is not None or slot.users) and not await self.evict(key):
            slot.retired = True

    async def retire_chat(self, chat_id: str) -> None:
        """As `retire`, of all agents of a chat."""
        for key in self:
            if key[0] == chat_id:
                await self.retire(key)

    def want(self, key: Key, start: Start) -> None:
        """Keeps in mind that one which died in its turn is to be started again, until somebody leases or retires it."""
        self._wanted[key] = start
        if len(self._wanted) > WANTED:
            del self._wanted[next(iter(self._wanted))]
        self.changed()

    def give_up(self, key: Key) -> None:
        """It is not wanted any more."""
        self._wanted.pop(key, None)

    @property
    def wanted(self) -> tuple[Key, ...]:
        return tuple(self._wanted)

    async def close(self) -> None:
        """Closes all of them at once; a turn that still runs on one sees its session end."""
        self._closed = True
        self._wanted.clear()
        endings = [ending for key, slot in self._slots.items() if (ending := self._end(key, slot)) is not None]
        await asyncio.gather(*endings, return_exceptions=True)

    # The places ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _holding(self, key: Key) -> AsyncIterator[_Slot]:
        """The place of a key, for one at a time; it is given up when nothing is left there and nobody waits for it."""
        slot = self._slot(key)
        slot.users += 1
        try:
            async with slot.lock:
                yield slot
        finally:
            slot.users -= 1
            self._give_up_empty(key, slot)

    def _slot(self, key: Key) -> _Slot:
        if self._closed:
            raise Conflict(STOPPING)
        return self._slots.setdefault(key, _Slot())

    async def _open(self, key: Key, slot: _Slot, start: Start) -> AgentSession:
        """Opens a session in a place, when the one that was there has ended."""
        await self._close(key, slot)
        slot.retired = False
        slot.session = session = await start()
        slot.start = start
        if self._closed:
            await self._close(key, slot)
            raise Conflict(STOPPING)
        return session

    async def _close(self, key: Key, slot: _Slot) -> None:
        """Waits until the session of a place has ended; where whoever waits gives up, it ends all the same."""
        if (ending := self._end(key, slot)) is not None:
            await asyncio.wait({ending})

    def _end(self, key: Key, slot: _Slot) -> asyncio.Task[None] | None:
        if slot.session is not None:
            session, slot.session = slot.session, None
            slot.ending = asyncio.create_task(session.close(), name=f"close {'.'.join(key)}")
            slot.ending.add_done_callback(partial(self._ended, key, slot))
        return slot.ending

    def _ended(self, key: Key, slot: _Slot, ending: asyncio.Task[None]) -> None:
        slot.ending = None
        if not ending.cancelled() and (error := ending.exception()) is not None:
            _log.error("an agent session could not be closed", exc_info=error)
        self._give_up_empty(key, slot)

    def _give_up_empty(self, key: Key, slot: _Slot) -> None:
        if slot.session is None and slot.ending is None and not slot.users and self._slots.get(key) is slot:
            del self._slots[key]
