"""Opens agent sessions over ACP: finds the program, gives it its environment, starts it, says hello."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping

from coder_nb.backends.acp.session import AcpSession
from coder_nb.backends.base import AgentSession, AnyEvent, Opening, Probe, Spawner, Untold
from coder_nb.backends.program import Programs
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.errors import AgentDied, AgentFailed, AgentTimeout, CoderError
from coder_nb.settings import Settings


class AcpBackend(Untold):
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
        """Whether its program is there and new enough. Whether it is logged in shows when a session is made."""
        return await self._programs.probe(self._specs[agent])

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        """Starts a process and a native session, a second time where the first died or was too slow.

        Raises an `AgentUnavailable` or `AgentFailed`, never anything foreign.
        """
        for tries_left in reversed(range(max(1, self._settings.start_tries))):
            try:
                return await self._open(opening, idle_events)
            except (AgentDied, AgentTimeout):
                if not tries_left:
                    raise
        raise AssertionError("a loop that returns or raises")

    async def close(self) -> None:
        """Closes every session that is still open; bounded by the settings' `stop_grace`."""
        await asyncio.gather(*(session.close() for session in list(self._sessions)), return_exceptions=True)

    async def _open(self, opening: Opening, idle_events: Callable[[AnyEvent], None]) -> AcpSession:
        spec = self._specs[opening.agent]
        path = self._programs.path(spec)
        env = self._programs.environment(spec, spec.modes.get(opening.mode, AgentMode()))
        child = await self._spawner.spawn([path, *spec.argv[1:]], cwd=opening.cwd, env=env, name=spec.label)
        session = AcpSession(child, spec, opening, self._settings, version=_our_version(), idle_events=idle_events)
        self._sessions.add(session)
        try:
            await session.start()
        except BaseException as error:
            await session.close()
            if isinstance(error, CoderError) or not isinstance(error, Exception):
                raise
            raise AgentFailed(f"{spec.label} could not be started: {error}. Prompt again to try once more.") from error
        return session


def _our_version() -> str:
    from importlib import metadata  # slow to load, and needed once an agent is started

    try:
        return metadata.version("coder-nb")
    except metadata.PackageNotFoundError:
        return "0"
