"""The places of turns that run at the same time; whoever comes when all are taken waits, and can see how long."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from coder_nb.warm import line
from coder_nb.warm.line import Line


class Places:
    """Gives out at most `limit` places, by the rules of `warm.line`."""

    def __init__(self, limit: int, *, moved: Callable[[str], None] = lambda chat_id: None) -> None:
        """`moved` is called with each chat whose place in the line has changed."""
        self._line = Line(limit)
        self._moved = moved
        self._numbers = itertools.count(1)
        self._chats: dict[int, str] = {}
        self._turns: dict[int, asyncio.Event] = {}

    @asynccontextmanager
    async def place(self, chat_id: str) -> AsyncIterator[None]:
        """A place for a turn of a chat, waited for where there is none; free again when the block ends."""
        ticket = next(self._numbers)
        self._chats[ticket], self._turns[ticket] = chat_id, asyncio.Event()
        try:
            self._becomes(line.come(self._line, ticket))
            await self._turns[ticket].wait()
            yield
        finally:
            self._becomes(line.leave(self._line, ticket))
            del self._chats[ticket], self._turns[ticket]

    def of(self, chat_id: str) -> int | None:
        """The place of a chat among those that wait, from 1; None where it does not wait."""
        return next((n for n, ticket in enumerate(self._line.waiting, 1) if self._chats[ticket] == chat_id), None)

    @property
    def running(self) -> int:
        return len(self._line.running)

    @property
    def waiting(self) -> int:
        return len(self._line.waiting)

    def _becomes(self, new: Line) -> None:
        before, self._line = self._line, new
        for ticket in new.running - before.running:
            self._turns[ticket].set()
        for ticket in {*before.waiting, *new.waiting}:
            if line.place(before, ticket) != line.place(new, ticket):
                self._moved(self._chats[ticket])
