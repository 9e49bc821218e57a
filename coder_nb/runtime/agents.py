"""The agents of a runtime: which there are, which can be used, and the way to each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import cast

import msgspec

from coder_nb.backends import mcp
from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.base import AgentSession, Backend, Opening, Probe
from coder_nb.backends.claude.backend import ClaudeBackend
from coder_nb.backends.events import AnyEvent
from coder_nb.backends.history import History
from coder_nb.backends.native.backend import NativeBackend
from coder_nb.backends.opencode.backend import OpencodeBackend
from coder_nb.backends.processes import Spawner
from coder_nb.backends.registry import AgentSpec, registry
from coder_nb.backends.replay import ReplayBackend
from coder_nb.core.agents import AgentInfo, NativeSession
from coder_nb.errors import AgentDisabled, AgentNotInstalled, AgentNotLoggedIn, AgentUnavailable, UnknownAgent
from coder_nb.runtime import routing
from coder_nb.runtime.routing import Route, Situation
from coder_nb.settings import Settings

_replace = msgspec.structs.replace
PROBE_TTL = 60.0
"""Seconds for which the answer of a probe is taken as true."""


class Agents:
    """Knows every agent of the registry and the settings, and opens sessions with them."""

    def __init__(self, settings: Settings, spawner: Spawner, history: History) -> None:
        self._settings = settings
        self._specs = registry(settings.agents)
        self._mcp_servers = mcp.servers(settings.mcp_servers)
        self.sharing = OpencodeBackend(settings, self._specs, spawner)
        """The one whose agent sessions share servers."""
        self._backends: dict[str, Backend] = {
            "acp": AcpBackend(settings, self._specs, spawner),
            "opencode": self.sharing,
            "native": NativeBackend(settings, self._specs, spawner, history),
            "claude": ClaudeBackend(settings, self._specs, spawner, history, spool=settings.spool_path()),
            "replay": ReplayBackend(settings),
        }
        self._probes: dict[str, tuple[float, Probe]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all agents, in the order of the registry."""
        return tuple(self._specs)

    def spec(self, agent: str) -> AgentSpec:
        """Raises `UnknownAgent`, with the names there are."""
        try:
            return self._specs[agent]
        except KeyError:
            names = ", ".join(sorted(self._specs))
            raise UnknownAgent(f"There is no agent named {agent!r}: choose one of {names}.") from None

    async def usable(self, agent: str) -> str:
        """The name of an agent that can be used; raises `UnknownAgent` or `AgentUnavailable` with the cure."""
        await self.route(agent, Situation())
        return agent

    async def route(self, agent: str, now: Situation) -> Route:
        """How a prompt gets to an agent; raises what `usable` raises where it does not."""
        spec = self.spec(agent)
        way = routing.route(spec, await self._probe(spec), now)
        if way.way == "refused":
            raise (AgentNotInstalled if spec.enabled else AgentDisabled)(way.reason)
        return way

    async def default(self) -> str:
        """The agent of the setting, else the first that can be used; the replay agent comes last."""
        if self._settings.default_agent:
            return self._settings.default_agent
        found = next((info.name for info in await self.infos() if info.available and info.default), None)
        if found is None:
            raise AgentUnavailable("No agent can be used here: `coder_nb.agents()` says why, and what to do for each.")
        return found

    async def infos(self) -> tuple[AgentInfo, ...]:
        """Every agent, the usable ones first, in the order of the registry."""
        specs = list(self._specs.values())
        probes = await asyncio.gather(*(self._probe(spec) for spec in specs))
        first = next(
            (s.name for s, p in zip(specs, probes, strict=True) if p.available and s.backend != "replay"), "replay"
        )
        default = self._settings.default_agent or first
        infos = [
            AgentInfo(
                name=spec.name,
                label=spec.label,
                backend=spec.backend,
                available=probe.available,
                version=probe.version,
                path=probe.path,
                reason=probe.reason,
                cure=probe.cure,
                icon=spec.icon,
                default=spec.name == default,
            )
            for spec, probe in zip(specs, probes, strict=True)
        ]
        return tuple(sorted(infos, key=lambda info: (not info.available, info.backend == "replay")))

    def config_hash(self, agent: str, cwd: Path) -> str:
        """By what it is seen that an agent's settings have changed."""
        return routing.config_hash(self.spec(agent), cwd=cwd, mcp_servers=self._mcp_servers)

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        opening = _replace(opening, mcp_servers=self._mcp_servers)
        backend = self._backends[self.spec(opening.agent).backend]
        try:
            session = await backend.open(opening, idle_events=idle_events)
        except AgentNotLoggedIn as error:
            self._learn(opening.agent, logged_in=False, cure=error.message)
            raise
        self._learn(opening.agent, logged_in=True)
        return session

    def _learn(self, agent: str, *, logged_in: bool, cure: str = "") -> None:
        """What an agent has shown itself counts for more than the signs by which its probe guessed."""
        known = self._probes.get(agent)
        if known is not None and known[1].logged_in is not logged_in:
            reason = "" if logged_in else "it is not logged in."
            probe = _replace(known[1], available=logged_in, logged_in=logged_in, reason=reason, cure=cure)
            self._probes[agent] = (time.monotonic(), probe)

    async def native_sessions(self, agent: str, cwd: Path) -> tuple[NativeSession, ...]:
        """What an agent keeps by itself for a directory, the latest first."""
        return await self._backends[self.spec(await self.usable(agent)).backend].native_sessions(agent, cwd)

    async def told(self, agent: str, native_id: str, cwd: Path) -> AsyncIterator[AnyEvent]:
        """A native session's history, as its agent tells it."""
        told = self._backends[self.spec(await self.usable(agent)).backend].told(agent, native_id, cwd)
        async with contextlib.aclosing(cast("AsyncGenerator[AnyEvent]", told)):
            async for event in told:
                yield event

    async def close(self) -> None:
        await asyncio.gather(*(backend.close() for backend in self._backends.values()), return_exceptions=True)

    async def _probe(self, spec: AgentSpec) -> Probe:
        known = self._probes.get(spec.name)
        if known is not None and time.monotonic() - known[0] < PROBE_TTL:
            return known[1]
        backend = self._backends.get(spec.backend)
        if backend is None:
            known_kinds = " or ".join(self._backends)
            return Probe(
                available=False,
                reason=f"there is no backend named {spec.backend!r}.",
                cure=f"Give `agents.{spec.name}` the backend {known_kinds}.",
            )
        if not spec.enabled:
            return Probe(
                available=False,
                reason="it is turned off.",
                cure=f'Turn it on with the setting `agents`: {{"{spec.name}": {{"enabled": true}}}}.',
            )
        probe = await backend.probe(spec.name)
        self._probes[spec.name] = (time.monotonic(), probe)
        return probe
