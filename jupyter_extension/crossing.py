"""The way of a stream from the loop it is made on to the loop it is read on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing


class Crossing:
    """Frames on their way between two loops: `limit` bytes ahead of the reader, and no further.

    The maker waits where the reader is slow. So what a reader who was away is told is left to the stream, which reads
    the log from the reader's own place and merges live text: nothing piles up here.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._frames: deque[bytes | None] = deque()
        self._broke: Exception | None = None
        # Each of the two is written by one thread alone.
        self._given = 0
        self._taken = 0
        self._room = _Bell()
        self._arrival = _Bell()

    @property
    def full(self) -> bool:
        return self._given - self._taken > self._limit

    async def fill(self, frames: AsyncGenerator[bytes, None]) -> None:
        """Runs on the maker's loop until the stream ends or this is cancelled, and closes the stream."""
        try:
            async with aclosing(frames):
                async for frame in frames:
                    self._given += len(frame)
                    self._hand_over(frame)
                    await self._room.wait_while(lambda: self.full)
        except Exception as error:
            self._broke = error
        finally:
            self._hand_over(None)

    async def take(self) -> bytes | None:
        """The next frame, on the reader's loop; None after the last. Raises what the stream raised."""
        await self._arrival.wait_while(lambda: not self._frames)
        frame = self._frames.popleft()
        if frame is None and self._broke is not None:
            raise self._broke
        if frame is not None:
            self._taken += len(frame)
            self._room.ring()
        return frame

    def _hand_over(self, frame: bytes | None) -> None:
        self._frames.append(frame)
        self._arrival.ring()


class _Bell:
    """Wakes one waiter on another thread's loop, at no cost while nobody waits.

    Who waits says so before looking a last time, and who rings has changed things before: no ring is lost.
    """

    def __init__(self) -> None:
        self._wake: Callable[[], object] | None = None

    async def wait_while(self, condition: Callable[[], bool]) -> None:
        if not condition():
            return
        loop, rung = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.is_closed() or loop.call_soon_threadsafe(rung.set)
        try:
            while condition():
                await rung.wait()
                rung.clear()
        finally:
            self._wake = None

    def ring(self) -> None:
        wake = self._wake
        if wake is not None:
            wake()
