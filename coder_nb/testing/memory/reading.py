"""Transcripts, and what follows from them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

from coder_nb.core import usage
from coder_nb.core.attention import Attention, ChatAttention
from coder_nb.core.entries import Entry, Page, Usage
from coder_nb.core.sessions import ChatInfo, TurnInfo
from coder_nb.core.stream import PROTOCOL, Frame, Hello, PageFrame
from coder_nb.core.usage import UsageRow
from coder_nb.testing.memory.chats import Chats


class Reading(Chats):
    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        return tuple(self._turns[chat_id])

    async def read(self, chat_id: str, *, after: int = 0, before: int | None = None, limit: int = 500) -> Page:
        entries = list(self._log[chat_id].values())
        rev = self.chats[chat_id].rev
        if before is not None:
            return Page(entries=tuple(sorted((e for e in entries if e.pos < before), key=_pos)[-limit:]), rev=rev)
        later = sorted((entry for entry in entries if entry.rev > after), key=lambda entry: entry.rev)
        page = tuple(later[:limit])
        return Page(entries=page, rev=page[-1].rev if page else rev, more=len(later) > limit)

    async def stream(self, chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        queue: asyncio.Queue[Frame] = asyncio.Queue()
        chat = self.chats[chat_id]
        if after is None:
            page = await self.read(chat_id, before=1 << 53, limit=tail)
        else:
            page = await self.read(chat_id, after=after, limit=1 << 30)
        self._readers[chat_id].add(queue)
        try:
            yield Hello(
                protocol=PROTOCOL,
                runtime_id="memory",
                epoch="memory",
                chat=chat,
                session=self._sessions[chat.session_id],
                first_pos=page.entries[0].pos if page.entries else 0,
            )
            yield PageFrame(page=page)
            while True:
                yield await queue.get()
        finally:
            self._readers[chat_id].discard(queue)

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        logs = self._log.values() if chat_id is None else [self._log[chat_id]]
        return tuple(
            usage.row(entry, entry.body, session_id=self.chats[entry.chat_id].session_id)
            for entry in itertools.chain.from_iterable(log.values() for log in logs)
            if isinstance(entry.body, Usage)
        )

    async def attention(self) -> tuple[ChatAttention, ...]:
        return tuple(self._doing(chat) for chat in self.chats.values())

    async def seen(self, chat_id: str, rev: int) -> bool:
        chat = self.chats[chat_id]
        if not chat.unseen or rev < self._ended.get(chat_id, 0):
            return False
        self.update(chat_id, unseen=False)
        return True

    def _doing(self, chat: ChatInfo) -> ChatAttention:
        now, session = chat.attention or Attention(), self._sessions[chat.session_id]
        return ChatAttention(
            chat_id=chat.id,
            session_id=session.id,
            path=session.path,
            session=session.name,
            chat=chat.name,
            state=now.state,
            why=now.why,
            turn_id=chat.turn_id,
        )


def _pos(entry: Entry) -> int:
    return entry.pos
