"""What an agent asks the user during a turn: permissions, and forms; each is answered once or withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from coder_nb.backends.acp import forms, tools, translate, wire
from coder_nb.backends.acp.connection import Connection
from coder_nb.backends.acp.grants import Grants
from coder_nb.backends.acp.state import State
from coder_nb.backends.events import AnyEvent, PermissionAsked, PermissionGone, QuestionGone
from coder_nb.core.entries import PermissionOption, ToolKind
from coder_nb.core.permissions import option_for
from coder_nb.ids import new_id

_OPTIONS = (
    PermissionOption(id="allow", label="Allow", kind="allow_once"),
    PermissionOption(id="reject", label="Reject", kind="reject_once"),
)


class _Permission(NamedTuple):
    """One that waits for its answer."""

    number: Any
    """The agent's own id of its request; None where the question is ours."""
    asked: PermissionAsked
    respond: Callable[[str | None], None]


class _Form:
    """One that waits for the answers to its questions."""

    def __init__(self, number: Any, params: dict[str, Any]) -> None:
        self.number = number
        self.elicitation_id = params.get("elicitationId")
        self.call_id = params["toolCallId"] if isinstance(params.get("toolCallId"), str) else None
        self.open: dict[str, forms.Field] = {}
        self.content: dict[str, Any] = {}


class Asking:
    """The questions of one agent process, as events, and the way of their answers back to it."""

    def __init__(
        self,
        connection: Connection,
        state: State,
        grants: Grants,
        *,
        say: Callable[[list[AnyEvent]], None],
        listening: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._state = state
        self._grants = grants
        self._say = say
        self._listening = listening
        """Whether a turn runs in which somebody can be asked."""
        self._permissions: dict[str, _Permission] = {}
        self._forms: list[_Form] = []

    def withdraw(self) -> None:
        """Nobody answers any more: the turn has ended, or is being stopped."""
        permissions, self._permissions = self._permissions, {}
        for one in permissions.values():
            one.respond(None)
        waiting, self._forms = self._forms, []
        for form in waiting:
            self._connection.respond(form.number, {"action": "cancel"})

    def taken_back(self, number: Any) -> None:
        """The agent does not want the answer to one of its requests any more."""
        for request_id, one in list(self._permissions.items()):
            if number is not None and one.number == number:
                del self._permissions[request_id]
                self._connection.fail(number, wire.CANCELLED, "Request cancelled")
                self._say([PermissionGone(request_id=request_id)])
        for form in [form for form in self._forms if form.number == number]:
            self._take_back(form)
            self._connection.fail(number, wire.CANCELLED, "Request cancelled")

    # Permissions ----------------------------------------------------------------------------------------------------

    def permission(self, number: Any, method: str, params: Any) -> None:
        """The agent asks whether it may make a tool call."""

        def respond(option_id: str | None) -> None:
            outcome = {"outcome": "cancelled"} if option_id is None else {"outcome": "selected", "optionId": option_id}
            self._connection.respond(number, {"outcome": outcome})

        try:
            events = tools.permission(self._state, new_id(), params)
        except ValueError:
            self._say([translate.raw(self._state, method, params)])
            respond(None)
            return
        if not self._listening():
            respond(None)
            self._say([event for event in events if not isinstance(event, PermissionAsked)])
            return
        for event in events:
            if isinstance(event, PermissionAsked):
                self._permissions[event.request_id] = _Permission(number, event, respond)
        self._say(events)

    async def allowed(self, kind: ToolKind, title: str, tool: str, **fields: Any) -> bool:
        """Asks by ourselves what the agent has not asked; the mode answers, or a person, as for its own questions."""
        if not self._listening():
            return False
        decided: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def respond(option_id: str | None) -> None:
            if not decided.done():
                decided.set_result(option_id)

        asked = PermissionAsked(request_id=new_id(), title=title, tool=tool, tool_kind=kind, options=_OPTIONS, **fields)
        self._permissions[asked.request_id] = _Permission(None, asked, respond)
        self._say([asked])
        try:
            return await decided == "allow"
        finally:
            if self._permissions.pop(asked.request_id, None) is not None:
                self._say([PermissionGone(request_id=asked.request_id)])

    def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission; None refuses. Does nothing where it is not pending any more."""
        one = self._permissions.pop(request_id, None)
        if one is None:
            return
        if option_id is None:
            refusal = option_for(one.asked.options, allow=False)
            option_id = refusal.id if refusal else None
        kind = next((option.kind for option in one.asked.options if option.id == option_id), "reject_once")
        if not kind.startswith("allow") and one.asked.call_id is not None:
            self._state.denied.add(one.asked.call_id)
        self._grants.answered(one.asked, kind, self._state.tools.get(one.asked.call_id or ""))
        one.respond(option_id)

    # Forms ----------------------------------------------------------------------------------------------------------

    def form(self, number: Any, method: str, params: Any) -> None:
        """The agent has questions; each of its form's fields is one."""
        self._state.has_questions = True
        try:
            fields = forms.fields(params if isinstance(params, dict) else {})
        except ValueError:
            self._say([translate.raw(self._state, method, params)])
            fields = ()
        if not fields or not self._listening():
            self._connection.respond(number, {"action": "cancel"})
            return
        form = _Form(number, params)
        self._forms.append(form)
        for field in fields:
            self._ask(form, field, field.text)

    def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        """Answers a question of a form; None declines the whole of it. What does not fit is asked again."""
        form = next((form for form in self._forms if request_id in form.open), None)
        if form is None:
            return
        field = form.open.pop(request_id)
        if answer is None or forms.declines(field, answer):
            self._finish(form, {"action": "decline"})
            return
        try:
            form.content |= forms.filled(field, answer)
        except ValueError as error:
            self._ask(form, field, f"{field.text}\n\n({' '.join(answer)!r} does not fit: {error}.)")
            return
        if not form.open:
            self._finish(form, {"action": "accept", **({} if field.kind == "url" else {"content": form.content})})

    def completed(self, params: Any) -> None:
        """The agent has learned by itself that what the user was sent elsewhere for is done."""
        wanted = params.get("elicitationId") if isinstance(params, dict) else None
        for form in [form for form in self._forms if wanted is not None and form.elicitation_id == wanted]:
            self._finish(form, {"action": "accept"})

    def _ask(self, form: _Form, field: forms.Field, text: str) -> None:
        request_id = new_id()
        form.open[request_id] = field
        self._say([field.asked(request_id, text, form.call_id)])

    def _finish(self, form: _Form, response: dict[str, Any]) -> None:
        self._take_back(form)
        self._connection.respond(form.number, response)

    def _take_back(self, form: _Form) -> None:
        self._forms.remove(form)
        self._say([QuestionGone(request_id=request_id) for request_id in form.open])
