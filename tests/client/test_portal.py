from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import pickle
import signal
import threading
import time

import pytest

from coder_nb.client.portal import Portal
from coder_nb.errors import ConnectionLost


async def forever(cancelled: threading.Event) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        cancelled.set()
        raise


async def failing() -> None:
    raise ValueError("as planned")


async def where() -> str:
    return threading.current_thread().name


def test_coroutines_run_on_the_portals_own_thread(portal: Portal) -> None:
    assert portal.run(where) == "test"


def test_an_error_is_raised_where_the_result_is_waited_for(portal: Portal) -> None:
    with pytest.raises(ValueError, match="as planned"):
        portal.run(failing)


def test_a_wait_that_times_out_leaves_the_call_running(portal: Portal) -> None:
    cancelled = threading.Event()
    future = portal.call(forever, cancelled)
    with pytest.raises(TimeoutError):
        portal.wait(future, timeout=0.01)
    assert not future.done()
    assert not cancelled.is_set()


def test_a_time_out_of_the_callee_is_not_taken_for_the_waits_own(portal: Portal) -> None:
    async def late() -> None:
        raise TimeoutError("the callee's")

    with pytest.raises(TimeoutError, match="the callee's"):
        portal.wait(portal.call(late), timeout=30)


def test_an_interrupt_reaches_a_blocking_wait_and_cancels_the_call(portal: Portal) -> None:
    cancelled = threading.Event()
    begun = time.monotonic()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        portal.run(forever, cancelled)
    assert time.monotonic() - begun < 5
    assert cancelled.wait(60)


def test_awaiting_wakes_its_loop_in_every_slice(portal: Portal) -> None:
    reached = threading.Event()
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(time.monotonic())
        if len(ticks) == 3:
            reached.set()

    async def main() -> bool:
        return await portal.result(portal.call(asyncio.to_thread, reached.wait, 30), tick=tick)

    assert asyncio.run(main())
    assert len(ticks) >= 3


def test_cancelling_an_awaited_wait_leaves_the_call_running(portal: Portal) -> None:
    cancelled = threading.Event()
    future = portal.call(forever, cancelled)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(portal.result(future), 0.01)

    asyncio.run(main())
    assert not future.done()


def test_blocking_from_the_portals_own_thread_is_refused(portal: Portal) -> None:
    async def blocks() -> None:
        portal.run(where)

    with pytest.raises(RuntimeError, match="must not block"):
        portal.run(blocks)


def test_closing_cancels_what_runs_and_is_done_once() -> None:
    portal = Portal()
    cancelled = threading.Event()
    portal.call(forever, cancelled)
    portal.run(where)
    portal.close()
    portal.close()
    assert cancelled.is_set()
    with pytest.raises(ConnectionLost):
        portal.run(where)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of POSIX")
def test_a_fork_is_told_to_begin_anew_and_does_not_wait_for_ever(portal: Portal) -> None:
    begun = portal.call(forever, threading.Event())
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        refused = 0
        try:
            for use in (
                lambda: portal.call(where),
                lambda: portal.wait(begun),
                lambda: asyncio.run(portal.result(begun)),
            ):
                with contextlib.suppress(ConnectionLost):
                    use()
                    break
                refused += 1
            portal.close()
        finally:
            os._exit(refused)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert portal.run(where) == "test"
    begun.cancel()


def test_what_stands_on_it_is_not_copied_and_says_what_to_pass_on(portal: Portal) -> None:
    for carry in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=r"cnb\.chat\(id\)"):
            carry([portal])
