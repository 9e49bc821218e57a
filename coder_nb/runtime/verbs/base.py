"""What each group of verbs works with."""

from __future__ import annotations

from typing import TypeVar

from coder_nb.runtime.hosting import Host

T = TypeVar("T")


class VerbGroup:
    """Some of the calls of `core.verbs.Verbs`; what each promises is said there."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._context = host.context
        self._store = host.context.store

    async def _of(self, chat_id: str, found: T) -> T:
        """What was found of a chat; nothing may mean as well that there is no such chat, which is `NotFound`."""
        if not found:
            await self._store.catalog.get_chat(chat_id)
        return found
