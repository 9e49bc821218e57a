"""What Claude says, as our events; pure but for `State`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ContentBlock,
    ConversationResetMessage,
    Message,
    MirrorErrorMessage,
    RateLimitEvent,
    ResultMessage,
    ServerToolResultBlock,
    ServerToolUseBlock,
    StreamEvent,
    SystemMessage,
    TaskNotificationMessage,
    TaskProgressMessage,
    TaskStartedMessage,
    TaskUpdatedMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from coder_nb.backends.claude import tools, usage
from coder_nb.backends.claude.state import State
from coder_nb.backends.events import (
    AnyEvent,
    CommandsChanged,
    Noticed,
    PlanUpdate,
    RawReceived,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
)
from coder_nb.core.entries import Command

_SILENT = frozenset(
    {
        "api_retry", "background_tasks_changed", "hook_callback", "hook_response", "hook_started", "permission_denied",
        "session_state_changed", "status", "task_progress", "task_started", "task_updated", "thinking_tokens",
    }
)  # fmt: skip
"""What is said by others of their own: the tool calls, the turn, the result."""
_ENDINGS = {"completed": "has ended", "failed": "has failed", "stopped": "was stopped"}


def message(state: State, said: Message) -> Iterator[AnyEvent]:
    """The events that a message stands for. A result's end is another matter: see `ending`."""
    match said:
        case StreamEvent():
            yield from _streamed(state, said)
        case AssistantMessage():
            yield from _assistant(state, said)
        case UserMessage():
            yield from _user(state, said)
        case SystemMessage():
            yield from _system(state, said)
        case ResultMessage():
            yield from usage.since_last(state, said)
            if not state.answered and not said.is_error and said.result:  # as of a command that needs no model
                yield TextDelta(text=said.result, part=said.uuid or "result")
        case RateLimitEvent():
            yield from _rate_limit(said)
        case ConversationResetMessage():
            state.totals.clear()
            state.context_used = None
            yield Noticed(text=f"{state.label} has forgotten the conversation so far.", code="cleared")
        case _:
            yield raw(said)


def raw(said: object, kind: str = "") -> RawReceived:
    """Something that is not understood, as it came."""
    if dataclasses.is_dataclass(said) and not isinstance(said, type):
        return RawReceived(source="claude", type=kind or type(said).__name__, data=dataclasses.asdict(said))
    return RawReceived(source="claude", type=kind or type(said).__name__, data=said)


def commands(listed: Any) -> CommandsChanged:
    """The slash commands and skills, as Claude lists them when it starts."""
    found = listed if isinstance(listed, list) else []
    return CommandsChanged(
        commands=tuple(
            Command(
                name=str(each["name"]),
                description=str(each.get("description") or ""),
                hint=str(each.get("argumentHint") or ""),
            )
            for each in found
            if isinstance(each, dict) and each.get("name")
        )
    )


def _streamed(state: State, said: StreamEvent) -> Iterator[AnyEvent]:
    event, parent = said.event, said.parent_tool_use_id
    if event.get("type") == "message_start":
        message_id = str(event.get("message", {}).get("id", ""))
        state.message[parent] = message_id
        state.streamed.add(message_id)
        return
    if _is_foreign(state, parent):
        return
    part = f"{state.message.get(parent, '')}:{event.get('index', 0)}"
    delta = event.get("delta") if event.get("type") == "content_block_delta" else None
    block = event.get("content_block") if event.get("type") == "content_block_start" else None
    match delta or block:
        case {"type": "text_delta", "text": str(text)} if text:
            state.answered = state.answered or parent is None
            yield TextDelta(text=text, part=part, parent=parent)
        case {"type": "thinking_delta", "thinking": str(text)} if text:
            yield ReasoningDelta(text=text, part=part, parent=parent)
        case {"type": "tool_use", "id": str(call_id), "name": str(name)}:
            yield from _call(state, ToolUseBlock(call_id, name, {}), parent)


