"""What the native agent asks the user in the middle of a turn: permissions and questions, each answered once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from coder_nb.backends.base import AnyEvent, PermissionAsked, QuestionAsked
from coder_nb.backends.native.tools import AskUser, Deed, Outcome
from coder_nb.core.entries import Choice, PermissionOption
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.tools import kind_of, normal_name
from coder_nb.ids import new_id


class Asking:
    """Asks by an event, and waits for the answer; what was allowed for always is known for the session's life."""

    def __init__(self, say: Callable[[AnyEvent], None]) -> None:
        self._say = say
        self._waiting: dict[str, asyncio.Future[object]] = {}
        self._allowed: set[str] = set()

    async def may(self, tool: str, call_id: str, given: Any, deed: Deed, mode: PermissionMode) -> bool:
        """Whether the user lets it be done. What is always allowed is not asked again, but in the mode ``plan``."""
        if not deed.asks or (deed.asks in self._allowed and mode != "plan"):
            return True
        always = "Always allow edits here" if deed.asks == "edit" else "Always allow this command here"
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
                PermissionOption("always", always, "allow_always"),
                PermissionOption("no", "Refuse", "reject_once"),
            ),
        )
        option = await self._answer_to(asked)
        if option == "always":
            self._allowed.add(deed.asks)
        return option in ("once", "always")

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
