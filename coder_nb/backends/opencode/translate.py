"""What opencode's event stream says about one chat, as events; pure: the state that it needs is a value of its own.

Nothing here raises for what the server sent: what has an unknown kind or a broken shape becomes `RawReceived` (law 7).
Text comes as deltas first and whole at the end; what was told is not told again. Whole parts may be fed any number of
times, as happens when the server is asked for what was missed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from coder_nb.backends.events import (
    AnyEvent,
    Failed,
    Noticed,
    PermissionGone,
    PlanUpdate,
    QuestionGone,
    RawReceived,
    ReasoningDelta,
    TextDelta,
    UsageReported,
)
from coder_nb.backends.opencode import tools
from coder_nb.backends.opencode.state import Part, State, parent_of, session_of
from coder_nb.core.entries import Tokens

_NANO = 1_000_000_000
_BROKEN = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def event(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    """The events of one frame about the state's session or a child of it."""
    kind = said.get("type")
    rule = _RULES.get(kind) if isinstance(kind, str) else None
    if rule is None:
        return [RawReceived(source=state.agent, type=str(kind or ""), data=said)]
    try:
        session = session_of(said)
        if parent_of(said) is not None and session != state.session_id and session is not None:
            state.children.setdefault(session, None)
        events = rule(state, said["properties"])
        parent = None if session in (None, state.session_id) else _call_of(state, str(session))
    except _BROKEN:
        return [RawReceived(source=state.agent, type=str(kind), data=said)]
    return [msgspec.structs.replace(one, parent=parent) for one in events] if parent else events


def _call_of(state: State, session: str) -> str:
    """The tool call that a sub-agent works for; the oldest one that has none yet, where it was not told."""
    call = state.children.get(session)
    if call is None and state.waiting:
        call = state.children[session] = state.waiting.pop(0)
    return call or session


# Messages and their parts --------------------------------------------------------------------------------------------


