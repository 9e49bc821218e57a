"""The way of a stream from the loop it is made on to the loop it is read on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing


class Crossing:
    """Frames on their way between two loops: `limit` bytes ahead of the reader, and no further.

    The maker waits where the reader is slow. So what a reader who was away is told is left to the stream, which reads
    the log from the reader's own place and merges live text: nothing piles up here.
    """

    def __init__(self, *, limit: int) -> None:
        self._reader = asyncio.get_running_loop()
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._limit = limit
        # Each of these is written by one thread alone. The maker says that it waits before it looks a last time, and
        # the reader says what it took before it looks whether the maker waits: no wake-up is lost.
        self._given = 0
        self._taken = 0
        self._waits = False
        self._wake: Callable[[], object] | None = None
        self._broke: Exception | None = None

    @property
    def full(self) -> bool:
        return self._given - self._taken > self._limit

    async def fill(self, frames: AsyncGenerator[bytes, None]) -> None:
        """Runs on the maker's loop until the stream ends or this is cancelled, and closes the stream."""
        maker, room = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: maker.call_soon_threadsafe(room.set)
        try:
            async with aclosing(frames):
                async for frame in frames:
                    self._given += len(frame)
                    self._hand_over(frame)
                    while self.full:
                        self._waits = True
                        room.clear()
                        if self.full:
                            await room.wait()
                        self._waits = False
        except Exception as error:
            self._broke = error
        finally:
            self._hand_over(None)

    async def take(self) -> bytes | None:
        """The next frame, on the reader's loop; None after the last. Raises what the stream raised."""
        frame = await self._frames.get()
        if frame is None and self._broke is not None:
            raise self._broke
        if frame is not None:
            self._taken += len(frame)
            if self._waits and self._wake is not None:
                self._wake()
        return frame

    def _hand_over(self, frame: bytes | None) -> None:
        if not self._reader.is_closed():
            self._reader.call_soon_threadsafe(self._frames.put_nowait, frame)
