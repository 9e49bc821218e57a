"""Permissions: who is there to answer, and the answers on their way to the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from coder_nb.core import permissions
from coder_nb.core.permissions import Answerer
from coder_nb.errors import InvalidOption


class Presence:
    """When somebody who can answer was last seen at each chat."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    def seen(self, chat_id: str) -> None:
        self._seen[chat_id] = self._clock()

    def ago_ms(self, chat_id: str) -> int | None:
        """Milliseconds since then; None if never."""
        at = self._seen.get(chat_id)
        return None if at is None else int((self._clock() - at) * 1000)

    def answerer(self, chat_id: str, answers: Sequence[str]) -> Answerer | None:
        """Who would be asked now, given how the prompt's caller can answer."""
        return permissions.answerer(
            browser_seen_ms=self.ago_ms(chat_id), callback="callback" in answers, stdin="stdin" in answers
        )


class Answer(NamedTuple):
    option_id: str | None
    by: str


class Pending:
    """The requests of running turns that wait for an answer, by chat and request id."""

    def __init__(self) -> None:
        self._futures: dict[tuple[str, str], asyncio.Future[Answer]] = {}
        self._options: dict[tuple[str, str], tuple[str, ...]] = {}
        self._asked: dict[str, Answerer | None] = {}

    def asking(self, chat_id: str) -> Answerer | None:
        """Who is asked at this moment in a chat."""
        return self._asked.get(chat_id)

    def answer(self, chat_id: str, request_id: str, answer: Answer) -> bool:
        """Gives an answer; False where nothing waits for it. The first answer wins.

        Raises `InvalidOption` for one that was not offered: an agent may take what it does not know for a yes.
        """
        future = self._futures.get((chat_id, request_id))
        if future is None or future.done():
            return False
        offered = self._options[chat_id, request_id]
        if answer.option_id is not None and answer.option_id not in offered:
            raise InvalidOption(
                f"{answer.option_id!r} is no answer to this permission: choose one of {', '.join(offered)}, or null."
            )
        future.set_result(answer)
        return True

    async def wait(
        self,
        chat_id: str,
        request_id: str,
        *,
        options: Sequence[str],
        who: Callable[[], Answerer | None],
        grace: float,
        changed: Callable[[], None],
    ) -> Answer | None:
        """The answer, or None once nobody has been there to give one for `grace` seconds.

        `who` is asked again every little while: a browser may come or go. `changed` is called when its answer changes.
        """
        key = (chat_id, request_id)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._futures[key], self._options[key] = future, tuple(options)
        alone = 0.0
        tick = min(0.25, grace / 4) if grace else 0.01
        try:
            while True:
                asked = who()
                if self._asked.get(chat_id) != asked:
                    self._asked[chat_id] = asked
                    changed()
                done, _ = await asyncio.wait({future}, timeout=tick)
                if done:
                    return future.result()
                alone = 0.0 if asked else alone + tick
                if alone >= grace and not asked:
                    return None
        finally:
            del self._futures[key], self._options[key]
            if not any(chat == chat_id for chat, _ in self._futures):
                self._asked.pop(chat_id, None)
