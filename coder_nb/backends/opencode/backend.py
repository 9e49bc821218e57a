"""Opens agent sessions on a server of opencode: one process for all chats, started with the first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from coder_nb.backends.base import AgentSession, AnyEvent, NativeSession, Opening, Probe, Spawner
from coder_nb.backends.opencode import past, prompting
from coder_nb.backends.opencode.server import Refused, Server
from coder_nb.backends.opencode.session import OpencodeSession
from coder_nb.backends.program import Programs
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.errors import AgentDied, AgentFailed, AgentTimeout, CoderError, NotFound
from coder_nb.settings import Settings

_CONFIG = "OPENCODE_CONFIG_CONTENT"
_Launch = tuple[str, frozenset[tuple[str, str]]]


class OpencodeBackend:
    """Every agent whose registry entry has the backend ``opencode``; `argv` then is the program.

    There is one server for all of an agent's chats. Only a mode that needs other variables, which the user may have
    configured, has a server of its own.
    """

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
        self._servers: dict[_Launch, Server] = {}
        self._starting = asyncio.Lock()
        self._closed = False

    @property
    def servers(self) -> tuple[Server, ...]:
        """Those that run."""
        return tuple(server for server in self._servers.values() if server.dead is None)

    async def probe(self, agent: str) -> Probe:
        """Whether its program is there and new enough. Whether it is logged in shows when it is prompted."""
        return await self._programs.probe(self._specs[agent])

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        """A native session on the server, which is started where none runs; a second time where the first try fails.

        Raises an `AgentUnavailable` or `AgentFailed`, never anything foreign.
        """
        for tries_left in reversed(range(max(1, self._settings.start_tries))):
            try:
                return await self._open(opening, idle_events)
            except (AgentDied, AgentTimeout):
                if not tries_left:
                    raise
        raise AssertionError("a loop that returns or raises")

    async def native_sessions(self, agent: str, cwd: Path) -> tuple[NativeSession, ...]:
        """What the server keeps for a directory, the latest first."""
        async with self._visiting(agent, cwd) as server:
            return await past.sessions(server, cwd)

    async def told(self, agent: str, native_id: str, cwd: Path) -> AsyncIterator[AnyEvent]:
        """A session's history; raises `NotFound` where the server has none of that id."""
        async with self._visiting(agent, cwd) as server:
            try:
                history = await past.messages(server, cwd, native_id)
            except Refused:
                raise NotFound(
                    f"{agent} has no session {native_id!r}: `chat.native_sessions()` lists those there are."
                ) from None
        for event in past.told(agent, native_id, history):
            yield event

    @contextlib.asynccontextmanager
    async def _visiting(self, agent: str, cwd: Path) -> AsyncIterator[Server]:
        """A server to ask, with no session on it."""
        server = await self._acquire(self._specs[agent], Opening(agent=agent, chat_id="", cwd=cwd))
        try:
            yield server
        finally:
            server.release()

    async def close(self) -> None:
        """Ends the servers; bounded by the settings' `stop_grace`."""
        self._closed = True
        await asyncio.gather(*(server.stop(self._settings.stop_grace) for server in self._servers.values()))
        self._servers.clear()

    async def _open(self, opening: Opening, idle_events: Callable[[AnyEvent], None]) -> OpencodeSession:
        spec = self._specs[opening.agent]
        server = await self._acquire(spec, opening)
        session = OpencodeSession(server, spec, opening, self._settings, idle_events=idle_events)
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                await session.start()
        except BaseException as error:
            await session.close()
            if isinstance(error, TimeoutError):
                raise AgentTimeout(f"{spec.label} did not make a session in time: prompt again.") from None
            if isinstance(error, CoderError) or not isinstance(error, Exception):
                raise
            text = error.message if isinstance(error, Refused) else str(error)
            raise AgentFailed(f"{spec.label} did not start a session: {text}. Prompt again to try anew.") from error
        return session

    async def _acquire(self, spec: AgentSpec, opening: Opening) -> Server:
        """The server, started at most once however many ask for it at the same time."""
        path = self._programs.path(spec)
        mode = _with_ours(spec.modes.get(opening.mode, AgentMode()), opening)
        env = self._programs.environment(spec, mode, opening.env)
        launch = (spec.name, frozenset(env.items()))
        async with self._starting:
            if self._closed:
                raise AgentFailed("This runtime is closed: open another one to start agents.")
            server = self._servers.get(launch)
            if server is None or server.dead is not None:
                argv = [path, *(word for word in spec.argv[1:] if word != "acp")]
                for key in [key for key, one in self._servers.items() if one.dead is not None]:
                    await self._servers.pop(key).stop(0.0)
                server = await Server.start(argv, env, self._spawner, self._settings, name=spec.label)
                self._servers[launch] = server
            server.users += 1
        return server


def _with_ours(mode: AgentMode, opening: Opening) -> AgentMode:
    """A mode with what else we have to say: our own checkpoints are enough, and the user's MCP servers."""
    ours: dict[str, Any] = {"snapshot": False}
    if opening.mcp_servers:
        ours["mcp"] = prompting.mcp(opening.mcp_servers)
    config = {**mode.config.get(_CONFIG, {}), **ours}
    return msgspec.structs.replace(mode, config={**mode.config, _CONFIG: config})
