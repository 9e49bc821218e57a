"""The runtime on a thread and a loop of its own, beside the server's.

The server's loop stays smooth whatever the runtime does, and the runtime has a loop that can start processes, which the
server's cannot on every platform. What crosses between the two are frozen values.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from coder_nb import __version__
from coder_nb.core.health import Health
from coder_nb.core.stream import PROTOCOL
from coder_nb.core.verbs import Verbs
from coder_nb.errors import CoderError, ConnectionLost

T = TypeVar("T")

RETRY = 5.0
"""Seconds after which a runtime that could not open is tried again, when somebody asks for it."""
NOT_RUNNING = "The Jupyter server's runtime is not running: start the server again, then run the cell again."
UNEXPECTED = "Something went wrong in the Jupyter server: its log says what."
PATIENCE = 20.0
"""Seconds that a request waits for a runtime that is still opening."""


class HostedRuntime:
    """Owns the thread, the loop, the runtime on it, and every call that the server makes to it."""

    def __init__(self, opening: Callable[[], Awaitable[Verbs]], *, log: logging.Logger) -> None:
        self._opening = opening
        self._log = log
        self._thread = threading.Thread(target=self._run, name="coder-nb", daemon=True)
        self._attempt: concurrent.futures.Future[Verbs] | None = None
        self._failed_at: float | None = None
        self._closing = self._closed = False
        self._ending = threading.Lock()

    def start(self) -> None:
        """Starts the thread and begins to open the runtime; returns at once."""
        running = threading.Event()
        self._running = running
        self._thread.start()
        while self._thread.is_alive() and not running.wait(0.1):
            pass
        self._attempt = self.spawn(self._open())

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Runs a coroutine on the runtime's loop; cancelling the future cancels it there."""
        try:
            if not self._thread.is_alive() or self._closed:
                raise ConnectionLost(NOT_RUNNING)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except (CoderError, RuntimeError):
            coroutine.close()
            raise

    async def opened(self) -> Verbs:
        """The runtime, once it is open; raises what keeps it from opening. A failure is not for ever: see `RETRY`."""
        if self._attempt is None:
            raise ConnectionLost(NOT_RUNNING)
        if self._failed_at is not None and time.monotonic() > self._failed_at + RETRY and not self._closing:
            self._failed_at = None
            self._attempt = self.spawn(self._open())
        try:
            async with asyncio.timeout(PATIENCE):
                with self._cancelled_by_us(self._attempt):
                    return await asyncio.shield(asyncio.wrap_future(self._attempt))
        except TimeoutError:
            raise ConnectionLost("The runtime is still starting: try again in a moment.") from None

    async def call(self, work: Callable[[Verbs], Coroutine[Any, Any, T]]) -> T:
        """Runs some work with the runtime on its loop and returns what it returns."""
        runtime = await self.opened()
        future = self.spawn(work(runtime))
        with self._cancelled_by_us(future):
            return await asyncio.wrap_future(future)

    @contextmanager
    def _cancelled_by_us(self, future: concurrent.futures.Future[Any]) -> Iterator[None]:
        """What is cut off because the runtime closes is an error to its caller, not the caller's own cancellation."""
        try:
            yield
        except asyncio.CancelledError:
            if self._closing and future.cancelled():
                raise ConnectionLost(NOT_RUNNING) from None
            raise

    async def health(self) -> Health:
        """How the runtime is; a cause instead of an error where it could not open."""
        try:
            return await self.call(lambda runtime: runtime.health())
        except CoderError as error:
            cause = error.message
        except Exception:
            self._log.exception("coder-nb: the runtime cannot say how it is")
            cause = UNEXPECTED
        return Health(protocol=PROTOCOL, version=__version__, runtime_id="", status="degraded", detail=cause)

    async def close(self, *, timeout: float) -> None:
        """Drains and closes the runtime, then ends the thread; bounded, and nothing the second time."""
        await asyncio.get_running_loop().run_in_executor(None, self.end, timeout)

    def end(self, timeout: float) -> None:
        """What `close` does, for whoever has no loop; blocks. While turns drain, the runtime answers for itself."""
        with self._ending:  # who ends a process and who ends a server are on threads of their own
            if self._closing or not self._thread.is_alive():
                return
            self._closing = True
        closing = self.spawn(self._close())
        try:
            closing.result(timeout)
        except TimeoutError:
            closing.cancel()
            self._log.warning("coder-nb: the runtime did not close within %g s; it ends with the server.", timeout)
        except Exception:
            self._log.exception("coder-nb: the runtime failed to close; what was committed is safe.")
        self._closed = True
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(2.0)

    async def _open(self) -> Verbs:
        try:
            return await self._opening()
        except CoderError as error:
            self._failed_at = time.monotonic()
            self._log.error("coder-nb: the runtime could not open: %s", error)
            raise
        except Exception as error:
            self._failed_at = time.monotonic()
            self._log.exception("coder-nb: the runtime could not open")
            raise CoderError("The runtime could not open: the log of the Jupyter server says why.") from error

    async def _close(self) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        attempt.cancel()
        if not attempt.cancelled() and attempt.exception() is None:
            await attempt.result().close()

    def _run(self) -> None:
        # A loop of the platform's best kind, whatever policy the server has set for its own.
        kind = "ProactorEventLoop" if sys.platform == "win32" else "SelectorEventLoop"
        with asyncio.Runner(loop_factory=getattr(asyncio, kind)) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._running.set()
        await self._stop.wait()
