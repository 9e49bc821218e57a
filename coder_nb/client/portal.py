"""The thread beside the kernel's own, with a loop that never blocks; all our coroutines run here.

A cell may wait for one by blocking or by `await`. Both wait in slices, because an interrupt reaches a thread that
blocks only between two waits, and a sleeping loop only when it wakes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar

from coder_nb.errors import ConnectionLost

ELSEWHERE = (
    "What coder-nb gave you works in the process that asked for it only: pass on the chat's `.id`, and begin with "
    "`cnb.chat(id)` in the other one."
)
SLICE = 0.1
"""The longest that a wait is deaf to an interrupt, in seconds."""

P = ParamSpec("P")
T = TypeVar("T")
Tick = Callable[[], None]


def _idle() -> None:
    pass


class Portal:
    """A background thread with its own loop; it owns every task that is started through it."""

    def __init__(self, name: str = "coder-nb") -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Starts a coroutine function on the portal's loop; cancelling the future cancels it there."""
        self._check_process()
        if self._closed:
            raise ConnectionLost(
                "coder-nb was closed in this process: get the session anew by `cnb.session()`, which opens it again."
            )
        return asyncio.run_coroutine_threadsafe(self._own(function, args, kwargs), self._loop)

    def run(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls and blocks until the result is there; an interrupt cancels it."""
        future = self.call(function, *args, **kwargs)
        try:
            return self.wait(future)
        except KeyboardInterrupt:
            future.cancel()
            raise

    def wait(self, future: concurrent.futures.Future[T], *, timeout: float | None = None, tick: Tick = _idle) -> T:
        """Blocks in slices, with `tick` between two of them. Neither a time-out nor an interrupt cancels the future."""
        self._check_process()
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "A callback must not block on coder-nb: make it a plain function, which has a thread of its own."
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = SLICE if deadline is None else min(SLICE, deadline - time.monotonic())
            done, _ = concurrent.futures.wait([future], max(left, 0))
            if done:
                return future.result()
            if left <= 0:
                raise TimeoutError(f"Not done after {timeout:g} s; it goes on.")
            tick()

    async def result(self, future: concurrent.futures.Future[T], *, tick: Tick = _idle) -> T:
        """Awaits from any loop, waking it in every slice. Cancelling the wait does not cancel the future."""
        self._check_process()
        here = asyncio.wrap_future(_shield(future))
        try:
            while not here.done():
                await asyncio.wait({here}, timeout=SLICE)
                if not here.done():
                    tick()
        finally:
            here.cancel()
        return here.result()

    def close(self) -> None:
        """Cancels what still runs, waits for it, and ends the thread. Idempotent."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _check_process(self) -> None:
        if self._pid != os.getpid():  # a fork has no thread that would ever do it
            raise ConnectionLost(ELSEWHERE)

    def __reduce__(self) -> NoReturn:
        raise TypeError(ELSEWHERE)

    async def _own(self, function: Callable[..., Coroutine[Any, Any, T]], args: Any, kwargs: Any) -> T:
        task = asyncio.current_task()
        assert task is not None
        task.set_name(getattr(function, "__qualname__", "call"))
        self._tasks.add(task)
        try:
            return await function(*args, **kwargs)
        finally:
            self._tasks.discard(task)

    async def _drain(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()


def _shield(future: concurrent.futures.Future[T]) -> concurrent.futures.Future[T]:
    """A future that follows another and whose cancellation stops there."""
    follower: concurrent.futures.Future[T] = concurrent.futures.Future()

    def copy(done: concurrent.futures.Future[T]) -> None:
        if not follower.set_running_or_notify_cancel():
            return
        if done.cancelled():
            follower.set_exception(concurrent.futures.CancelledError())
        elif (error := done.exception()) is not None:
            follower.set_exception(error)
        else:
            follower.set_result(done.result())

    future.add_done_callback(copy)
    return follower
