"""The one loop that looks after what a runtime has started: what is due is done, each thing once at a time.

What is to be done is decided by pure rules (`warm.policy`, `warm.health`, `warm.breaker`) from facts and the time; here
the facts are gathered, and what was decided is carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from coder_nb.backends.base import AgentSession
from coder_nb.core.health import LiveAgent
from coder_nb.errors import AgentFailed, CoderError
from coder_nb.runtime.context import Context
from coder_nb.runtime.journal import key_of
from coder_nb.runtime.memory import keep_in_mind
from coder_nb.runtime.servers import ASKED_FOR, PREFIX, TOO_OFTEN, Errand, Servers, sentence
from coder_nb.runtime.tasks import Tasks
from coder_nb.runtime.watched import Watched
from coder_nb.warm import policy, vitals
from coder_nb.warm.health import Patience
from coder_nb.warm.policy import Fact, Key, Letting, Limits
from coder_nb.warm.vitals import Vitals

_log = logging.getLogger("coder_nb.supervision")
SHORTEST = 0.05
"""Seconds between two looks, where nothing has happened in between."""


class Duty(NamedTuple):
    """Something that is done from time to time, at first when the loop begins."""

    name: str
    every: float
    """Seconds between two beginnings."""
    work: Callable[[], Awaitable[None]]


class Supervisor:
    """Looks after the warm agent sessions and the servers that they share, and does the duties that it is given."""

    def __init__(self, context: Context, duties: Sequence[Duty] = ()) -> None:
        settings = context.settings
        self._context, self._pool, self._crashes = context, context.pool, context.crashes
        self._limits = Limits(idle=settings.idle_eviction, live=settings.max_live, memory=settings.agent_memory)
        self._patience = Patience(interval=settings.health_interval, busy=settings.stale_busy)
        self._servers = Servers(context.agents.sharing, context.crashes, context.journal, settings)
        self._watched: dict[Key, Watched] = {}
        check = Duty("check what lives", settings.health_interval, self._check)
        self._duties = (check, *duties)
        self._begun: dict[str, float] = {}
        self._under_way: set[str] = set()
        self._errands = Tasks()
        self._wake = asyncio.Event()
        context.pool.changed = context.agents.sharing.changed = self._wake.set

    # The loop --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever: looks, begins what is due, and waits for the next time or for something to happen."""
        try:
            while True:
                self._wake.clear()
                self._begin_duties(time.monotonic())
                try:
                    self._look(time.monotonic())
                except Exception:  # else nothing would ever be looked after again
                    _log.exception("the agents could not be looked at")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(SHORTEST, self._due() - time.monotonic())):
                        await self._wake.wait()
        finally:
            await self._errands.close()

    def _begin_duties(self, now: float) -> None:
        for duty in self._duties:
            if duty.name not in self._begun or now >= self._begun[duty.name] + duty.every:
                self._begun[duty.name] = now
                self._begin(duty.name, partial(self._do, duty))

    def _due(self) -> float:
        """When something has to be done next, should nothing happen."""
        duties = (self._begun[duty.name] + duty.every for duty in self._duties)
        sessions = ((name, self._crashes.starts_at(name)) for name in (key_of(*key) for key in self._pool.wanted))
        starts = (at for name, at in (*sessions, *self._servers.starts_at()) if name not in self._under_way)
        return min((*duties, *(at for at in starts if at is not None)))

    def _begin(self, name: str, errand: Errand) -> None:
        """Does something beside, unless it is being done already; where it has changed anything, it is looked again."""
        if name not in self._under_way:
            self._under_way.add(name)
            self._errands.start(self._run(name, errand), name=name)

    async def _run(self, name: str, errand: Errand) -> None:
        try:
            if await errand():
                self._wake.set()
        finally:
            self._under_way.discard(name)

    async def _do(self, duty: Duty) -> bool:
        try:
            await duty.work()
        except CoderError as error:
            _log.warning("%s: %s", duty.name, error.message)
        return True

    # Looking ---------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Begins what is to be done now."""
        for letting in policy.lettings(self._facts(), self._limits, now=now):
            self._begin(key_of(*letting.fact.key), partial(self._let_go, letting))
        for key in self._pool.wanted:
            state = self._crashes.state(key_of(*key))
            if state == "open":
                self._pool.give_up(key)
            elif state == "closed":
                self._begin(key_of(*key), partial(self._start_again, key))
        for name, errand in self._servers.look():
            self._begin(name, errand)

    def _facts(self) -> list[Fact]:
        """What is known of the warm sessions; what is not in the pool any more is not watched any more."""
        facts = self._pool.facts()
        here = set(self._pool)
        self._watched = {key: watched for key, watched in self._watched.items() if key in here}
        return [self._known(fact) for fact in facts]

    def _known(self, fact: Fact) -> Fact:
        watched = self._watched.setdefault(fact.key, Watched())
        session = self._pool.get(fact.key)
        if not watched.is_of(session):
            watched.bind(session, self._context.journal.take_cause(key_of(*fact.key)))
        deaf = watched.is_deaf(busy=fact.busy, patience=self._patience)
        return fact._replace(deaf=deaf, memory=watched.memory)

    async def _check(self) -> None:
        """Looks at the processes, and asks those sessions and servers that are not busy how they are."""
        sessions = {fact.key: session for fact in self._facts() if (session := self._pool.get(fact.key)) is not None}
        pids = {session.pid for session in sessions.values() if session.pid is not None}
        seen = await asyncio.to_thread(vitals.look, pids | self._servers.pids)
        asked = (self._ask(key, session, seen) for key, session in sessions.items())
        await asyncio.gather(self._servers.check(seen), *asked)

    async def _ask(self, key: Key, session: AgentSession, seen: Mapping[int, Vitals]) -> None:
        watched, before = self._watched.get(key), self._pool.fact(key)
        if watched is None or before is None or not watched.is_of(session):
            return
        watched.looked(seen.get(session.pid or 0))
        if watched.stopped:
            watched.checked(well=False, patience=self._patience)
        elif before.busy:  # whether it is slow or deaf cannot be told, and its user can stop it
            watched.checked(well=True, patience=self._patience)
        else:
            well = await session.healthy()
            if well or self._pool.fact(key) == before:  # else a turn began meanwhile: it may have had no time to answer
                watched.checked(well=well, patience=self._patience)

    # Doing -----------------------------------------------------------------------------------------------------------

    async def _let_go(self, letting: Letting) -> bool:
        key, name = letting.fact.key, key_of(*letting.fact.key)
        session, watched = self._pool.get(key), self._watched.get(key)
        if session is None or watched is None:
            return False
        if letting.why in ("deaf", "memory"):
            label = self._context.agents.spec(key[1]).label
            watched.ending = sentence(label, letting.why, watched.memory, self._context.settings)
        if letting.way == "end":
            return await self._pool.end(key, watched.ending)
        if letting.why == "dead":
            await self._note_its_end(key, session)
        elif letting.why == "deaf":
            self._context.journal.bury(name, session.stderr_tail(), session.explain())
        if letting.way == "restart" and self._crashes.note(name) != "closed":  # it needs as much each time
            letting = letting._replace(way="evict")
        try:
            done = await self._pool.let_go(letting)
        except CoderError:  # it could not be started again: it is cold, and the next prompt says why
            return True
        if not done:
            watched.ending = ""
            return False
        if letting.why in ("dead", "deaf"):
            self._crashes.note(name)
        if letting.way != "restart":
            self._context.journal.note("agent_closed", chat=key[0], agent=key[1], why=letting.why)
            if not self._pool.facts():  # the work is done that took memory here, too
                await asyncio.to_thread(vitals.give_back)
        return True

    async def _note_its_end(self, key: Key, session: AgentSession) -> None:
        """Writes down that one has ended by itself; where that cannot be done, it is let go all the same."""
        try:
            await keep_in_mind(self._context, key, session)
        except CoderError as error:
            _log.warning("it could not be written down that an agent has ended: %s", error.message)

    async def _start_again(self, key: Key) -> bool:
        """Starts one that died in its turn, so that it is as warm as it was; where it fails, later, or not at all."""
        try:
            done = await self._pool.restart(key)
            if (session := self._pool.get(key)) is not None:
                await keep_in_mind(self._context, key, session)
            return done
        except AgentFailed:
            self._crashes.note(key_of(*key))
            return True
        except CoderError:  # whoever prompts it is told why
            self._pool.give_up(key)
            return False

    # What others see and ask -----------------------------------------------------------------------------------------

    async def measure(self) -> None:
        """Looks for the memory of what has not been looked at yet; all other figures are those of the last check."""
        new = [(self._watched[fact.key], self._pool.get(fact.key)) for fact in self._facts() if fact.memory is None]
        pids = {watched: thing.pid for watched, thing in (*new, *self._servers.unmeasured()) if thing and thing.pid}
        seen = await asyncio.to_thread(vitals.look, pids.values()) if pids else {}
        for watched, pid in pids.items():
            if watched.memory is None and pid in seen:
                watched.looked(seen[pid])

    def report(self) -> tuple[LiveAgent, ...]:
        """Everything that is warm, starts, or is to be started again, as it was when it was looked at last."""
        now, facts = time.monotonic(), {fact.key: fact for fact in self._facts()}
        keys = dict.fromkeys((*facts, *self._pool.starting(), *self._pool.wanted))
        told = [self._live(key, facts.get(key), now) for key in keys]
        named = {live.key for live in told}
        broken = [name for name in self._crashes.open() if name not in named and not name.startswith(PREFIX)]
        return (*told, *self._servers.report(now), *map(_broken, broken))

    async def evict(self, name: str) -> bool:
        """Closes what is not busy; False where it is, or is not there."""
        if (server := self._servers.find(name)) is not None:
            return await self._servers.evict(server)
        return await self._pool.evict(_key(name))

    async def restart(self, name: str) -> bool:
        """Starts what is not busy anew; False where it is, or is not there. Raises what starting it raises."""
        if (server := self._servers.find(name)) is not None:
            return await self._servers.restart(server)
        key = _key(name)
        self._crashes.forgive(name)
        watched = self._watched.setdefault(key, Watched())
        watched.ending = ASKED_FOR
        if not await self._pool.restart(key):
            watched.ending = ""
            return False
        if (session := self._pool.get(key)) is not None:
            await keep_in_mind(self._context, key, session)
        return True

    def log(self, name: str) -> str:
        """The end of what it wrote to its standard error, secrets blanked out; also of one that is gone."""
        if (server := self._servers.find(name)) is not None:
            return self._servers.log(server)
        session = self._pool.get(_key(name))
        return session.stderr_tail() if session else self._context.journal.last_words(name)

    def _live(self, key: Key, fact: Fact | None, now: float) -> LiveAgent:
        watched, session, name = self._watched.get(key, Watched()), self._pool.get(key), key_of(*key)
        starting = key in self._pool.starting()
        waits = self._crashes.starts_at(name) if session is None and not starting else None
        return LiveAgent(
            key=name,
            agent=key[1],
            chat_id=key[0],
            pid=session.pid if session else None,
            state="starting" if starting else "waiting" if fact is None else _state(fact, watched, self._patience),
            started_at=watched.started_at if session else None,
            last_active_at=None if fact is None else _wall(fact.last_active, now),
            memory=watched.memory,
            restarts=watched.restarts,
            why=watched.why,
            retry_at=None if waits is None else _wall(waits, now),
        )


def _state(fact: Fact, watched: Watched, patience: Patience) -> Literal["deaf", "busy", "idle"]:
    return "deaf" if watched.is_deaf(busy=False, patience=patience) else "busy" if fact.busy else "idle"


def _broken(name: str) -> LiveAgent:
    """One that has ended by itself too often."""
    chat_id, agent = _key(name)
    return LiveAgent(key=name, agent=agent, chat_id=chat_id, state="broken", chats=0, why=TOO_OFTEN)


def _key(name: str) -> Key:
    chat_id, _, agent = name.partition(".")
    return chat_id, agent


def _wall(at: float, now: float) -> int:
    """A moment of the monotonic clock, in milliseconds since the epoch."""
    return int((time.time() + at - now) * 1000)
