"""What the native agent asks the user in the middle of a turn: permissions and questions, each answered once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from coder_nb.backends.events import AnyEvent, PermissionAsked, QuestionAsked
from coder_nb.backends.native.tools import AskUser, Deed, Outcome
from coder_nb.core.entries import Choice, PermissionOption
from coder_nb.core.tools import kind_of, normal_name
from coder_nb.ids import new_id


class Asking:
    """Asks by an event, and waits for the answer."""

    def __init__(self, say: Callable[[AnyEvent], None]) -> None:
        self._say = say
        self._waiting: dict[str, asyncio.Future[object]] = {}

    async def may(self, tool: str, call_id: str, given: Any, deed: Deed) -> bool:
        """Whether the user lets it be done."""
        if not deed.asks:
            return True
        asked = PermissionAsked(
            request_id=new_id(),
            title=deed.title,
            tool=tool,
            tool_kind=kind_of(normal_name(tool)),
            call_id=call_id,
            input=given,
            diffs=deed.diffs,
            options=(
                PermissionOption("once", "Allow", "allow_once"),
                PermissionOption("no", "Refuse", "reject_once"),
            ),
        )
        return await self._answer_to(asked) == "once"

    async def ask(self, call_id: str, given: AskUser) -> Outcome:
        """What the user answers to a question of the model."""
        choices = tuple(Choice(id=choice, label=choice) for choice in dict.fromkeys(given.choices))
        asked = QuestionAsked(
            request_id=new_id(), text=given.question, choices=choices, multiple=given.multiple, call_id=call_id
        )
        answer = await self._answer_to(asked)
        if not isinstance(answer, tuple) or not answer:
            return Outcome("The user did not answer: decide by yourself, and say what you assumed.")
        return Outcome("The user answered: " + "; ".join(str(one) for one in answer))

    def settle(self, request_id: str, answer: object) -> None:
        """Gives an answer; one that comes twice, or too late, does nothing."""
        future = self._waiting.pop(request_id, None)
        if future is not None and not future.done():
            future.set_result(answer)

    async def _answer_to(self, asked: PermissionAsked | QuestionAsked) -> object:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting[asked.request_id] = future
        self._say(asked)
        try:
            return await future
        finally:
            self._waiting.pop(asked.request_id, None)