def _assistant(state: State, said: AssistantMessage) -> Iterator[AnyEvent]:
    parent = said.parent_tool_use_id
    if _is_foreign(state, parent):
        return
    if parent is None and said.usage and said.error is None:
        state.model = said.model
        state.context_used = usage.context(said.usage) or state.context_used
    known = said.message_id in state.streamed
    for number, block in enumerate(said.content):
        part = f"{said.message_id or said.uuid}:{number}:{said.uuid}"
        match block:
            case TextBlock(text) if not known and text and said.error is None:
                state.answered = state.answered or parent is None
                yield TextDelta(text=text, part=part, parent=parent)
            case ThinkingBlock(thinking) if not known and thinking:
                yield ReasoningDelta(text=thinking, part=part, parent=parent)
            case TextBlock() | ThinkingBlock():
                pass
            case _:
                yield from _block(state, block, parent)


def _block(state: State, block: ContentBlock, parent: str | None) -> Iterator[AnyEvent]:
    match block:
        case ToolUseBlock():
            yield from _call(state, block, parent)
        case ServerToolUseBlock():
            yield from _call(state, ToolUseBlock(block.id, block.name, block.input), parent)
        case ToolResultBlock():
            yield tools.result(state.calls.get(block.tool_use_id, ""), block, None, parent)
        case ServerToolResultBlock():
            failed = str(block.content.get("type", "")).endswith("error")
            yield ToolUpdate(call_id=block.tool_use_id, status="failed" if failed else "completed", parent=parent)
        case _:
            yield raw(block)


def _call(state: State, block: ToolUseBlock, parent: str | None) -> Iterator[AnyEvent]:
    begins = block.id not in state.calls
    state.calls[block.id] = block.name
    if block.name == tools.PLAN and (items := tools.plan(block.input)):
        yield PlanUpdate(items=items, parent=parent)
    if begins or block.input:
        yield tools.call(block, parent)


def _user(state: State, said: UserMessage) -> Iterator[AnyEvent]:
    """Results of tools; what else stands there is the user's own, or Claude's note to itself."""
    if isinstance(said.content, str) or _is_foreign(state, said.parent_tool_use_id):
        return
    for block in said.content:
        if isinstance(block, ToolResultBlock) and block.tool_use_id in state.calls:
            name = state.calls[block.tool_use_id]
            yield tools.result(name, block, said.tool_use_result, said.parent_tool_use_id)


def _is_foreign(state: State, parent: str | None) -> bool:
    """Whether it is of a sub-agent that an earlier turn has begun: that turn has ended, and does not change."""
    return parent is not None and parent not in state.calls


def _system(state: State, said: SystemMessage) -> Iterator[AnyEvent]:
    match said:
        case TaskNotificationMessage():
            state_of_it = _ENDINGS.get(said.status, said.status)
            yield Noticed(text=f"A background task {state_of_it}: {said.summary}", code="background_task")
        case MirrorErrorMessage():
            text = f"What {state.label} remembers of this session could not be stored: {said.error}"
            yield Noticed(text=text, code="history", level="warning")
        case TaskStartedMessage() | TaskProgressMessage() | TaskUpdatedMessage():
            pass
        case SystemMessage(subtype="init", data=data):
            state.session_id = str(data.get("session_id") or state.session_id)
        case SystemMessage(subtype="api_retry", data={"attempt": 1, **more}):
            why = f"{more.get('error_status') or ''} {str(more.get('error') or '').replace('_', ' ')}".strip()
            text = f"The model does not answer as it should ({why}): {state.label} tries again."
            yield Noticed(text=text, code="retry", level="warning")
        case SystemMessage(subtype="compact_boundary"):
            yield Noticed(text=f"{state.label} has summarised the conversation so far.", code="compacted")
        case SystemMessage() if said.subtype not in _SILENT:
            yield RawReceived(source="claude", type=f"system/{said.subtype}", data=said.data)


def _rate_limit(said: RateLimitEvent) -> Iterator[AnyEvent]:
    info = said.rate_limit_info
    which = (info.rate_limit_type or "rate").replace("_", " ")
    if info.status == "rejected":
        yield Noticed(text=f"The {which} limit is reached: wait until it is reset.", code="rate_limit", level="warning")
    elif info.status == "allowed_warning":
        used = f", {info.utilization:.0%} of it are used" if info.utilization is not None else ""
        yield Noticed(text=f"The {which} limit is near{used}.", code="rate_limit", level="warning")
