"""What people answer to an agent, and that they are there."""

from __future__ import annotations

from collections.abc import Sequence

from coder_nb.core.rules import Always
from coder_nb.runtime.asking import Answer
from coder_nb.runtime.verbs.base import VerbGroup


class Answering(VerbGroup):
    async def answer(
        self,
        chat_id: str,
        request_id: str,
        option_id: str | None,
        *,
        by: str | None = None,
        always: Always | None = None,
    ) -> bool:
        pending, given = self._context.pending, Answer(option_id, by or self._host.owner, always)
        done = await pending.answer((chat_id, "permission", request_id), given)
        if done and always is not None:
            await pending.reconsider()
        return await self._of(chat_id, done)

    async def reply(
        self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str | None = None
    ) -> bool:
        given = Answer(None if answer is None else tuple(answer), by or self._host.owner)
        done = await self._context.pending.answer((chat_id, "question", request_id), given)
        return await self._of(chat_id, done)

    async def attend(self, chat_id: str, *, who: str, prompt_id: str | None = None) -> None:
        place, presence = prompt_id or chat_id, self._context.presence
        await self._of(chat_id, presence.ago_ms(place) is not None)  # asked once, and not with every sign of life
        presence.seen(place)
