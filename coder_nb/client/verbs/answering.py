"""Answers to agents, over the wire."""

from __future__ import annotations

from collections.abc import Sequence

from coder_nb.client.wire import Done, Wire
from coder_nb.core.rules import Always


class Answering(Wire):
    async def answer(
        self,
        chat_id: str,
        request_id: str,
        option_id: str | None,
        *,
        by: str | None = None,
        always: Always | None = None,
    ) -> bool:
        body = {"option_id": option_id, "by": by, "always": always}
        return (await self._post(f"chats/{chat_id}/permissions/{request_id}", Done, body)).done

    async def reply(
        self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str | None = None
    ) -> bool:
        body = {"answer": None if answer is None else list(answer), "by": by}
        return (await self._post(f"chats/{chat_id}/questions/{request_id}", Done, body)).done

    async def attend(self, chat_id: str, *, who: str, prompt_id: str | None = None) -> None:
        await self._request("POST", f"chats/{chat_id}/attend", {"prompt_id": prompt_id})