def _message(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    info = said["info"]
    message, role = info["id"], info["role"]
    if message in state.old or info.get("parentID") in state.old:
        return []
    ours = info["sessionID"] == state.session_id
    if ours and message == state.message_id:
        state.accepted = True
    if state.message_id is not None and not state.accepted:
        return []  # of an earlier turn: ours has not begun
    state.messages[message] = role
    if role == "assistant":
        if info.get("providerID") and info.get("modelID"):
            state.models[message] = f"{info['providerID']}/{info['modelID']}"
        if ours:
            state.answer = info
    return [one for part in state.held.pop(message, ()) for one in _part(state, {"part": part})]


def _part(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    part = said["part"]
    message, kind = part["messageID"], part["type"]
    role = state.messages.get(message)
    if message in state.old or role == "user":
        return []
    if role is None:
        state.held.setdefault(message, []).append(part)
        return []
    if kind in ("text", "reasoning"):
        return _told(state, part)
    if kind not in _PARTS:
        return [RawReceived(source=state.agent, type=f"part {kind}", data=part)]
    return _PARTS[kind](state, part)


def _told(state: State, part: dict[str, Any]) -> list[AnyEvent]:
    """A text as a whole: what was not told of it yet."""
    text = part.get("text")
    if not isinstance(text, str):
        raise TypeError("a text part without text")
    if part.get("ignored"):
        return []
    known = state.parts.setdefault(part["id"], Part(kind=part["type"]))
    rest = text[len(known.told) :] if text.startswith(known.told) else ""
    known.told += rest
    if isinstance(part.get("time"), dict) and part["time"].get("end"):
        known.broken = True  # it is whole: a delta that comes now is one that was in it
    return _tell(known.kind, part["id"], rest)


def _delta(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    """More of a text; where its part was not announced, or some may be missing, the whole part tells it later."""
    known = state.parts.get(said["partID"])
    if known is None or known.broken or said.get("field") != "text" or said["messageID"] in state.old:
        return []
    known.told += said["delta"]
    return _tell(known.kind, said["partID"], said["delta"])


def _tell(kind: str, part: str, text: str) -> list[AnyEvent]:
    if not text:
        return []
    return [ReasoningDelta(text=text, part=part) if kind == "reasoning" else TextDelta(text=text, part=part)]


def _tool(state: State, part: dict[str, Any]) -> list[AnyEvent]:
    update = tools.tool_update(state, part)
    todos = update.input.get("todos") if part["tool"] == "todowrite" and isinstance(update.input, dict) else None
    done = update.status == "completed" and isinstance(todos, list)
    return [update, *(_plan(state, todos) if done else ())]


def _step(state: State, part: dict[str, Any]) -> list[AnyEvent]:
    """A step is done: its usage, once."""
    if part["id"] in state.counted:
        return []
    state.counted.add(part["id"])
    counts = tokens_of(part["tokens"])
    model = state.models.get(part["messageID"])
    cost = round(float(part.get("cost") or 0) * _NANO)
    used = sum(count or 0 for count in (counts.input, counts.output, counts.cache_read, counts.cache_write))
    return [
        UsageReported(
            tokens=counts,
            model=model,
            cost_nanousd=cost or None,  # nothing stands for a model whose price is not known
            cost_source="reported" if cost else "unknown",
            context_used=used or None,
            context_size=state.context_sizes.get(model or ""),
        )
    ]


def tokens_of(said: dict[str, Any]) -> Tokens:
    """Counts in our sense: reasoning stands beside the output, unless the total tells that it is in it."""
    cache = said.get("cache") or {}
    counts = [_count(c) for c in (said["input"], said["output"], said.get("reasoning"))]
    given, out, thought = (count or 0 for count in counts)
    read, written = _count(cache.get("read")), _count(cache.get("write"))
    total = _count(said.get("total"))
    inside = total is not None and total == given + out + (read or 0) + (written or 0)
    output = out if inside else out + thought
    return Tokens(input=given, output=output, reasoning=thought, cache_read=read, cache_write=written)


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _retry(state: State, part: dict[str, Any]) -> list[AnyEvent]:
    error = part.get("error") or {}
    return [Noticed(text=f"The model did not answer, and is asked again: {words_of(error)}", code="retry")]


def _compaction(state: State, part: dict[str, Any]) -> list[AnyEvent]:
    return [Noticed(text=f"{state.agent} summarised the conversation to make room for more.", code="compacted")]


def _no_part(state: State, part: dict[str, Any]) -> list[AnyEvent]:
    return []


_PARTS: dict[str, Callable[[State, dict[str, Any]], list[AnyEvent]]] = {
    "tool": _tool,
    "step-finish": _step,
    "retry": _retry,
    "compaction": _compaction,
    "step-start": _no_part,
    "patch": _no_part,  # what has changed is read from git
    "snapshot": _no_part,
    "file": _no_part,
    "agent": _no_part,
    "subtask": _no_part,
}


# The session itself --------------------------------------------------------------------------------------------------


def _asked(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return [tools.permission(state, said["id"], said)]


def _replied(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return [PermissionGone(request_id=said["requestID"])]


def _questions(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return list(tools.questions(said["id"], said))


def _settled(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return [QuestionGone(request_id=said["requestID"])]


def _error(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    error = said.get("error") or {}
    if said.get("sessionID") == state.session_id:
        state.error = state.error or error  # the first one says it best
        return []
    return [] if error.get("name") == ABORTED else [Failed(message=words_of(error), code="sub_agent_failed")]


def _status(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    status = said["status"]
    if status["type"] != "retry":
        return []
    return [Noticed(text=f"The model is asked again: {status.get('message') or 'it did not answer'}", code="retry")]


def _todo(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return _plan(state, said["todos"])


def _plan(state: State, todos: Any) -> list[AnyEvent]:
    """The plan, where it has changed: a call says it, and an event of its own."""
    items = tools.plan(todos)
    if items == state.plan:
        return []
    state.plan = items
    return [PlanUpdate(items=items)]


def _nothing(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return []


_RULES: dict[str, Callable[[State, dict[str, Any]], list[AnyEvent]]] = {
    "message.updated": _message,
    "message.part.updated": _part,
    "message.part.delta": _delta,
    "permission.asked": _asked,
    "permission.replied": _replied,
    "question.asked": _questions,
    "question.replied": _settled,
    "question.rejected": _settled,
    "session.error": _error,
    "session.status": _status,
    "todo.updated": _todo,
    **dict.fromkeys(
        (
            "session.idle",  # these two end turns: see `turn`
            "session.deleted",
            "session.created",
            "session.updated",
            "session.diff",
            "session.compacted",
            "message.removed",
            "message.part.removed",
            "command.executed",
        ),
        _nothing,
    ),
}

ABORTED = "MessageAbortedError"


def words_of(error: dict[str, Any]) -> str:
    """What an error says, in one line."""
    data = error.get("data")
    said = data.get("message") if isinstance(data, dict) else None
    first = str(said or error.get("message") or error.get("name") or "an unknown error").strip()
    return first.splitlines()[0] if first else "an unknown error"
