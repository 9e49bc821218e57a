"""The agent's own sessions: the greeting, and how one is made, gone on with, branched off, listed and closed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from coder_nb.backends.acp import content, signin, terminals, wire
from coder_nb.backends.acp.connection import Connection, RpcError
from coder_nb.backends.acp.state import capabilities, transports_of
from coder_nb.backends.base import Capabilities, Opening
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.agents import NativeSession
from coder_nb.errors import AgentFailed, AgentNotLoggedIn, AgentProtocolError, CoderError

PROTOCOL_VERSION = 1
How = Literal["new", "resumed", "forked", "forgotten"]
_MOST_PAGES = 50
_PAUSE = 0.2
"""Seconds without a word after which a history that is told late counts as told."""
_LAST_WORD = 1.0
"""Seconds that an agent has to close a session before its process is ended."""


class Native:
    """Asks an agent for its sessions; one object for the life of a process."""

    def __init__(self, connection: Connection, spec: AgentSpec, env: Mapping[str, str], *, timeout: float) -> None:
        self._connection = connection
        self._spec = spec
        self._env = env
        self._timeout = timeout
        self._methods: list[dict[str, Any]] = []
        self._transports: frozenset[str] = frozenset()
        self.capabilities = Capabilities()
        self.left_out: list[str] = []
        """Names of the user's MCP servers that the agent does not take."""

    async def hello(self, version: str) -> None:
        """Greets the agent and learns what it can do; raises `AgentProtocolError` where it speaks another version."""
        said = await self._request(
            "initialize",
            {
                "protocolVersion": PROTOCOL_VERSION,
                "clientCapabilities": {
                    "fs": {"readTextFile": self._spec.files, "writeTextFile": self._spec.files},
                    "terminal": self._spec.terminals and terminals.AVAILABLE,
                    "session": {"configOptions": {"boolean": {}}},
                    "auth": {"terminal": True},
                    "elicitation": {"form": {}, "url": {}},
                },
                "clientInfo": {"name": "coder-nb", "title": "coder-nb", "version": version},
            },
        )
        spoken = said.get("protocolVersion")
        if spoken != PROTOCOL_VERSION:
            raise AgentProtocolError(
                f"{self._spec.label} speaks version {spoken!r} of the Agent Client Protocol, and this coder-nb version "
                f"{PROTOCOL_VERSION}: upgrade the older one of the two."
            )
        self._methods = signin.methods_of(said)
        self._transports = transports_of(said)
        self.capabilities = capabilities(said)

    async def open(self, opening: Opening) -> tuple[How, dict[str, Any]]:
        """Goes on with a native session, branches off one, or makes one: how it went, and what the agent answered.

        Raises `RpcError` or `AgentProtocolError`.
        """
        if opening.native_id is not None and (found := await self.again(opening, opening.native_id)) is not None:
            return "resumed", {**found, "sessionId": opening.native_id}
        if opening.fork is not None and (found := await self._fork(opening)) is not None:
            return "forked", self._checked(found)
        made = self._checked(await self._ask("session/new", self._place(opening)))
        return ("new" if opening.native_id is None and opening.fork is None else "forgotten"), made

    async def again(self, opening: Opening, native_id: str, *, tell: bool = False) -> dict[str, Any] | None:
        """Resumes a native session, or loads it, which tells its history; None where the agent does not know it.

        With `tell` only a load will do.
        """
        can = self.capabilities
        method = "session/resume" if can.resume and not tell else "session/load" if can.load else None
        if method is None:
            return None
        found = await self._unless_unknown(method, {"sessionId": native_id, **self._place(opening)})
        if method == "session/load" and self._spec.tells_late:
            await self._connection.quiet(_PAUSE, limit=self._timeout)
        return found

    async def _fork(self, opening: Opening) -> dict[str, Any] | None:
        """None where the agent cannot: the protocol branches off a session's end, and nowhere else."""
        if opening.fork is None or opening.fork.at is not None or not self.capabilities.fork:
            return None
        return await self._unless_unknown("session/fork", {"sessionId": opening.fork.native_id, **self._place(opening)})

    async def _unless_unknown(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return await self._ask(method, params)
        except RpcError as error:
            if error.code == wire.AUTH_REQUIRED:
                raise
            return None

    async def listed(self, cwd: Path) -> tuple[NativeSession, ...]:
        """The agent's sessions of a directory, the latest first; none where it does not list them."""
        if not self.capabilities.list:
            return ()
        found: list[NativeSession] = []
        page: dict[str, Any] = {}
        for _ in range(_MOST_PAGES):
            page = await self._ask("session/list", {"cwd": str(cwd), **_cursor(page)})
            sessions = page.get("sessions")
            found += [_session(one) for one in sessions if _is_session(one)] if isinstance(sessions, list) else []
            if not page.get("nextCursor"):
                break
        return await asyncio.to_thread(_of, found, cwd)

    async def close(self, native_id: str) -> None:
        """Tells the agent that a session is not needed any more, which stays in its store; never raises."""
        if not self.capabilities.close or self._connection.dead is not None:
            return
        with contextlib.suppress(RpcError, CoderError):  # its process is ended next, whatever it answers
            await self._connection.request("session/close", {"sessionId": native_id}, timeout=_LAST_WORD)

    def refused(self, error: RpcError) -> CoderError:
        """Our own error for an agent that did not start a session."""
        if error.code == wire.AUTH_REQUIRED:
            return AgentNotLoggedIn(self.login_text())
        return AgentFailed(f"{self._spec.label} did not start a session: {error.describe()}. Prompt again to try anew.")

    def login_text(self) -> str:
        return signin.text(self._spec, self._methods)

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A request that may need a login: one by variables that the agent has is done here, once."""
        try:
            return await self._request(method, params)
        except RpcError as error:
            way = signin.by_variables(self._methods, self._env) if error.code == wire.AUTH_REQUIRED else None
            if way is None:
                raise
        await self._request("authenticate", {"methodId": way})
        return await self._request(method, params)

    async def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._connection.request(method, params, timeout=self._timeout)

    def _place(self, opening: Opening) -> dict[str, Any]:
        servers, self.left_out = content.mcp_servers(opening.mcp_servers, self._transports, self._program)
        return {"cwd": str(opening.cwd), "mcpServers": servers}

    def _program(self, name: str) -> str:
        return shutil.which(name, path=self._env.get("PATH")) or name

    def _checked(self, result: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(result.get("sessionId"), str) or not result["sessionId"]:
            raise AgentProtocolError(f"{self._spec.label} made a session without an id: upgrade it, then prompt again.")
        return result


def _of(found: list[NativeSession], cwd: Path) -> tuple[NativeSession, ...]:
    """Those of a directory, whatever else the agent lists, the latest first."""
    real = os.path.realpath(cwd)
    here = [one for one in found if not one.cwd or os.path.realpath(one.cwd) == real]
    return tuple(sorted(here, key=lambda one: one.updated_at or 0, reverse=True))


def _cursor(page: dict[str, Any]) -> dict[str, Any]:
    return {"cursor": page["nextCursor"]} if page.get("nextCursor") else {}


def _is_session(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("sessionId"), str)


def _session(one: dict[str, Any]) -> NativeSession:
    return NativeSession(
        native_id=one["sessionId"],
        title=str(one.get("title") or ""),
        cwd=str(one.get("cwd") or ""),
        updated_at=_milliseconds(one.get("updatedAt")),
    )


def _milliseconds(said: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(said).timestamp() * 1000)
    except (TypeError, ValueError):
        return None
