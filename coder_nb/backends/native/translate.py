"""The LLM library's events and values as events of ours; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic_ai import messages
from pydantic_ai.messages import ModelRequest, ModelResponse, UserContent, UserPromptPart
from pydantic_ai.usage import RequestUsage

from coder_nb.backends.base import Asked
from coder_nb.backends.events import AnyEvent, ReasoningDelta, TextDelta, ToolUpdate, UsageReported
from coder_nb.backends.native.workplace import Refused, Workplace
from coder_nb.core.entries import Attachment, Tokens
from coder_nb.core.tools import kind_of, normal_name

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_CARRIED = (*_IMAGES, "application/pdf")


def streamed(event: messages.ModelResponseStreamEvent, step: int) -> Iterator[AnyEvent]:
    """What an event of a streaming response says; `step` tells the responses of a turn apart."""
    match event:
        case messages.PartStartEvent(index=index, part=messages.TextPart(content=text)) if text:
            yield TextDelta(text=text, part=f"{step}.{index}")
        case messages.PartStartEvent(index=index, part=messages.ThinkingPart(content=text)) if text:
            yield ReasoningDelta(text=text, part=f"{step}.{index}")
        case messages.PartStartEvent(part=messages.ToolCallPart(tool_name=name, tool_call_id=call_id)):
            kind = kind_of(normal_name(name))
            yield ToolUpdate(
                call_id=known_as(call_id, step), original_name=name, tool_kind=kind, title=name, status="pending"
            )
        case messages.PartDeltaEvent(index=index, delta=messages.TextPartDelta(content_delta=text)) if text:
            yield TextDelta(text=text, part=f"{step}.{index}")
        case messages.PartDeltaEvent(index=index, delta=messages.ThinkingPartDelta(content_delta=text)) if text:
            yield ReasoningDelta(text=text, part=f"{step}.{index}")
        case messages.PartEndEvent(part=messages.ToolCallPart() as call):
            call_id = known_as(call.tool_call_id, step)
            yield ToolUpdate(call_id=call_id, original_name=call.tool_name, input=arguments(call))


def known_as(call_id: str, step: int) -> str:
    """A call as it is known in its turn: some endpoints count their calls from nought again in each response."""
    return f"{step}:{call_id}"


def arguments(call: messages.ToolCallPart) -> Any:
    """The arguments as the model gave them: a table, or where they are no JSON, their text."""
    if not isinstance(call.args, str):
        return dict(call.args or {})
    try:
        return json.loads(call.args or "{}")
    except ValueError:
        return call.args


def usage(response: ModelResponse, *, provider: str, model: str, context: int | None) -> UsageReported | None:
    """Tokens of one response; what was not reported is not known, and of a partial one its output is not."""
    reported = response.usage
    if response.state != "complete" and not reported.has_values():
        return None
    tokens = _tokens(reported, whole=response.state == "complete")
    used = None if tokens.input is None else reported.input_tokens + reported.output_tokens
    name = f"{provider}/{response.model_name or model}"
    return UsageReported(tokens=tokens, model=name, context_used=used, context_size=context if used else None)


def _tokens(reported: RequestUsage, *, whole: bool) -> Tokens:
    if reported.unmeasured_requests or not reported.has_values():
        return Tokens()
    fresh = reported.input_tokens - reported.cache_read_tokens - reported.cache_write_tokens
    return Tokens(
        input=max(0, fresh),
        output=reported.output_tokens if whole else None,
        reasoning=(reported.output_reasoning_tokens or None) if whole else None,
        cache_read=reported.cache_read_tokens or None,
        cache_write=reported.cache_write_tokens or None,
        cache_write_1h=reported.cache_write_1h_tokens or None,
    )


def spoken(response: ModelResponse) -> ModelResponse | None:
    """What is kept of a response that was cut short: the text. Half of a thought or of a call is of no use."""
    parts = [part for part in response.parts if isinstance(part, messages.TextPart) and part.content]
    if not parts:
        return None
    return ModelResponse(parts=parts, model_name=response.model_name, usage=response.usage, state="interrupted")


def request(
    asked: Asked, place: Workplace, instructions: str, user_id: str, *, before: Sequence[str] = ()
) -> ModelRequest:
    """The message of the user, with what goes with it; `before` is what an earlier turn took and did not tell it."""
    content: list[UserContent] = [asked.text]
    for attachment in asked.attachments:
        content.extend(_attached(attachment, place))
    prompt = UserPromptPart(asked.text if len(content) == 1 else content)
    return ModelRequest(
        parts=[*map(UserPromptPart, before), prompt], instructions=instructions, metadata={"user_id": user_id}
    )


def _attached(given: Attachment, place: Workplace) -> Iterator[UserContent]:
    """A file as the model takes it: images and PDFs as they are, text as text, what has a path by its path."""
    carried = given.mime_type in _CARRIED
    data = given.data
    if given.path is not None and data is None:
        if not carried:
            yield f"The user refers to the file {given.path}."
            return
        data = _bytes(given.path, place)
        if data is None:
            yield f"The user refers to the file {given.path}, which cannot be read."
            return
    if carried:
        yield f"The file {given.name}:"
        yield messages.BinaryContent(data=data or b"", media_type=given.mime_type)
        return
    try:
        yield f"The file {given.name}:\n\n{(data or b'').decode('utf-8')}"
    except UnicodeDecodeError:
        yield f"The user attached {given.name} ({given.mime_type}), which cannot be shown to you."


def _bytes(path: str, place: Workplace) -> bytes | None:
    try:
        found: Path = place.path(path)
        return found.read_bytes()
    except (Refused, OSError):
        return None
