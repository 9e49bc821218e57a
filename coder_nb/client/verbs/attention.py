"""What a server's chats are doing, over the wire."""

from __future__ import annotations

from coder_nb.client.wire import Done, Wire
from coder_nb.core.attention import ChatAttention


class Attending(Wire):
    async def attention(self) -> tuple[ChatAttention, ...]:
        return await self._get("attention", tuple[ChatAttention, ...])

    async def seen(self, chat_id: str, rev: int) -> bool:
        return (await self._post(f"chats/{chat_id}/seen", Done, {"rev": rev})).done
