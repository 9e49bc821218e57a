"""What people answer to an agent, and that they are there."""

from __future__ import annotations

from collections.abc import Sequence

from coder_nb.runtime.asking import Answer
from coder_nb.runtime.verbs.base import VerbGroup


class Answering(VerbGroup):
    async def answer(self, chat_id: str, request_id: str, option_id: str | None, *, by: str) -> bool:
        return self._context.pending.answer((chat_id, "permission", request_id), Answer(option_id, by))

    async def reply(self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str) -> bool:
        given = None if answer is None else tuple(answer)
        return self._context.pending.answer((chat_id, "question", request_id), Answer(given, by))

    async def attend(self, chat_id: str, *, who: str) -> None:
        self._context.presence.seen(chat_id)
