"""The wire to one agent: requests out and answers in, frames handed over in the order in which they came."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from coder_nb.backends.acp import wire
from coder_nb.backends.processes import Child
from coder_nb.errors import AgentDied, AgentTimeout, CoderError

_log = logging.getLogger(__name__)
Answer = Callable[["dict[str, Any] | CoderError | RpcError"], None]
UNREAD = 256 << 20
"""Bytes that an agent may be told without reading them."""


class RpcError(Exception):
    """An agent answered a request with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def describe(self) -> str:
        """What the agent said, with the detail that some put beside the message."""
        detail = self.data
        if isinstance(detail, dict):
            detail = detail.get("details") or detail.get("message") or detail.get("error") or ""
        extra = detail if isinstance(detail, str) else ""
        return f"{self.message}: {extra}" if extra and extra not in self.message else self.message or "unknown error"


class Listener(Protocol):
    """What comes from the agent by itself. All are called on the loop, at once and in order; none may block."""

    def notified(self, method: str, params: Any) -> None: ...

    def asked(self, number: Any, method: str, params: Any) -> None: ...

    def garbled(self, text: str) -> None: ...

    async def ready(self) -> None:
        """Returns when there is room for more; meanwhile nothing is read, and an agent that goes on waits."""

    def ended(self, error: AgentDied) -> None:
        """The agent's output has ended; nothing comes any more."""


class Connection:
    """JSON-RPC over a child's pipes. Nothing that is sent blocks the sender: a task of its own writes."""

    def __init__(self, child: Child, listener: Listener, *, name: str, end_wait: float = 2.0) -> None:
        self._child = child
        self._listener = listener
        self._name = name
        self._end_wait = end_wait
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Answer] = {}
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._unread = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.dead: AgentDied | None = None
        self.over = False
        """Whether the agent has closed its output, by which it is known at once that its process has ended."""
        self._heard = 0
        self.heard_at = time.monotonic()
        """When the agent said something last."""

    def open(self) -> None:
        """Starts reading and writing."""
        self._tasks = [
            asyncio.create_task(self._read(), name=f"{self._name} reader"),
            asyncio.create_task(self._write(), name=f"{self._name} writer"),
        ]

    async def close(self) -> None:
        """Stops reading and writing; who still waits for an answer gets `AgentDied`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end(AgentDied(f"{self._name} was closed: prompt again to start it afresh."))

    def call(self, method: str, params: dict[str, Any], answer: Answer) -> int:
        """Sends a request; `answer` is called in the order of what comes, exactly once."""
        number = next(self._numbers)
        if self.dead is not None:
            answer(self.dead)
            return number
        self._waiting[number] = answer
        self._tell(wire.request(number, method, params))
        return number

    async def request(self, method: str, params: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        """Sends a request and waits; raises `RpcError`, `AgentTimeout` or `AgentDied`."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def answer(result: dict[str, Any] | CoderError | RpcError) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        number = self.call(method, params, answer)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise AgentTimeout(
                f"{self._name} did not answer `{method}` within {timeout:g} s: prompt again to start it afresh."
            ) from None
        finally:
            self._waiting.pop(number, None)

    async def quiet(self, pause: float, *, limit: float) -> None:
        """Returns once the agent has said nothing for a pause, or after the limit."""
        heard, rounds = -1, int(limit / pause)
        while heard != self._heard and rounds:
            heard, rounds = self._heard, rounds - 1
            await asyncio.sleep(pause)

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self._tell(wire.notification(method, params))

    def respond(self, number: Any, result: Any) -> None:
        self._tell(wire.response(number, result))

    def fail(self, number: Any, code: int, message: str) -> None:
        """Answers a request with an error."""
        self._tell(wire.failure(number, code, message))

    def _tell(self, message: bytes) -> None:
        if self._unread > UNREAD:
            self._end(AgentDied(f"{self._name} does not read what it is told: prompt again to start it afresh."))
        if self.dead is None:
            self._unread += len(message)
            self._outgoing.put_nowait(message)

    # ----------------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Reads until the end; what breaks here ends the agent's words too, so that no turn waits for more of them."""
        try:
            await self._hear()
        except wire.TooLong:
            most = f"{wire.LONGEST_LINE >> 20} MiB"
            self._end(AgentDied(f"{self._name} wrote a line of more than {most}, which is not taken: prompt again."))
        except Exception as error:
            _log.exception("what %s said could not be taken", self._name)
            self._end(AgentDied(f"coder-nb could not take what {self._name} said ({error!r}): prompt again."))

    async def _hear(self) -> None:
        framer = wire.Framer()
        while data := await self._child.read(1 << 18):
            for frame in framer.feed(data):
                self._take(frame)
            await self._listener.ready()
        self.over = True
        for frame in framer.end():
            self._take(frame)
        try:
            async with asyncio.timeout(self._end_wait):
                await self._child.wait()
        except TimeoutError:
            pass  # it has closed its output and lives on: there is nothing to be had from it any more
        self._end(AgentDied(self._child.explain()))

    async def _write(self) -> None:
        try:
            while True:
                message = await self._outgoing.get()
                await self._child.write(message)
                self._unread -= len(message)
        except AgentDied:
            pass  # the reader sees its end too, after what it said last

    def _take(self, frame: dict[str, Any] | wire.Garbage) -> None:
        self._heard, self.heard_at = self._heard + 1, time.monotonic()
        if isinstance(frame, wire.Garbage):
            self._listener.garbled(frame.text)
        elif isinstance(method := frame.get("method"), str):
            if "id" in frame:
                self._listener.asked(frame["id"], method, frame.get("params"))
            else:
                self._listener.notified(method, frame.get("params"))
        elif isinstance(number := frame["id"], int) and (answer := self._waiting.pop(number, None)) is not None:
            answer(_result(frame))

    def _end(self, error: AgentDied) -> None:
        if self.dead is not None:
            return
        self.dead = error
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer(error)
        self._listener.ended(error)


def _result(frame: dict[str, Any]) -> dict[str, Any] | RpcError:
    error = frame.get("error")
    if error is None:
        result = frame.get("result")
        return result if isinstance(result, dict) else {}
    if not isinstance(error, dict):
        return RpcError(0, str(error))
    code = error.get("code")
    return RpcError(code if isinstance(code, int) else 0, str(error.get("message") or ""), error.get("data"))
