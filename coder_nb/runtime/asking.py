"""What agents ask of people: who is there to answer, and the answers on their way to the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

from coder_nb.core import permissions
from coder_nb.core.permissions import Answerer
from coder_nb.core.rules import Always

Kind = Literal["permission", "question"]
Key = tuple[str, Kind, str]
"""A request: its chat, what it is, and the agent's id of it."""
Given = str | tuple[str, ...] | None
"""What was answered: an option of a permission; choices and own words to a question; None refuses or declines."""

_LOUDEST: tuple[Answerer, ...] = ("stdin", "browser", "callback")
"""Who is named as asked in a chat with several requests: the terminal first, as it waits to be told."""


class Presence:
    """When somebody who can answer was last seen at each chat, and whoever waits for each prompt."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    def seen(self, place: str) -> None:
        """Somebody is at a chat, or waits for a prompt, by its id."""
        now = self._clock()
        self._seen.pop(place, None)
        self._seen[place] = now
        for other, at in list(self._seen.items()):  # the oldest come first
            if (now - at) * 1000 <= permissions.BROWSER_SEEN_MS:
                break
            del self._seen[other]

    def ago_ms(self, place: str) -> int | None:
        """Milliseconds since then; None if never."""
        at = self._seen.get(place)
        return None if at is None else int((self._clock() - at) * 1000)

    def answerer(self, chat_id: str, kind: Kind, prompt_id: str, answers: Sequence[str]) -> Answerer | None:
        """Who would be asked now, given how the prompt's caller can answer, as long as that one is there."""
        waits = self.ago_ms(prompt_id)
        able = answers if waits is not None and waits <= permissions.BROWSER_SEEN_MS else ()
        callback = "callback" if kind == "permission" else "on_question"
        return permissions.answerer(
            browser_seen_ms=self.ago_ms(chat_id), callback=callback in able, stdin="stdin" in able
        )


class Answer(NamedTuple):
    given: Given
    by: str
    always: Always | None = None
    """Whether it is to hold from now on."""
    rules: tuple[str, ...] = ()
    why: str = ""


Keep = Callable[[Answer], Awaitable[Answer]]
"""Makes the rule that an answer asks for, and gives the answer with it."""
Judge = Callable[[], Awaitable[Answer | None]]
"""Looks whether rules answer by now."""


class _Waiting:
    """A request that waits: for which answers, and who is asked."""

    def __init__(self, check: Callable[[Answer], None], keep: Keep | None, judge: Judge | None) -> None:
        self.check, self.keep, self.judge = check, keep, judge
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.asked: Answerer | None = None
        self.taken = False
        """Whether somebody has answered, and the rule that they asked for is being made."""

    def waits(self) -> bool:
        """Whether it can be answered."""
        return not (self.taken or self.answer.done())


class Pending:
    """The requests of running turns that wait for an answer."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}

    def asking(self, chat_id: str) -> Answerer | None:
        """Who is asked at this moment in a chat."""
        asked = {one.asked for (chat, _, _), one in self._waiting.items() if chat == chat_id}
        return next((who for who in _LOUDEST if who in asked), None)

    async def answer(self, key: Key, answer: Answer) -> bool:
        """Gives an answer; False where nothing waits for it. The first answer wins.

        Raises `InvalidOption` for one that the request does not take: an agent may take what it does not know for a
        yes. A rule that comes with it is made first: where that fails, nothing was answered.
        """
        waiting = self._waiting.get(key)
        if waiting is None or not waiting.waits():
            return False
        waiting.check(answer)
        if answer.always is None or waiting.keep is None:
            waiting.answer.set_result(answer)
            return True
        waiting.taken = True
        try:
            kept = await waiting.keep(answer)
        finally:
            waiting.taken = False
        if waiting.answer.done():
            return False
        waiting.answer.set_result(kept)
        return True

    async def reconsider(self) -> None:
        """There is a new rule: what waits and is answered by it is asked no more."""
        for waiting in list(self._waiting.values()):
            found = await waiting.judge() if waiting.judge is not None and waiting.waits() else None
            if found is not None and waiting.waits():
                waiting.answer.set_result(found)

    async def wait(
        self,
        key: Key,
        *,
        check: Callable[[Answer], None],
        who: Callable[[], Answerer | None],
        grace: float,
        changed: Callable[[], None],
        keep: Keep | None = None,
        judge: Judge | None = None,
    ) -> Answer | None:
        """The answer, or None once nobody has been there to give one for `grace` seconds.

        `check` raises for an answer that is none. `who` is asked again every little while: a browser may come or go.
        `changed` is called when its answer changes.
        """
        waiting = self._waiting[key] = _Waiting(check, keep, judge)
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
                alone = 0.0 if asked or waiting.taken else alone + tick
                if alone >= grace and not asked:
                    return None
        finally:
            if not waiting.answer.done():
                waiting.answer.cancel()
            if self._waiting.get(key) is waiting:
                del self._waiting[key]
            if waiting.asked is not None:
                changed()
