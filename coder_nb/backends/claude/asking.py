"""What Claude asks before it goes on: may it use a tool, and what does the user want."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from claude_agent_sdk import (
    PermissionResultAllow,
    PermissionResultDeny,
    ToolPermissionContext,
)

from coder_nb.backends.claude import tools
from coder_nb.backends.events import AnyEvent, PermissionAsked, PermissionGone, QuestionAsked, QuestionGone
from coder_nb.core.entries import Choice, PermissionOption

QUESTION = "AskUserQuestion"
_ONCE = PermissionOption(id="once", label="Allow", kind="allow_once")
_REJECT = PermissionOption(id="reject", label="Deny", kind="reject_once")
_DENIED = "The user does not allow this."
_DECLINED = "The user does not want to answer: go on as you think best, or ask in other words."

Result = PermissionResultAllow | PermissionResultDeny
_Given = tuple[str, ...] | None
_T = TypeVar("_T")


class Asking:
    """The questions that are open. `tell` gets what the user is to be shown."""

    def __init__(self, tell: Callable[[AnyEvent], None]) -> None:
        self._tell = tell
        self._permissions: dict[str, asyncio.Future[str | None]] = {}
        self._questions: dict[str, asyncio.Future[_Given]] = {}
        self._asked: dict[str, PermissionAsked | QuestionAsked] = {}

    @property
    def pending(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._permissions or self._questions)

    def open(self) -> list[tuple[PermissionAsked | QuestionAsked, PermissionGone | QuestionGone]]:
        """What waits for an answer, and with each what takes it back."""
        return [(asked, _gone(asked)) for asked in self._asked.values()]

    async def can_use_tool(self, name: str, given: dict[str, Any], context: ToolPermissionContext) -> Result:
        """The SDK's callback; waits as long as it takes."""
        if name == QUESTION:
            return await self._ask(given, context)
        return await self._permit(name, given, context)

    def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission; does nothing where it is not pending any more."""
        future = self._permissions.get(request_id)
        if future is not None and not future.done():
            future.set_result(option_id)

    def reply(self, request_id: str, answer: _Given) -> None:
        """Answers a question; does nothing where it is not pending any more."""
        future = self._questions.get(request_id)
        if future is not None and not future.done():
            future.set_result(answer)

    def refuse_all(self) -> None:
        """The turn is over, or is being stopped: what it has asked is not allowed."""
        for permission in self._permissions.values():
            if not permission.done():
                permission.set_result(None)
        for question in self._questions.values():
            if not question.done():
                question.set_result(None)

    async def _permit(self, name: str, given: dict[str, Any], context: ToolPermissionContext) -> Result:
        request_id = context.tool_use_id or str(id(context))
        asked = PermissionAsked(
            request_id=request_id,
            title=context.title or tools.title(name, given),
            tool=name,
            tool_kind=tools.kind(name),
            call_id=context.tool_use_id,
            input=given,
            diffs=tools.diffs(name, given),
            options=(_ONCE, _REJECT),
        )
        (option,) = await self._answers(self._permissions, [asked])
        if option == _ONCE.id:
            return PermissionResultAllow(updated_input=given)
        return PermissionResultDeny(message=_DENIED)

    async def _ask(self, given: dict[str, Any], context: ToolPermissionContext) -> Result:
        """All questions at once; they are answered together, or not at all."""
        asked = [each for each in given.get("questions") or () if isinstance(each, dict) and each.get("question")]
        told = [
            question(f"{context.tool_use_id}.{number}", each, context.tool_use_id) for number, each in enumerate(asked)
        ]
        answers = await self._answers(self._questions, told)
        if not any(answers):
            return PermissionResultDeny(message=_DECLINED)
        chosen = {each["question"]: ", ".join(answer) for each, answer in zip(asked, answers, strict=True) if answer}
        return PermissionResultAllow(updated_input={**given, "answers": chosen})

    async def _answers(
        self, futures: dict[str, asyncio.Future[_T]], asked: Sequence[PermissionAsked | QuestionAsked]
    ) -> list[_T]:
        """Asks, and waits for all the answers; what Claude takes back is told too."""
        loop = asyncio.get_running_loop()
        mine = {each.request_id: futures.setdefault(each.request_id, loop.create_future()) for each in asked}
        for each in asked:
            self._asked[each.request_id] = each
            self._tell(each)
        try:
            return [await future for future in mine.values()]
        except asyncio.CancelledError:
            for each in asked:
                self._tell(_gone(each))
            raise
        finally:
            for request_id in mine:
                del futures[request_id], self._asked[request_id]


def _gone(asked: PermissionAsked | QuestionAsked) -> PermissionGone | QuestionGone:
    made = PermissionGone if isinstance(asked, PermissionAsked) else QuestionGone
    return made(request_id=asked.request_id)


def question(request_id: str, asked: dict[str, Any], call_id: str | None) -> QuestionAsked:
    """One question as ours; a choice's id is its label, which is what Claude wants to hear."""
    choices = tuple(
        Choice(id=str(option["label"]), label=str(option["label"]), description=str(option.get("description") or ""))
        for option in asked.get("options") or ()
        if isinstance(option, dict) and option.get("label")
    )
    return QuestionAsked(
        request_id=request_id,
        text=str(asked["question"]),
        choices=choices,
        multiple=bool(asked.get("multiSelect")),
        call_id=call_id,
    )
