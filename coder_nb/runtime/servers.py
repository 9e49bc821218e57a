"""The servers that several agent sessions share, as the supervisor looks after them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from coder_nb.backends.opencode.backend import Launch, OpencodeBackend
from coder_nb.backends.opencode.server import Server
from coder_nb.core.health import LiveAgent
from coder_nb.errors import AgentFailed, CoderError
from coder_nb.runtime.journal import Journal
from coder_nb.runtime.watched import Watched
from coder_nb.settings import Settings
from coder_nb.warm import policy
from coder_nb.warm.crashes import Crashes
from coder_nb.warm.health import Patience
from coder_nb.warm.policy import Limits, ServerFact, ServerWhy
from coder_nb.warm.vitals import Vitals

NAMES = 64
"""How many servers that are gone are kept in mind."""
PREFIX = "server."
"""How the names of all servers begin."""
ITSELF = "It ended by itself."
ASKED_FOR = "Somebody asked for it."
TOO_OFTEN = "It ended by itself too often: only a prompt starts it."
Errand = Callable[[], Awaitable[bool]]
"""Something to do; true where it may be worth another look."""


class Servers:
    """One that is dead and wanted is started at once, one that is deaf or too large is ended first."""

    def __init__(self, backend: OpencodeBackend, crashes: Crashes, journal: Journal, settings: Settings) -> None:
        self._backend, self._crashes, self._journal, self._settings = backend, crashes, journal, settings
        self._limits = Limits(memory=settings.agent_memory)
        self._patience = Patience(interval=settings.health_interval, busy=settings.stale_busy)
        self._watched: dict[Launch, Watched] = {}
        self._names: dict[Launch, str] = {}
        self._numbers = itertools.count(1)
        self._wanted: dict[Launch, None] = {}

    @property
    def pids(self) -> set[int]:
        """Of those that run."""
        return {server.pid for server in self._backend.servers.values() if server.dead is None}

    def starts_at(self) -> Iterator[tuple[str, float | None]]:
        """When those that are wanted are to be started."""
        return ((name, self._crashes.starts_at(name)) for name in map(self._name, self._wanted))

    def look(self) -> Iterator[tuple[str, Errand]]:
        """What is to be done now, and about whom."""
        for launch, server in self._backend.servers.items():
            watched = self._watch(launch, server)
            if server.dead is not None:
                self._bury(launch, server, watched)
            else:
                self._wanted.pop(launch, None)
                if (why := self._why(server, watched)) is not None:
                    yield self._name(launch), partial(self._end, launch, server, why)
        for launch in list(self._wanted):
            state = self._crashes.state(self._name(launch))
            if state == "open":
                del self._wanted[launch]
            elif state == "closed":
                yield self._name(launch), partial(self._start_again, launch)

    async def check(self, seen: Mapping[int, Vitals]) -> None:
        """Asks each how it is, busy ones too: it has a task for that."""
        living = [(launch, server) for launch, server in self._backend.servers.items() if server.dead is None]
        await asyncio.gather(*(self._check_one(self._watch(*one), one[1], seen) for one in living))

    async def _check_one(self, watched: Watched, server: Server, seen: Mapping[int, Vitals]) -> None:
        watched.looked(seen.get(server.pid))
        well = not watched.stopped and await server.healthy()
        if server.dead is None and watched.is_of(server):
            watched.checked(well=well, patience=self._patience)

    # What is to be done ----------------------------------------------------------------------------------------------

    def _bury(self, launch: Launch, server: Server, watched: Watched) -> None:
        if watched.buried or not watched.is_of(server):
            return
        watched.buried = True
        name = self._name(launch)
        self._journal.bury(name, server.stderr_tail())
        if not watched.on_purpose:
            self._crashes.note(name)
            self._journal.note("server_ended", server=name, agent=launch.agent, pid=server.pid, why="crash")
        if server.wanted and not watched.on_purpose:
            self._wanted[launch] = None
        else:
            self._backend.give_up(launch, server)

    async def _end(self, launch: Launch, server: Server, why: ServerWhy) -> bool:
        watched, name = self._watched[launch], self._name(launch)
        if server.dead is not None or not watched.is_of(server) or self._why(server, watched) != why:
            return False  # somebody has begun to use it meanwhile
        watched.on_purpose = why == "unused"
        watched.ending = sentence(launch.label, why, watched.memory, self._settings)
        self._journal.note("server_ended", server=name, agent=launch.agent, pid=server.pid, why=why)
        await server.stop(self._settings.stop_grace, watched.ending)
        return True

    async def _start_again(self, launch: Launch) -> bool:
        """Starts one that is wanted; where that fails, later again, or not at all."""
        name = self._name(launch)
        try:
            await self._start(launch)
        except AgentFailed as error:
            self._crashes.note(name)
            self._journal.note("server_failed", server=name, agent=launch.agent, code=error.code)
            return True
        except CoderError as error:
            self._wanted.pop(launch, None)
            self._journal.note("server_failed", server=name, agent=launch.agent, code=error.code)
            return False
        return True

    async def _start(self, launch: Launch) -> None:
        server = await self._backend.restart(launch)
        self._watch(launch, server)
        self._journal.note("server_started", server=self._name(launch), agent=launch.agent, pid=server.pid)

    def _why(self, server: Server, watched: Watched) -> ServerWhy | None:
        """Why it is to be ended, as it is now."""
        deaf = watched.is_deaf(busy=server.turns > 0, patience=self._patience)
        unused = time.monotonic() - server.unused_since
        fact = ServerFact(server.users, server.turns, unused, deaf, watched.memory)
        return policy.of_server(fact, self._limits, unused=self._settings.sweep)

    def _watch(self, launch: Launch, server: Server) -> Watched:
        watched = self._watched.setdefault(launch, Watched())
        watched.bind(server, ITSELF)
        return watched

    def _name(self, launch: Launch) -> str:
        """What a launch is called, the same for as long as it is known."""
        if launch not in self._names:
            for known in list(self._names)[: len(self._names) - NAMES]:
                if known not in self._backend.servers and known not in self._wanted:
                    del self._names[known]
                    self._watched.pop(known, None)
            self._names[launch] = f"{PREFIX}{next(self._numbers)}"
        return self._names[launch]

    # What others see and ask -----------------------------------------------------------------------------------------

    def find(self, name: str) -> Launch | None:
        """What is called so."""
        return next((launch for launch, known in self._names.items() if known == name), None)

    def unmeasured(self) -> Iterator[tuple[Watched, Server]]:
        """Those that run and of whose memory nothing is known yet."""
        for launch, server in self._backend.servers.items():
            watched = self._watch(launch, server)
            if server.dead is None and watched.memory is None:
                yield watched, server

    def report(self, now: float) -> Iterator[LiveAgent]:
        """Those that run, those that are to be started again, and those that are not any more."""
        for launch, server in self._backend.servers.items():
            if server.dead is None:
                yield self._live(launch, self._watch(launch, server), server)
        for launch in self._wanted:
            at = self._crashes.starts_at(self._name(launch))
            retry_at = None if at is None else int((time.time() + at - now) * 1000)
            watched = self._watched[launch]
            yield LiveAgent(
                key=self._name(launch),
                agent=launch.agent,
                state="waiting",
                chats=0,
                restarts=watched.restarts,
                why=watched.ending or ITSELF,
                retry_at=retry_at,
            )
        broken, named = set(self._crashes.open()), list(self._names.items())
        for launch, name in named:
            if name in broken and launch not in self._wanted and not self._lives(launch):
                yield LiveAgent(key=name, agent=launch.agent, state="broken", chats=0, why=TOO_OFTEN)

    def _lives(self, launch: Launch) -> bool:
        server = self._backend.servers.get(launch)
        return server is not None and server.dead is None

    def _live(self, launch: Launch, watched: Watched, server: Server) -> LiveAgent:
        deaf = watched.is_deaf(busy=False, patience=self._patience)
        return LiveAgent(
            key=self._name(launch),
            agent=launch.agent,
            state="deaf" if deaf else "busy" if server.turns else "idle",
            chats=server.users,
            pid=server.pid,
            started_at=watched.started_at,
            memory=watched.memory,
            restarts=watched.restarts,
            why=watched.why,
        )

    async def evict(self, launch: Launch) -> bool:
        """Ends a server on which no turn runs; its chats are resumed on another one with their next prompts."""
        server = self._backend.servers.get(launch)
        if server is None or server.dead is not None or server.turns:
            return False
        watched = self._watch(launch, server)
        watched.on_purpose, watched.ending = True, ASKED_FOR
        await server.stop(self._settings.stop_grace)
        self._bury(launch, server, watched)
        return True

    async def restart(self, launch: Launch) -> bool:
        """Ends a server on which no turn runs, if one lives, and starts another one in its place.

        Raises what starting it raises.
        """
        self._crashes.forgive(self._name(launch))
        if self._lives(launch) and not await self.evict(launch):
            return False
        await self._start(launch)
        return True

    def log(self, launch: Launch) -> str:
        """The end of a server's standard error, also of one that is gone."""
        server = self._backend.servers.get(launch)
        return server.stderr_tail() if server else self._journal.last_words(self._name(launch))


def sentence(label: str, why: policy.Why | ServerWhy, memory: int | None, settings: Settings) -> str:
    """Why something was ended, for whoever had a turn on it, with the cure."""
    if why == "memory":
        taken, most = (memory or 0) >> 20, settings.agent_memory >> 20
        return (
            f"{label} took {taken:,} MiB of memory, where the setting `agent_memory` allows {most:,} MiB, and was "
            "ended: prompt again to go on, or raise the setting."
        )
    if why == "deaf":
        return f"{label} did not answer any more and was ended: prompt again to go on."
    return f"{label} was not needed and was ended: prompt again to go on."
