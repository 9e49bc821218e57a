"""What an ACP agent says, as events; pure: the state that it needs is a value of its own.

Nothing here raises for what an agent sent: what has an unknown kind or a broken shape becomes `RawReceived` (law 7).
"""

from __future__ import annotations

from typing import Any

import msgspec

from coder_nb.backends.acp import usage
from coder_nb.backends.acp.state import State, as_text, configured
from coder_nb.backends.acp.tools import tool_update
from coder_nb.backends.events import (
    AnyEvent,
    CommandsChanged,
    ModeChanged,
    PlanUpdate,
    RawReceived,
    ReasoningDelta,
    TextDelta,
    UserSaid,
)
from coder_nb.core.entries import Command, End, PlanItem

ENDS: dict[str, End] = {
    "end_turn": "completed",
    "cancelled": "cancelled",
    "refusal": "refused",
    "max_tokens": "limited",
    "max_turn_requests": "limited",
}
"""What each stop reason means; one that is not known counts as completed, with the agent's word as the reason."""


def update(state: State, params: Any) -> list[AnyEvent]:
    """The events of a `session/update` notification."""
    said = params.get("update") if isinstance(params, dict) else None
    kind = said.get("sessionUpdate") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(kind, str) or kind not in _UPDATES:
        return [raw(state, str(kind or ""), said if said is not None else params)]
    try:
        events = _UPDATES[kind](state, said)
        parent = _parent(said.get("_meta"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return [raw(state, kind, said)]
    return [msgspec.structs.replace(event, parent=parent) for event in events] if parent else events


def notification(state: State, method: str, params: Any) -> list[AnyEvent]:
    """The events of any notification; some agents have their own one for a change of mode."""
    if method == "session/update":
        return update(state, params)
    if method.startswith("$/"):
        return []
    mode = params.get("currentModeId") if isinstance(params, dict) else None
    return _mode_now(state, mode) if isinstance(mode, str) else [raw(state, method, params)]


def raw(state: State, kind: str, data: Any) -> RawReceived:
    """Something that is not understood, as it came."""
    return RawReceived(source=state.agent, type=kind, data=data)


def _message(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return [*_speak(state, said, TextDelta), *usage.response_usage(state, said.get("_meta"))]


def _user(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    """What we said ourselves, unless a history is told."""
    state.speaking = ""
    content = said["content"]
    if not state.telling:
        return []
    if content["type"] != "text":
        return [raw(state, "user_message_chunk", said)]
    message = said.get("messageId")
    return [UserSaid(text=as_text(content["text"]), native_id=message if isinstance(message, str) else None)]


def _thought(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return _speak(state, said, ReasoningDelta)


def _speak(state: State, said: dict[str, Any], event: type[TextDelta] | type[ReasoningDelta]) -> list[AnyEvent]:
    """Text, in parts: another message, or something else in between, begins another part."""
    content = said["content"]
    if content["type"] == "resource_link":
        text = f"[{content.get('name') or content['uri']}]({content['uri']})"
    elif content["type"] != "text":
        return [raw(state, str(said["sessionUpdate"]), said)]
    else:
        text = as_text(content["text"])
    if not text:
        return []
    speaking = f"{event.__name__} {said.get('messageId') or ''}"
    if state.speaking != speaking:
        state.part += 1
        state.speaking = speaking
    return [event(text=text, part=str(state.part))]


def _tool_call(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    state.speaking = ""
    return [tool_update(state, said, begins=True)]


def _tool_update(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return [tool_update(state, said, begins=said["toolCallId"] not in state.tools)]


def _plan(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    items = tuple(
        PlanItem(
            text=as_text(entry["content"]),
            status=entry["status"] if entry.get("status") in ("pending", "in_progress", "completed") else "pending",
            priority=entry["priority"] if entry.get("priority") in ("high", "medium", "low") else "medium",
        )
        for entry in said["entries"]
    )
    state.speaking = ""
    return [PlanUpdate(items=items)]


def _commands(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    state.has_commands = True
    return [
        CommandsChanged(
            commands=tuple(
                Command(
                    name=as_text(command["name"]),
                    description=str(command.get("description") or ""),
                    hint=str((command.get("input") or {}).get("hint") or ""),
                )
                for command in said["availableCommands"]
            )
        )
    ]


def _mode(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return _mode_now(state, as_text(said["currentModeId"]))


def _options_changed(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    before = state.mode
    configured(state, said)
    return [] if state.mode == before or state.mode is None else [_mode_event(state, state.mode)]


def _mode_now(state: State, mode: str) -> list[AnyEvent]:
    if mode == state.mode:
        return []
    state.mode = mode
    return [_mode_event(state, mode)]


def _mode_event(state: State, mode: str) -> ModeChanged:
    return ModeChanged(current=mode, available=state.modes)


def _nothing(_: State, __: dict[str, Any]) -> list[AnyEvent]:
    return []


_UPDATES = {
    "agent_message_chunk": _message,
    "agent_thought_chunk": _thought,
    "user_message_chunk": _user,
    "tool_call": _tool_call,
    "tool_call_update": _tool_update,
    "plan": _plan,
    "available_commands_update": _commands,
    "current_mode_update": _mode,
    "config_option_update": _options_changed,
    "session_info_update": _nothing,  # the agent's own title of it
    "usage_update": usage.context_changed,
}


def _parent(meta: Any) -> str | None:
    """The tool call of the sub-agent that something belongs to."""
    if not isinstance(meta, dict):
        return None
    places = [meta, *(value for value in meta.values() if isinstance(value, dict))]
    found = (place.get(name) for place in places for name in ("parentToolUseId", "parentToolCallId"))
    return next((parent for parent in found if isinstance(parent, str) and parent), None)
