"""What agents ask of people: who is there to answer, and the answers on their way to the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from coder_nb.core import permissions
from coder_nb.core.permissions import Answerer

Kind = Literal["permission", "question"]
Key = tuple[str, Kind, str]
"""A request: its chat, what it is, and the agent's id of it."""
Given = str | tuple[str, ...] | None
"""What was answered: an option of a permission; choices and own words to a question; None refuses or declines."""

_LOUDEST: tuple[Answerer, ...] = ("stdin", "browser", "callback")
"""Who is named as asked in a chat with several requests: the terminal first, as it waits to be told."""


class Presence:
    """When somebody who can answer was last seen at each chat."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    def seen(self, chat_id: str) -> None:
        now = self._clock()
        self._seen.pop(chat_id, None)
        self._seen[chat_id] = now
        for chat, at in list(self._seen.items()):  # the oldest come first
            if (now - at) * 1000 <= permissions.BROWSER_SEEN_MS:
                break
            del self._seen[chat]

    def ago_ms(self, chat_id: str) -> int | None:
        """Milliseconds since then; None if never."""
        at = self._seen.get(chat_id)
        return None if at is None else int((self._clock() - at) * 1000)

    def answerer(self, chat_id: str, kind: Kind, answers: Sequence[str]) -> Answerer | None:
        """Who would be asked now, given how the prompt's caller can answer."""
        callback = "callback" if kind == "permission" else "on_question"
        return permissions.answerer(
            browser_seen_ms=self.ago_ms(chat_id), callback=callback in answers, stdin="stdin" in answers
        )


class Answer(NamedTuple):
    given: Given
    by: str


class _Waiting:
    """A request that waits: for which answers, and who is asked."""

    def __init__(self, check: Callable[[Given], None]) -> None:
        self.check = check
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.asked: Answerer | None = None


class Pending:
    """The requests of running turns that wait for an answer."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}

    def asking(self, chat_id: str) -> Answerer | None:
        """Who is asked at this moment in a chat."""
        asked = {one.asked for (chat, _, _), one in self._waiting.items() if chat == chat_id}
        return next((who for who in _LOUDEST if who in asked), None)

    def answer(self, key: Key, answer: Answer) -> bool:
        """Gives an answer; False where nothing waits for it. The first answer wins.

        Raises `InvalidOption` for one that the request does not take: an agent may take what it does not know for a
        yes.
        """
        waiting = self._waiting.get(key)
        if waiting is None or waiting.answer.done():
            return False
        waiting.check(answer.given)
        waiting.answer.set_result(answer)
        return True

    async def wait(
        self,
        key: Key,
        *,
        check: Callable[[Given], None],
        who: Callable[[], Answerer | None],
        grace: float,
        changed: Callable[[], None],
    ) -> Answer | None:
        """The answer, or None once nobody has been there to give one for `grace` seconds.

        `check` raises for an answer that is none. `who` is asked again every little while: a browser may come or go.
        `changed` is called when its answer changes.
        """
        waiting = self._waiting[key] = _Waiting(check)
        alone = 0.0
        tick = min(0.25, grace / 4) if grace else 0.01
        try:
            while True:
                asked = who()
                if waiting.asked != asked:
                    waiting.asked = asked
                    changed()
                done, _ = await asyncio.wait({waiting.answer}, timeout=tick)
                if done:
                    return waiting.answer.result()
                alone = 0.0 if asked else alone + tick
                if alone >= grace and not asked:
                    return None
        finally:
            if self._waiting.get(key) is waiting:
                del self._waiting[key]
            if waiting.asked is not None:
                changed()
