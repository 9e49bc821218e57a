"""A native session: a loop of asking the model and doing what it calls for, until it only answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal

from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings, ThinkingLevel
from pydantic_ai.tools import ToolDefinition

from coder_nb.backends.base import Asked, Capabilities, Plain
from coder_nb.backends.events import AnyEvent, Done, PlanUpdate, ToolUpdate, UserSaid
from coder_nb.backends.native import failures, tools, translate
from coder_nb.backends.native.asking import Asking
from coder_nb.backends.native.memory import Memory, sendable
from coder_nb.backends.native.models import EFFORTS
from coder_nb.backends.native.providers import Target
from coder_nb.backends.native.tools import AskUser, MakePlan, Outcome, Shell
from coder_nb.backends.native.words import instructions
from coder_nb.backends.native.workplace import Refused, Workplace
from coder_nb.core.entries import Choice
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import InvalidOption
from coder_nb.ids import new_id

STEPS = 100
"""How often the model is asked in one turn, at most."""
_REFUSED = "The user refused this."
_LAST_WAIT = 5.0
_STOPPED = "The user stopped the turn before this was done."
_DEFINITIONS = [
    ToolDefinition(name=name, description=description, parameters_json_schema=schema)
    for name, (description, schema) in ((name, tools.schema(name)) for name in tools.ARGUMENTS)
]


class NativeSession(Plain):
    """One context of the native agent. The work of a turn is a task of this object, so that it can be stopped."""

    pid: int | None = None

    def __init__(
        self,
        agent: str,
        *,
        place: Workplace,
        shell: Shell,
        memory: Memory,
        resumed: Literal["new", "resumed", "forked", "forgotten"],
        model_of: Callable[[str | None], tuple[Target, Model]],
        models: tuple[Choice, ...],
        efforts: Mapping[str, tuple[str, ...]],
        steps: int = STEPS,
    ) -> None:
        self.resumed: Literal["new", "resumed", "forked", "forgotten"] = resumed
        self.capabilities = Capabilities(
            resume=True, load=False, fork=True, list=False, images=True, files=True, mcp=False, questions=True,
            rewind=True, steer=True, models=models, efforts=efforts, commands=False, cost=False,
        )  # fmt: skip
        self._agent, self._place, self._shell, self._memory = agent, place, shell, memory
        self._model_of, self._steps = model_of, steps
        self._thinking: ThinkingLevel | None = None
        self._alive = True
        self._events: asyncio.Queue[AnyEvent] = asyncio.Queue()
        self._work: asyncio.Task[None] | None = None
        self._stopping = False
        self._asking = Asking(self._say)
        self._steered: list[str] = []
        """What the user has added and the model was not told yet; what is left of it goes into the next turn."""
        self._takes_more = False

    @property
    def native_id(self) -> str | None:
        return self._memory.native_id

    @property
    def alive(self) -> bool:
        return self._alive

    async def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        if self._work is not None:
            raise RuntimeError("this session takes one prompt at a time")
        if not self._alive:
            yield Done(end="failed", message="This session is closed: prompt again.", code="agent_failed", alive=False)
            return
        self._events, self._stopping = asyncio.Queue(), False
        self._work = asyncio.create_task(self._turn(asked), name=f"native {self.native_id}")
        self._work.add_done_callback(self._stopped_early)
        try:
            while True:
                event = await self._events.get()
                yield event
                if isinstance(event, Done):
                    return
        finally:
            await self._end_work()

    async def answer(self, request_id: str, option_id: str | None) -> None:
        self._asking.settle(request_id, option_id)

    async def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        self._asking.settle(request_id, answer)

    async def steer(self, text: str) -> bool:
        if not self._takes_more:
            return False
        self._steered.append(text)
        return True

    async def rewind(self, to: str | None) -> bool:
        return self._work is None and await self._memory.rewind(to)

    async def cancel(self) -> None:
        if self._work is not None and not self._stopping:
            self._stopping, self._takes_more = True, False
            self._work.cancel()

    async def close(self) -> None:
        self._alive = False
        await self.cancel()
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=_LAST_WAIT)

    # The turn ---------------------------------------------------------------------------------------------------------

    async def _turn(self, asked: Asked) -> None:
        """Does the work, and gives it its one end."""
        target: Target | None = None
        self._takes_more = True
        try:
            target, model = self._model_of(asked.model)
            self._thinking = _thinking(asked.effort, target, model)
            done = await self._steps_of(asked, target, model)
        except asyncio.CancelledError:
            done = Done(end="cancelled")
        except Exception as error:
            done = failures.done_of(error, target, self._agent)
        self._takes_more = False
        self._say(Done(end=done.end, reason=done.reason, message=done.message, code=done.code, alive=self._alive))

    def _stopped_early(self, work: asyncio.Task[None]) -> None:
        """A turn that was stopped before its work had begun has an end too."""
        if work.cancelled():
            self._takes_more = False
            self._say(Done(end="cancelled", alive=self._alive))

    async def _steps_of(self, asked: Asked, target: Target, model: Model) -> Done:
        words = instructions(self._place.cwd, self._place.root, asked.mode)
        user_id = new_id()
        unsaid, self._steered = self._steered, []
        await self._memory.add(translate.request(asked, self._place, words, user_id, before=unsaid))
        self._say(UserSaid(text="", native_id=user_id))
        for step in range(self._steps):
            response = await self._respond(target, model, step)
            calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
            if response.finish_reason == "length":
                await self._remember(calls, {}, words, why="The answer was cut off at its longest.")
                text = "The model's answer reached its longest: prompt again to let it go on."
                return Done(end="limited", reason="length", message=text, code="answer_too_long")
            if response.finish_reason == "content_filter":
                text = "The model's provider held the answer back: say it in other words, or choose another model."
                return Done(end="refused", reason="content_filter", message=text, code="refused")
            if not calls and not self._steered:
                self._takes_more = False
                return Done(end="completed", reason=response.finish_reason or "")
            await self._do_all(calls, asked.mode, words, step)
        text = f"The turn was ended after {self._steps} requests to the model: prompt again to let it go on."
        return Done(end="limited", reason="steps", message=text, code="too_many_steps")

    async def _respond(self, target: Target, model: Model, step: int) -> ModelResponse:
        """One answer of the model, remembered; one that is cut short is remembered as far as it came."""
        parameters = ModelRequestParameters(function_tools=_DEFINITIONS)
        conversation = sendable(self._memory.messages)
        response: ModelResponse | None = None
        try:
            async with model_request_stream(
                model,
                conversation,
                model_settings=_settings(target, self._thinking),
                model_request_parameters=parameters,
            ) as stream:
                try:
                    async for event in stream:
                        for said in translate.streamed(event, step):
                            self._say(said)
                finally:
                    response = stream.get()
        finally:
            if response is not None:
                await self._keep(response, target, model)
        return response

    async def _keep(self, response: ModelResponse, target: Target, model: Model) -> None:
        context = model.profile.get("context_window")
        used = translate.usage(response, provider=target.provider, model=target.model, context=context)
        if used is not None:
            self._say(used)
        kept = response if response.state == "complete" else translate.spoken(response)
        if kept is not None:
            await self._memory.add(kept)

    # Tool calls -------------------------------------------------------------------------------------------------------

    async def _do_all(self, calls: Sequence[ToolCallPart], mode: PermissionMode, words: str, step: int) -> None:
        """Does one call after another, then tells the model all of what came of them, and what the user added."""
        outcomes: dict[str, Outcome] = {}
        try:
            for call in calls:
                outcomes[call.tool_call_id] = await self._do(call, translate.known_as(call.tool_call_id, step), mode)
        except asyncio.CancelledError:
            await self._remember(calls, outcomes, words, why=_STOPPED)
            raise
        await self._remember(calls, outcomes, words, why=_STOPPED)

    async def _remember(
        self, calls: Sequence[ToolCallPart], outcomes: dict[str, Outcome], words: str, *, why: str
    ) -> None:
        parts: list[ModelRequestPart] = [
            ToolReturnPart(
                tool_name=call.tool_name,
                content=outcomes[call.tool_call_id].text if call.tool_call_id in outcomes else why,
                tool_call_id=call.tool_call_id,
            )
            for call in calls
        ]
        steered, self._steered = self._steered, []
        parts.extend(UserPromptPart(text) for text in steered)
        if parts:
            await self._memory.add(ModelRequest(parts=parts, instructions=words))

    async def _do(self, call: ToolCallPart, call_id: str, mode: PermissionMode) -> Outcome:
        """One call: understood, allowed, done, and shown."""
        try:
            outcome = await self._outcome(call, call_id, mode)
        except Refused as refused:
            outcome = Outcome(str(refused), failed=True)
        self._say(
            ToolUpdate(
                call_id=call_id,
                status="failed" if outcome.failed else "completed",
                content=outcome.text,
                exit_code=outcome.exit_code,
            )
        )
        return outcome

    async def _outcome(self, call: ToolCallPart, call_id: str, mode: PermissionMode) -> Outcome:
        said = translate.arguments(call)
        given = tools.understood(call.tool_name, said)
        if isinstance(given, MakePlan):
            self._say(PlanUpdate(items=tools.plan_items(given)))
            self._say(ToolUpdate(call_id=call_id, title="Plan"))
            return Outcome("The user sees the plan.")
        if isinstance(given, AskUser):
            self._say(ToolUpdate(call_id=call_id, title="Ask the user", status="in_progress"))
            return await self._asking.ask(call_id, given)
        deed = await asyncio.to_thread(tools.prepared, given, self._place, self._shell)
        self._say(ToolUpdate(call_id=call_id, title=deed.title, locations=deed.locations, diffs=deed.diffs or None))
        if not await self._asking.may(call.tool_name, call_id, said, deed):
            return Outcome(_REFUSED, failed=True)
        self._say(ToolUpdate(call_id=call_id, status="in_progress"))
        return await deed.act()

    # Within -----------------------------------------------------------------------------------------------------------

    def _say(self, event: AnyEvent) -> None:
        self._events.put_nowait(event)

    async def _end_work(self) -> None:
        """The task is over when the prompt is, also where its reader walks away."""
        work, self._work = self._work, None
        if work is not None:
            if not work.done() and not self._stopping:
                work.cancel()
            await asyncio.wait({work})


def _thinking(effort: str | None, target: Target, model: Model) -> ThinkingLevel | None:
    """How much the model thinks: as it takes by itself where nothing is said, None where it cannot."""
    can = bool(model.profile.get("supports_thinking"))
    if effort is None:
        return True if can else None
    for known in EFFORTS if can else ():
        if known == effort:
            return known
    offered = ", ".join(EFFORTS) if can else "none"
    raise InvalidOption(f"{target.name} has no effort {effort!r}: it offers {offered}.")


def _settings(target: Target, thinking: ThinkingLevel | None) -> ModelSettings:
    """Thought where the model can, and a cache where one has to be asked for."""
    settings = ModelSettings()
    if thinking is not None:
        settings["thinking"] = thinking
    if target.provider == "anthropic":
        return {**settings, "anthropic_cache": True}  # type: ignore[typeddict-unknown-key]
    return settings
