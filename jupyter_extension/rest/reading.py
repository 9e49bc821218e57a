"""What the route does by which a chat is read in pages: one call of the runtime."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from coder_nb.core.entries import Page
from coder_nb.core.verbs import Verbs


class EntriesQuery(Struct, frozen=True, kw_only=True):
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    before: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 500


async def entries(runtime: Verbs, chat_id: str, query: EntriesQuery) -> Page:
    return await runtime.read(chat_id, after=query.after, before=query.before, limit=query.limit)
