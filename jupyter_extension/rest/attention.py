"""What the routes about what chats are doing do: one call of the runtime each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from coder_nb.core.attention import ChatAttention
from coder_nb.core.verbs import Verbs
from jupyter_extension.rest.values import Done


class Seen(Struct, frozen=True, kw_only=True):
    """Up to which revision of a chat somebody has looked."""

    rev: Annotated[int, Meta(ge=0, le=2**63 - 1)]


async def attention(runtime: Verbs) -> tuple[ChatAttention, ...]:
    return await runtime.attention()


async def seen(runtime: Verbs, chat_id: str, body: Seen) -> Done:
    return Done(done=await runtime.seen(chat_id, body.rev))
