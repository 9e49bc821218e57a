"""Opens agent sessions over ACP: finds the program, gives it its environment, starts it, says hello."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from coder_nb.backends.acp.session import AcpSession
from coder_nb.backends.acp.visit import Visit
from coder_nb.backends.base import AgentSession, Opening, Probe
from coder_nb.backends.events import AnyEvent
from coder_nb.backends.processes import Child, Spawner
from coder_nb.backends.program import Programs, persistently
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.core.agents import NativeSession
from coder_nb.errors import AgentFailed, CoderError
from coder_nb.settings import Settings


class AcpBackend:
    """Every agent that speaks ACP, told apart by its entry in the registry."""

    def __init__(
        self,
        settings: Settings,
        specs: Mapping[str, AgentSpec],
        spawner: Spawner,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._specs = specs
        self._spawner = spawner
        self._programs = Programs(settings, spawner, environ)
        self._sessions: weakref.WeakSet[AcpSession] = weakref.WeakSet()

    async def probe(self, agent: str) -> Probe:
        """Whether its program is there, new enough, and logged in as far as can be told; its ACP is not started."""
        return await self._programs.probe(self._specs[agent])

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        """Starts a process and a native session, a second time where the first died or was too slow.

        Raises an `AgentUnavailable` or `AgentFailed`, never anything foreign.
        """
        return await persistently(self._settings.start_tries, lambda: self._open(opening, idle_events))

    async def native_sessions(self, agent: str, cwd: Path) -> tuple[NativeSession, ...]:
        """What the agent keeps for a directory, the latest first; its program is started for it."""
        async with self._visit(agent, cwd) as visit:
            return await visit.listed(cwd)

    async def told(self, agent: str, native_id: str, cwd: Path) -> AsyncIterator[AnyEvent]:
        """A native session's history, as the agent tells it when it loads one."""
        async with self._visit(agent, cwd) as visit:
            events = await visit.told(native_id, cwd)
        for event in events:
            yield event

    async def close(self) -> None:
        """Closes every session that is still open; bounded by the settings' `stop_grace`."""
        await asyncio.gather(*(session.close() for session in list(self._sessions)), return_exceptions=True)

    async def _open(self, opening: Opening, idle_events: Callable[[AnyEvent], None]) -> AcpSession:
        spec = self._specs[opening.agent]
        child, env = await self._launch(spec, opening)
        session = AcpSession(
            child, spec, opening, self._settings, env=env, spawner=self._spawner, idle_events=idle_events
        )
        self._sessions.add(session)
        try:
            await session.start(_our_version())
        except BaseException as error:
            await session.close()
            if isinstance(error, CoderError) or not isinstance(error, Exception):
                raise
            raise AgentFailed(f"{spec.label} could not be started: {error}. Prompt again to try once more.") from error
        return session

    @asynccontextmanager
    async def _visit(self, agent: str, cwd: Path) -> AsyncIterator[Visit]:
        spec = self._specs[agent]
        child, env = await self._launch(spec, Opening(agent=agent, chat_id="", cwd=cwd))
        visit = Visit(child, spec, self._settings, env)
        try:
            await visit.hello(_our_version())
            yield visit
        finally:
            await visit.close()

    async def _launch(self, spec: AgentSpec, opening: Opening) -> tuple[Child, dict[str, str]]:
        """Starts the program, with the environment that its mode and its working directory ask for."""
        path = self._programs.path(spec)
        env = self._programs.environment(spec, spec.modes.get(opening.mode, AgentMode()), opening.env)
        child = await self._spawner.spawn([path, *spec.argv[1:]], cwd=opening.cwd, env=env, name=spec.label)
        return child, env


def _our_version() -> str:
    from importlib import metadata  # slow to load, and needed once an agent is started

    try:
        return metadata.version("coder-nb")
    except metadata.PackageNotFoundError:
        return "0"
