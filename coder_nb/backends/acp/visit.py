"""A process that is started to be asked about its sessions, and takes no turn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from coder_nb.backends.acp import translate, wire
from coder_nb.backends.acp.connection import Connection, RpcError
from coder_nb.backends.acp.native import Native
from coder_nb.backends.acp.state import State
from coder_nb.backends.base import Opening
from coder_nb.backends.events import AnyEvent, UsageReported, UserSaid
from coder_nb.backends.processes import Child
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.agents import NativeSession
from coder_nb.errors import AgentDied, AgentUnavailable, NotFound
from coder_nb.settings import Settings

_SLIPPED_IN = re.compile(r"\s*(?:<(\w+_context)>.*</\1>|\[Function Response: [^]]*\])\s*\Z", re.DOTALL)
"""What agents tell their model of the surroundings and of their tools, in the user's name."""


class Visit:
    """One process and what it tells; `hello` first, `close` last."""

    def __init__(self, child: Child, spec: AgentSpec, settings: Settings, env: Mapping[str, str]) -> None:
        self._child = child
        self._spec = spec
        self._grace = settings.stop_grace
        self._state = State(agent=spec.name, telling=True)
        self._connection = Connection(child, self, name=spec.label)
        self._native = Native(self._connection, spec, env, timeout=settings.start_timeout)
        self._events: list[AnyEvent] = []

    async def hello(self, version: str) -> None:
        self._connection.open()
        try:
            await self._native.hello(version)
        except RpcError as error:
            raise self._native.refused(error) from error

    async def listed(self, cwd: Path) -> tuple[NativeSession, ...]:
        """The agent's sessions of a directory; none where it does not list them, or will not."""
        try:
            return await self._native.listed(cwd)
        except RpcError:
            return ()

    async def told(self, native_id: str, cwd: Path) -> list[AnyEvent]:
        """The history of a session; raises `NotFound`, or `AgentUnavailable` where the agent tells none."""
        if not self._native.capabilities.load:
            raise AgentUnavailable(
                f"{self._spec.label} does not tell what its earlier sessions hold: prompt it to go on with one."
            )
        opening = Opening(agent=self._spec.name, chat_id="", cwd=cwd)
        try:
            found = await self._native.again(opening, native_id, tell=True)
        except RpcError as error:
            raise self._native.refused(error) from error
        if found is None:
            raise NotFound(f"{self._spec.label} has no session {native_id!r} of {cwd}: look at what it lists.")
        return _whole(self._events)

    async def close(self) -> None:
        await self._child.stop(self._grace)
        await self._connection.close()

    # What the agent says --------------------------------------------------------------------------------------------

    def notified(self, method: str, params: Any) -> None:
        """Called by the connection."""
        self._events += translate.notification(self._state, method, params)

    def asked(self, number: Any, method: str, params: Any) -> None:
        """Called by the connection."""
        self._connection.fail(number, wire.METHOD_NOT_FOUND, f"Method not found: {method}")

    async def ready(self) -> None:
        """Called by the connection."""

    def garbled(self, text: str) -> None:
        """Called by the connection."""

    def ended(self, error: AgentDied) -> None:
        """Called by the connection."""


def _whole(events: list[AnyEvent]) -> list[AnyEvent]:
    """What the user said in one piece each time, from the first time on, without what agents slip in as hers.

    Usage in it is not counted again (law 17).
    """
    whole: list[AnyEvent] = []
    for event in events:
        last = whole[-1] if whole else None
        if isinstance(event, UserSaid) and _SLIPPED_IN.match(event.text):
            continue
        if isinstance(event, UserSaid) and isinstance(last, UserSaid) and event.native_id == last.native_id:
            whole[-1] = msgspec.structs.replace(last, text=last.text + event.text)
        elif isinstance(event, UsageReported):
            whole.append(msgspec.structs.replace(event, counted=False))
        elif whole or isinstance(event, UserSaid):
            whole.append(event)
    return whole
