"""Opens agent sessions on a server of opencode: one process for all chats, started with the first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from coder_nb.backends.base import AgentSession, Opening, Probe
from coder_nb.backends.events import AnyEvent
from coder_nb.backends.opencode import past, prompting
from coder_nb.backends.opencode.server import Refused, Server
from coder_nb.backends.opencode.session import OpencodeSession
from coder_nb.backends.processes import Spawner
from coder_nb.backends.program import Programs, persistently
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.core.agents import NativeSession
from coder_nb.errors import AgentFailed, AgentTimeout, CoderError, NotFound
from coder_nb.settings import Settings

_CONFIG = "OPENCODE_CONFIG_CONTENT"


class Launch(NamedTuple):
    """What a server is started with: chats that need the same share one."""

    agent: str
    argv: tuple[str, ...]
    env: frozenset[tuple[str, str]]
    label: str


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
        self._servers: dict[Launch, asyncio.Task[Server]] = {}
        self._closed = False
        self.changed: Callable[[], None] = lambda: None
        """Called when a server has ended: somebody may have to start another one."""

    @property
    def servers(self) -> Mapping[Launch, Server]:
        """The latest server of each launch, whether it lives or not, until it is given up."""
        found = ((launch, _server_of(starting)) for launch, starting in self._servers.items())
        return {launch: server for launch, server in found if server is not None}

    async def restart(self, launch: Launch) -> Server:
        """The server of a launch; another one where it is dead, started once however many ask.

        Raises an `AgentUnavailable` or `AgentFailed`.
        """
        return await asyncio.shield(self._starting(launch))

    def give_up(self, launch: Launch, server: Server) -> None:
        """Forgets a server that is dead, unless another one has taken its place."""
        if server.dead is not None and self.servers.get(launch) is server:
            del self._servers[launch]

    async def probe(self, agent: str) -> Probe:
        """Whether its program is there and new enough. Whether it is logged in shows when it is prompted."""
        return await self._programs.probe(self._specs[agent])

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        """A native session on the server, which is started where none runs; a second time where the first try fails.

        Raises an `AgentUnavailable` or `AgentFailed`, never anything foreign.
        """
        return await persistently(self._settings.start_tries, lambda: self._open(opening, idle_events))

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
        grace = self._settings.stop_grace
        if starts := set(self._servers.values()):
            _, late = await asyncio.wait(starts, timeout=grace)
            for start in late:
                start.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            servers = [server for start in starts if (server := _server_of(start)) is not None]
            await asyncio.gather(*(server.stop(grace) for server in servers))
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
        """The server, started at most once however many ask for it at the same time, and whoever of them gives up."""
        mode = _with_ours(spec.modes.get(opening.mode, AgentMode()), opening)
        env = self._programs.environment(spec, mode, opening.env)
        argv = [self._programs.path(spec), *(word for word in spec.argv[1:] if word != "acp")]
        server = await self.restart(Launch(spec.name, tuple(argv), frozenset(env.items()), spec.label))
        server.users += 1
        return server

    def _starting(self, launch: Launch) -> asyncio.Task[Server]:
        if self._closed:
            raise AgentFailed("This runtime is closed: open another one to start agents.")
        starting = self._servers.get(launch)
        if starting is None or _is_over(starting):
            start = self._start(launch, after=starting)
            starting = self._servers[launch] = asyncio.create_task(start, name=f"start {launch.label}")
        return starting

    async def _start(self, launch: Launch, *, after: asyncio.Task[Server] | None) -> Server:
        if after is not None and (dead := _server_of(after)) is not None:
            await dead.stop(0.0)  # what it held is let go
        return await Server.start(
            launch.argv,
            dict(launch.env),
            self._spawner,
            self._settings,
            name=launch.label,
            ended=lambda: self.changed(),  # whoever wants to know by then
        )


def _with_ours(mode: AgentMode, opening: Opening) -> AgentMode:
    """A mode with what else we have to say: our own checkpoints are enough, and the user's MCP servers."""
    ours: dict[str, Any] = {"snapshot": False}
    if opening.mcp_servers:
        ours["mcp"] = prompting.mcp(opening.mcp_servers)
    config = {**mode.config.get(_CONFIG, {}), **ours}
    return msgspec.structs.replace(mode, config={**mode.config, _CONFIG: config})


def _server_of(starting: asyncio.Task[Server]) -> Server | None:
    """What has come of a start; None while it is under way, and where it failed."""
    if not starting.done() or starting.cancelled() or starting.exception() is not None:
        return None
    return starting.result()


def _is_over(starting: asyncio.Task[Server]) -> bool:
    server = _server_of(starting)
    return starting.done() and (server is None or server.dead is not None)
