"""One `opencode serve`: started, watched and ended here; whoever uses it talks to it through this."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from coder_nb.backends.opencode.events import Events
from coder_nb.backends.processes import Child, Spawner
from coder_nb.errors import AgentDied, AgentFailed, AgentProtocolError, AgentTimeout
from coder_nb.settings import Settings

_log = logging.getLogger(__name__)
_LISTENING = re.compile(rb"listening on (http://\S+)\r?\n")
_USER = "opencode"
_LAST_WAIT = 1.0


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Over(Exception):
    """The process has ended."""


class Server:
    """A server that runs, with its stream of events; when its process ends it is dead for good."""

    def __init__(
        self, child: Child, url: str, password: str, settings: Settings, *, name: str, ended: Callable[[], None]
    ) -> None:
        """`ended` is called when its process has ended, whyever."""
        import httpx  # loaded with the first server

        self._child = child
        self._name = name
        self._settings = settings
        self._ended_now = ended
        self._why = ""
        self._client = httpx.AsyncClient(
            base_url=url,
            auth=(_USER, password),
            timeout=httpx.Timeout(settings.start_timeout, connect=settings.health_timeout),
            trust_env=False,  # a proxy has nothing to do with a server on this machine
        )
        self._group: asyncio.TaskGroup | None = None
        self._task: asyncio.Task[None] | None = None
        self._busy: set[object] = set()
        self._errands: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[Any]] = set()
        self.users = 0
        """How many sessions are open on it, or being opened."""
        self.unused_since = time.monotonic()
        self.events = Events(self._client)
        self.dead: AgentDied | None = None
        self.wanted = False
        """Whether it died while chats were open on it."""

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        env: Mapping[str, str],
        spawner: Spawner,
        settings: Settings,
        *,
        name: str,
        ended: Callable[[], None] = lambda: None,
    ) -> Server:
        """Starts a server on a free port of the loopback, with a password of its own; returns when it can be used.

        Raises `AgentDied` where it ended, `AgentTimeout` where it did not listen within `start_timeout`.
        """
        password = f"cnb_{secrets.token_urlsafe(24)}"  # of the shape of a key, which no export shows
        env = {**env, "OPENCODE_SERVER_PASSWORD": password, "OPENCODE_SERVER_USERNAME": _USER}
        command = [*argv, "serve", "--hostname", "127.0.0.1", "--port", str(_free_port())]
        child = await spawner.spawn(command, cwd=Path.home(), env=env, name=name)
        server: Server | None = None
        try:
            async with asyncio.timeout(settings.start_timeout):
                server = cls(child, await _listening(child), password, settings, name=name, ended=ended)
                server._task = asyncio.create_task(server._supervise(), name=f"{name} server {child.pid}")
                await server.connected()
        except BaseException as error:
            await (child.stop(0.0) if server is None else server.stop(0.0))
            if isinstance(error, TimeoutError):
                raise AgentTimeout(
                    f"{name} did not listen within {settings.start_timeout:g} s: prompt again to start it afresh."
                ) from None
            raise
        return server

    @property
    def pid(self) -> int:
        return self._child.pid

    def stderr_tail(self) -> str:
        """The end of what the server's process wrote to its standard error."""
        return self._child.stderr_tail()

    @property
    def turns(self) -> int:
        """How many turns run on it."""
        return len(self._busy)

    async def stop(self, grace: float, why: str = "") -> None:
        """Ends the process and all that belongs to it, bounded by `grace`; turns on it fail with that sentence."""
        self._why = self._why or why
        self.events.close()
        await self._child.stop(grace)
        if self._task is not None:
            await asyncio.wait({self._task})

    # Talking to it --------------------------------------------------------------------------------------------------

    async def call(
        self, method: str, path: str, cwd: Path, body: Any = None, *, timeout: float | None = None, **query: Any
    ) -> Any:
        """One request in a directory; raises `Refused`, `AgentTimeout` or `AgentDied`."""
        import httpx

        if self.dead is not None:
            raise self.dead
        options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        try:
            answer = await self._request(method, path, params={"directory": str(cwd), **query}, json=body, **options)
        except httpx.TimeoutException:
            raise AgentTimeout(f"{self._name} did not answer {path} in time: prompt again.") from None
        except httpx.HTTPError as error:
            raise await self._ended(error) from error
        if answer.status_code >= 400:
            raise Refused(answer.status_code, _reason(answer))
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise AgentProtocolError(
                f"{self._name} answered {path} with something that is no JSON: upgrade it."
            ) from None

    async def _request(self, method: str, path: str, **options: Any) -> Any:
        """A request that goes on where its caller is cancelled: one cut off as it connects would lose its socket."""
        request = asyncio.create_task(self._client.request(method, path, **options), name=f"{method} {path}")
        self._requests.add(request)
        request.add_done_callback(self._answered)
        return await asyncio.shield(request)

    def _answered(self, request: asyncio.Task[Any]) -> None:
        self._requests.discard(request)
        if not request.cancelled():
            request.exception()  # whoever asked may have gone; nobody else wants to know

    async def connected(self) -> None:
        """Waits until the stream of events is read; raises `AgentDied`. Whoever waits bounds it."""
        while not self.events.connected.is_set():
            if self.dead is not None:
                raise self.dead
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self.events.connected.wait()

    def soon(self, what: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Does something beside; what goes wrong in it is left to whoever sees the consequence."""
        if self._group is None or self.dead is not None:
            what.close()
            return
        task = self._group.create_task(_quietly(what), name=name)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    @contextlib.contextmanager
    def busy(self, turn: object) -> Any:
        """While a turn runs on it; it is not taken for deaf so soon then."""
        self._busy.add(turn)
        try:
            yield
        finally:
            self._busy.discard(turn)

    def release(self) -> None:
        """A session that was open on it is closed."""
        self.users -= 1
        self.unused_since = time.monotonic()

    # Watching it ----------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Lives as long as the process: reads its events, and tells everybody when it is gone."""
        try:
            async with asyncio.TaskGroup() as self._group:
                reader = self._group.create_task(self.events.run(), name=f"{self._name} events")
                while await self._child.read():
                    pass
                self.events.close()  # all end by themselves now; one cut off while it connects would leak its socket
                await asyncio.wait({reader, *self._errands}, timeout=_LAST_WAIT)
                raise _Over
        except* _Over:
            pass
        except* Exception:
            _log.exception("what watches %s has failed", self._name)
        finally:
            self._group = None
            await self._child.stop(0.0)
            self.dead, self.wanted = AgentDied(self._why or self._child.explain()), self.users > 0
            for listener in self.events.listeners:
                listener.ended(self.dead)
            self._ended_now()
            await self._hang_up()

    async def _hang_up(self) -> None:
        """Closes all connections, once what is asked has failed: there is nobody left to answer."""
        if self._requests:
            _, late = await asyncio.wait(set(self._requests), timeout=_LAST_WAIT)
            for request in late:
                request.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._client.aclose()

    async def healthy(self) -> bool:
        """Asks it how it is, which does not disturb what it does; False where it does not answer in time."""
        import httpx

        if self.dead is not None:
            return False
        try:
            answer = await self._request("GET", "/global/health", timeout=self._settings.health_timeout)
        except httpx.HTTPError:
            return False
        return bool(answer.status_code == 200)

    async def _ended(self, error: Exception) -> AgentFailed:
        """What a broken connection is the first sign of, mostly: that the server has ended."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=2 * _LAST_WAIT)
        return self.dead or AgentFailed(f"{self._name} cannot be reached ({error!r}): prompt again.")


async def _listening(child: Child) -> str:
    """The address that a server says it listens on; raises `AgentDied` where it ends before."""
    said = b""
    while (found := _LISTENING.search(said)) is None:
        data = await child.read()
        if not data:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await child.wait()
            raise AgentDied(child.explain())
        said = (said + data)[-65536:]
    return found[1].decode()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _reason(answer: Any) -> str:
    """What an error's body says, in one line."""
    try:
        said = answer.json()
        data = said.get("data")
        text = (data if isinstance(data, dict) else said).get("message") or said.get("name")
    except (ValueError, AttributeError):
        text = None
    return str(text or f"status {answer.status_code}").strip().splitlines()[0]


async def _quietly(what: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(Refused, AgentFailed):
        await what
