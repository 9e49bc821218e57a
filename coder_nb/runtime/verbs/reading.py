"""A chat as its readers get it: in pages, live, by a link."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from coder_nb.core.entries import Page
from coder_nb.core.stream import Frame
from coder_nb.errors import TooManyReaders
from coder_nb.runtime import reading, sharing
from coder_nb.runtime.verbs.base import VerbGroup


class Reading(VerbGroup):
    async def read(self, chat_id: str, *, after: int = 0, before: int | None = None, limit: int = 500) -> Page:
        if before is not None:
            return await self._store.log.before(chat_id, before, limit=limit)
        return await self._store.log.read(chat_id, after=after, limit=limit)

    async def stream(self, chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        chat = await self._store.catalog.get_chat(chat_id)
        frames = reading.follow(
            self._store.log,
            self._context.feed(chat_id),
            chat_id,
            after=after,
            tail=tail,
            epoch=self._context.epoch,
            runtime_id=self._host.runtime_id,
            merge=self._context.settings.delta_interval,
            session=await self._store.catalog.get_session(chat.session_id),
            state=lambda: self._host.chat(chat_id),
            changes=lambda: self._store.changes.of_chat(chat_id),
        )
        async with contextlib.aclosing(frames), self._one_more_reader(chat_id):
            async for frame in frames:
                yield frame

    @contextlib.asynccontextmanager
    async def _one_more_reader(self, chat_id: str) -> AsyncIterator[None]:
        if self._host.readers >= self._context.settings.max_readers:
            self._context.journal.note("limit_reached", chat=chat_id, limit="max_readers")
            raise TooManyReaders
        self._host.readers += 1
        try:
            yield
        finally:
            self._host.readers -= 1

    async def shared(self, link: str, *, tail: int = 200) -> AsyncIterator[Frame]:
        async with contextlib.aclosing(sharing.follow(self._context, link, self.stream, tail=tail)) as frames:
            async for frame in frames:
                yield frame
