"""A stream crosses from one loop to another: all of it, in order, and never far ahead of its reader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator

import pytest

from jupyter_extension.crossing import Crossing


@pytest.fixture
def maker() -> Iterator[asyncio.AbstractEventLoop]:
    """Another loop, on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


async def numbers(count: int, made: list[int], closed: threading.Event | None = None) -> AsyncGenerator[bytes, None]:
    try:
        for number in range(count):
            made.append(number)
            yield str(number).encode()
    finally:
        made.append(-1)
        if closed is not None:
            closed.set()


async def taken(crossing: Crossing) -> list[bytes]:
    frames = []
    async with asyncio.timeout(60):
        while (frame := await crossing.take()) is not None:
            frames.append(frame)
    return frames


@pytest.mark.parametrize("limit", [0, 1, 7, 1_000_000])
async def test_all_frames_arrive_in_order(maker: asyncio.AbstractEventLoop, limit: int) -> None:
    crossing, made = Crossing(limit=limit), list[int]()
    filling = asyncio.run_coroutine_threadsafe(crossing.fill(numbers(5000, made)), maker)
    assert await taken(crossing) == [str(number).encode() for number in range(5000)]
    filling.result(10)
    assert made[-1] == -1


async def test_the_maker_waits_for_the_reader(maker: asyncio.AbstractEventLoop) -> None:
    crossing, made, closed = Crossing(limit=100), list[int](), threading.Event()
    filling = asyncio.run_coroutine_threadsafe(crossing.fill(numbers(10_000, made, closed)), maker)
    assert await crossing.take() == b"0"
    for expected in range(1, 1000):
        assert await crossing.take() == str(expected).encode()
        assert made[-1] - expected <= 110
    filling.cancel()
    assert await asyncio.to_thread(closed.wait, 10)  # else the maker goes on for as long as room is made
    assert len(await taken(crossing)) <= 110
    assert made[-1] == -1, "the stream was closed"


async def test_what_the_stream_raises_is_raised_to_the_reader(maker: asyncio.AbstractEventLoop) -> None:
    async def breaks() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise ZeroDivisionError

    crossing = Crossing(limit=100)
    asyncio.run_coroutine_threadsafe(crossing.fill(breaks()), maker)
    assert await crossing.take() == b"one"
    with pytest.raises(ZeroDivisionError):
        await crossing.take()
