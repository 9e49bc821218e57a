"""The one stream of a server's events: read by one task, each handed to the chat that its session belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Protocol

from coder_nb.backends.opencode.sse import Framer
from coder_nb.backends.opencode.state import parent_of, session_of
from coder_nb.errors import AgentDied

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)
FIRST_DELAY, LONGEST_DELAY = 0.25, 5.0
STALL = 30.0
"""Seconds without a byte after which the stream counts as lost: the server says something every ten."""


class Listener(Protocol):
    """A chat. All are called on the loop, in the order of the stream; none may block."""

    def heard(self, event: dict[str, Any]) -> None:
        """Something about its session, or a child of it."""

    def missed(self) -> None:
        """The stream was lost and is back: what came in between is to be asked for."""

    def ended(self, error: AgentDied) -> None:
        """The server is gone."""


class Events:
    """Who hears what; a session that nobody listens for is nobody's, and so is what is said about none."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._listeners: dict[str, Listener] = {}
        self._closing = asyncio.Event()
        self.connected = asyncio.Event()
        """Set while the stream is read: what is asked of the server then is heard."""

    def listen(self, session_id: str, listener: Listener) -> None:
        self._listeners[session_id] = listener

    def forget(self, listener: Listener, *, but: str | None = None) -> None:
        """Hands nothing over to it any more; or nothing of other sessions than that one."""
        known = self._listeners.items()
        self._listeners = {one: who for one, who in known if who is not listener or one == but}

    def close(self) -> None:
        """The server is about to end, or has: there is no connecting again."""
        self._closing.set()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        return tuple(dict.fromkeys(self._listeners.values()))

    async def run(self) -> None:
        """Reads until `close`, and connects again whenever the stream ends, at growing intervals."""
        import httpx

        timeout = httpx.Timeout(LONGEST_DELAY, read=STALL)
        delay, lost = FIRST_DELAY, False
        while not self._closing.is_set():
            try:
                async with self._client.stream("GET", "/global/event", timeout=timeout) as stream:
                    stream.raise_for_status()
                    framer = Framer()
                    async for data in stream.aiter_bytes():
                        for said in framer.feed(data):
                            self._take(said, lost)
                        if self.connected.is_set():
                            delay, lost = FIRST_DELAY, False
            except httpx.HTTPError as error:
                _log.info("the event stream was lost: %r", error)
            self.connected.clear()
            lost = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._closing.wait()
            delay = min(2 * delay, LONGEST_DELAY)

    def _take(self, said: dict[str, Any], lost: bool) -> None:
        event = said.get("payload")
        if not isinstance(event, dict):
            return
        kind = event.get("type")
        if kind == "server.connected":
            self.connected.set()
        if kind == "server.instance.disposed" or (kind == "server.connected" and lost):
            for listener in self.listeners:
                _tell(listener.missed)
            return
        whose = self._whose(event)
        if whose is not None:
            _tell(whose.heard, event)

    def _whose(self, event: dict[str, Any]) -> Listener | None:
        """The chat that an event is for; a child of a known session becomes known by it."""
        session = session_of(event)
        if session is None:
            return None
        parent = parent_of(event)
        if parent is not None and parent in self._listeners and session not in self._listeners:
            self._listeners[session] = self._listeners[parent]
        return self._listeners.get(session)


def _tell(call: Any, *about: Any) -> None:
    """One chat's trouble with what it hears is not the others'."""
    try:
        call(*about)
    except Exception:
        _log.exception("an event could not be taken")
