"""A door before a server, through which every connection goes, and at which all of them can be cut."""

from __future__ import annotations

import asyncio
import contextlib


class Door:
    """Leads to whichever port it was led to last; nowhere at first."""

    def __init__(self) -> None:
        self.port = 0
        self._behind: int | None = None
        self._server: asyncio.Server
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def build(self) -> None:
        self._server = await asyncio.start_server(self._entered, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def lead(self, port: int | None) -> None:
        """From now on it leads there."""
        self._behind = port

    def cut(self) -> int:
        """Breaks every connection, in the middle of whatever it carries; says how many there were."""
        for writer in self._open:
            writer.transport.abort()
        return len(self._open) // 2

    async def close(self) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _entered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._behind is None:
                return
            inner, outer = await asyncio.open_connection("127.0.0.1", self._behind)
            self._open |= {writer, outer}
            try:
                await asyncio.gather(_carry(reader, outer), _carry(inner, writer))
            finally:
                outer.transport.abort()
                self._open -= {writer, outer}
        except OSError:
            return
        finally:
            writer.transport.abort()
            self._tasks.discard(task)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
