"""What the chats are doing, which of them want their user, and which somebody has looked at."""

from __future__ import annotations

from coder_nb.core.attention import ChatAttention
from coder_nb.runtime.attention import most_urgent, of_standing
from coder_nb.runtime.verbs.base import VerbGroup
from coder_nb.store.base import Standing


class Attending(VerbGroup):
    async def attention(self) -> tuple[ChatAttention, ...]:
        standings = await self._store.standings.every()
        return tuple(sorted(map(self._doing, standings), key=most_urgent))

    async def seen(self, chat_id: str, rev: int) -> bool:
        news = await self._store.standings.seen(chat_id, rev)
        if news:
            self._context.feed(chat_id).tell(state=True)
        return news

    async def watched(self, chat_id: str) -> ChatAttention | None:
        """What a chat is doing; None where another process runs it, which will say so itself."""
        standing = await self._store.standings.of(chat_id)
        if await self._host.leases.runner(standing.path) is not None:
            return None
        return self._doing(standing)

    def _doing(self, standing: Standing) -> ChatAttention:
        place, behind = self._host.places.of(standing.chat_id), self._host.behind(standing.session_id, standing.chat_id)
        return of_standing(standing, place, behind=behind)
