"""What an ACP agent says, as events; pure: the state that it needs is a value of its own.

Nothing here raises for what an agent sent: what has an unknown kind or a broken shape becomes `RawReceived` (law 7).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import msgspec

from coder_nb.backends.base import (
    AnyEvent,
    Capabilities,
    CommandsChanged,
    ModeChanged,
    PermissionAsked,
    PlanUpdate,
    RawReceived,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
    UsageReported,
)
from coder_nb.core.entries import (
    Choice,
    Command,
    End,
    FileDiff,
    Location,
    PermissionOption,
    PlanItem,
    Tokens,
    ToolKind,
    ToolStatus,
)
from coder_nb.core.tools import kind_of, normal_name

_KINDS: frozenset[str] = frozenset(get_args(ToolKind))
_STATUSES: frozenset[str] = frozenset(get_args(ToolStatus))
_OptionKind = Literal["allow_once", "allow_always", "reject_once", "reject_always"]
_OPTIONS: frozenset[str] = frozenset(get_args(_OptionKind))
_BARE_NAME = re.compile(r"[A-Za-z_][\w.:-]*\Z")
_PLAIN_MODEL = re.compile(r"[\w./:@+\[\]-]+\Z")
_NANO = 1_000_000_000

ENDS: dict[str, End] = {
    "end_turn": "completed",
    "cancelled": "cancelled",
    "refusal": "refused",
    "max_tokens": "limited",
    "max_turn_requests": "limited",
}
"""What each stop reason means; one that is not known counts as completed, with the agent's word as the reason."""


@dataclass
class Tool:
    """What is remembered of a tool call, as updates bring only what changed."""

    name: str | None = None
    kind: ToolKind = "other"
    input: Any = None


@dataclass
class State:
    """What translating depends on beside the frame."""

    agent: str
    tools: dict[str, Tool] = field(default_factory=dict)
    modes: tuple[Choice, ...] = ()
    mode: str | None = None
    models: tuple[Choice, ...] = ()
    model: str | None = None
    cost_total: int | None = None
    """The cumulative cost, in nanodollars, up to which everything was reported; None where it is not known: in a
    resumed session, so that what was spent before is not counted again (law 17)."""
    cost_due: int | None = None
    """Cost that was heard of and not reported yet."""
    context_used: int | None = None
    context_size: int | None = None
    repeats_usage: bool = False
    """Whether the agent's answer to a prompt tells the session's latest usage, which may be an earlier turn's."""
    last_usage: Any = None
    reported: bool = False
    """Whether this turn's responses were reported one by one, so that their sum must not be."""
    has_cost: bool = False
    has_commands: bool = False
    part: int = 0
    speaking: str = ""


# Updates -------------------------------------------------------------------------------------------------------------


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


def raw(state: State, kind: str, data: Any) -> RawReceived:
    """Something that is not understood, as it came."""
    return RawReceived(source=state.agent, type=kind, data=data)


def _message(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return [*_speak(state, said, TextDelta), *_response_usage(state, said.get("_meta"))]


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
        text = _text(content["text"])
    if not text:
        return []
    speaking = f"{event.__name__} {said.get('messageId') or ''}"
    if state.speaking != speaking:
        state.part += 1
        state.speaking = speaking
    return [event(text=text, part=str(state.part))]


def _tool_call(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    state.speaking = ""
    return [_tool(state, said, begins=True)]


def _tool_update(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return [_tool(state, said, begins=said["toolCallId"] not in state.tools)]


def _tool(state: State, said: dict[str, Any], *, begins: bool) -> ToolUpdate:
    call_id = _text(said["toolCallId"])
    known = state.tools.setdefault(call_id, Tool())
    name = _tool_name(said, begins=begins and known.name is None)
    known.name = name or known.name
    given = said.get("kind")
    if given in _KINDS and given != "other":
        known.kind = cast("ToolKind", given)
    elif known.kind == "other" and known.name:
        known.kind = kind_of(normal_name(known.name))
    known.input = said.get("rawInput") or known.input
    status = said.get("status")
    content, diffs = _content(said.get("content"))
    output = said.get("rawOutput")
    if content is None and not diffs and output is not None:
        content = _output_text(output)
    if not diffs:  # some put the diff into their question only: it stays, unless nothing came of it
        diffs = () if status == "failed" else None
    return ToolUpdate(
        call_id=call_id,
        original_name=name,
        tool_kind=known.kind if begins or given is not None or name else None,
        title=said["title"] if isinstance(said.get("title"), str) else None,
        input=said.get("rawInput") or None,
        status=status if status in _STATUSES else ("pending" if begins else None),
        content=content,
        locations=_locations(said.get("locations")),
        diffs=diffs,
        exit_code=_exit_code(output),
    )


def _plan(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    items = tuple(
        PlanItem(
            text=_text(entry["content"]),
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
                    name=_text(command["name"]),
                    description=str(command.get("description") or ""),
                    hint=str((command.get("input") or {}).get("hint") or ""),
                )
                for command in said["availableCommands"]
            )
        )
    ]


def _mode(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    return _mode_now(state, _text(said["currentModeId"]))


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


def _context(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    """Nothing yet: context and cost are reported with the tokens that they belong to."""
    state.context_used, state.context_size = _count(said.get("used")), _count(said.get("size"))
    cost = said.get("cost")
    if isinstance(cost, dict) and cost.get("currency", "USD") == "USD":
        total = round(float(cost["amount"]) * _NANO)
        state.has_cost = True
        if state.cost_total is not None and total >= state.cost_total:
            state.cost_due = (state.cost_due or 0) + total - state.cost_total
        state.cost_total = total
    return []


def _nothing(_: State, __: dict[str, Any]) -> list[AnyEvent]:
    return []


_UPDATES = {
    "agent_message_chunk": _message,
    "agent_thought_chunk": _thought,
    "user_message_chunk": _nothing,  # what we said ourselves
    "tool_call": _tool_call,
    "tool_call_update": _tool_update,
    "plan": _plan,
    "available_commands_update": _commands,
    "current_mode_update": _mode,
    "config_option_update": _options_changed,
    "session_info_update": _nothing,  # the agent's own title of it
    "usage_update": _context,
}


# The session and its options -----------------------------------------------------------------------------------------


def capabilities(hello: dict[str, Any]) -> Capabilities:
    """What the answer to `initialize` says that the agent can do."""
    offered = _table(hello.get("agentCapabilities"))
    sessions = _table(offered.get("sessionCapabilities"))
    return Capabilities(
        resume=_has(sessions, "resume"),
        load=offered.get("loadSession") is True,
        fork=_has(sessions, "fork"),
        list=_has(sessions, "list"),
        close=_has(sessions, "close"),
        images=_table(offered.get("promptCapabilities")).get("image") is True,
    )


def _has(table: dict[str, Any], name: str) -> bool:
    return table.get(name) is not None and table[name] is not False


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def configured(state: State, result: dict[str, Any]) -> None:
    """Takes modes and models from the answer to `session/new` and its like, or from a list of options."""
    modes, models = result.get("modes"), result.get("models")
    if isinstance(modes, dict):
        state.modes = _choices(modes.get("availableModes"), "id")
        state.mode = modes.get("currentModeId") or state.mode
    if isinstance(models, dict):
        state.models = _choices(models.get("availableModels"), "modelId")
        state.model = models.get("currentModelId") or state.model
    for option in options_of(result):
        choices = _choices(_flat(option.get("options")), "value")
        if option.get("category", option["id"]) == "mode":
            state.modes, state.mode = choices or state.modes, option.get("currentValue") or state.mode
        elif option.get("category", option["id"]) == "model":
            state.models, state.model = choices or state.models, option.get("currentValue") or state.model


def options_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The configuration options in an answer, those that are well formed."""
    found = result.get("configOptions")
    return [o for o in found if isinstance(o, dict) and isinstance(o.get("id"), str)] if isinstance(found, list) else []


def model_name(state: State) -> str | None:
    """The model as its maker calls it: some agents' ids of it are keys of their own."""
    if state.model is None or _PLAIN_MODEL.match(state.model):
        return state.model
    return next((choice.label for choice in state.models if choice.id == state.model and choice.label), state.model)


def _choices(found: Any, key: str) -> tuple[Choice, ...]:
    return tuple(
        Choice(id=item[key], label=str(item.get("name") or ""), description=str(item.get("description") or ""))
        for item in (found if isinstance(found, list) else [])
        if isinstance(item, dict) and isinstance(item.get(key), str)
    )


def _flat(options: Any) -> list[Any]:
    """A select's options without their groups."""
    flat: list[Any] = []
    for option in options if isinstance(options, list) else []:
        grouped = option.get("options") if isinstance(option, dict) else None
        flat += grouped if isinstance(grouped, list) else [option]
    return flat


# Permissions ---------------------------------------------------------------------------------------------------------


def permission(state: State, request_id: str, params: Any) -> list[AnyEvent]:
    """The events of a `session/request_permission`: the tool call, as far as it says more of it, and the question.

    Raises `ValueError` where it is no such request.
    """
    try:
        said = params["toolCall"]
        begins = said["toolCallId"] not in state.tools
        before = None if begins else state.tools[said["toolCallId"]].input
        tool = _tool(state, said, begins=begins)
        options = tuple(_option(option) for option in params["options"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a permission request: {error}") from error
    known = state.tools[tool.call_id]
    if not begins:  # what it says of a call that is known is about the question: not what the tool was given
        given = None if before else tool.input
        tool = msgspec.structs.replace(tool, title=None, status=None, tool_kind=None, input=given)
        known.input = before or known.input
    asked = PermissionAsked(
        request_id=request_id,
        title=str(said.get("title") or ""),
        tool=known.name or "",
        tool_kind=known.kind,
        call_id=tool.call_id,
        input=known.input,
        diffs=tool.diffs or (),
        options=options,
    )
    return [tool, asked]


def _option(option: dict[str, Any]) -> PermissionOption:
    kind = option.get("kind")
    if kind not in _OPTIONS:
        kind = "allow_once" if str(kind).startswith("allow") else "reject_once"
    label = str(option.get("name") or option["optionId"])
    return PermissionOption(id=_text(option["optionId"]), label=label, kind=cast("_OptionKind", kind))


# Usage ---------------------------------------------------------------------------------------------------------------


def begin_turn(state: State) -> None:
    """A prompt is about to be sent."""
    state.reported = False
    state.speaking = ""


def end_turn(state: State, result: dict[str, Any] | None = None) -> list[AnyEvent]:
    """What is left to report of usage when a turn has ended: with the answer to the prompt, or without one."""
    usage = (result or {}).get("usage")
    known = state.reported or (state.repeats_usage and usage == state.last_usage)
    state.last_usage = usage or state.last_usage
    return _report(state, None if known or not isinstance(usage, dict) else tokens_of(usage))


def tokens_of(usage: dict[str, Any]) -> Tokens | None:
    """Counts in our sense; None where nothing was counted, as after a Stop.

    Agents differ in whether input includes what came from a cache, and output what was reasoning: the total tells.
    """
    counts = [_count(usage.get(name)) for name in _COUNTS]
    if not any(counts):
        return None
    given, out, thought, read, written, total = counts
    fresh, said = given or 0, out or 0
    cached, thoughts = (read or 0) + (written or 0), thought or 0
    beside = cached if total is None else total - fresh - said
    if beside == cached + thoughts:
        said += thoughts
    elif beside == cached:
        pass  # what the protocol means
    elif beside == thoughts:
        fresh, said = fresh - cached, said + thoughts
    elif beside == 0:
        fresh -= cached
    return Tokens(
        input=None if given is None else max(0, fresh),
        output=None if out is None else said,
        reasoning=thought,
        cache_read=read,
        cache_write=written,
    )


_COUNTS = ("inputTokens", "outputTokens", "thoughtTokens", "cachedReadTokens", "cachedWriteTokens", "totalTokens")


def _response_usage(state: State, meta: Any) -> list[AnyEvent]:
    usage = meta.get("usage") if isinstance(meta, dict) else None
    tokens = tokens_of(usage) if isinstance(usage, dict) else None
    if tokens is None:
        return []
    state.reported = True
    return _report(state, tokens)


def _report(state: State, tokens: Tokens | None) -> list[AnyEvent]:
    cost, state.cost_due = state.cost_due, None
    if tokens is None and not cost:
        return []
    return [
        UsageReported(
            tokens=tokens or Tokens(),
            model=model_name(state),
            cost_nanousd=cost,
            cost_source="unknown" if cost is None else "reported",
            context_used=state.context_used or None,
            context_size=state.context_size,
        )
    ]


# Parts of a tool call ------------------------------------------------------------------------------------------------


def _tool_name(said: dict[str, Any], *, begins: bool) -> str | None:
    """The tool's own name: agents put it into `_meta`, each in its place, or have nothing else as the first title."""
    named = _named_in(said.get("_meta"), depth=3)
    title = said.get("title")
    return named or (title if begins and isinstance(title, str) and _BARE_NAME.match(title) else None)


def _named_in(meta: Any, *, depth: int) -> str | None:
    if not isinstance(meta, dict) or depth == 0:
        return None
    name = meta.get("toolName")
    if isinstance(name, str) and name:
        return name
    return next((found for value in meta.values() if (found := _named_in(value, depth=depth - 1))), None)


def _content(items: Any) -> tuple[str | None, tuple[FileDiff, ...] | None]:
    """Text and diffs of a tool call's content, which replaces what was there; (None, None) where there is none."""
    if not isinstance(items, list) or not items:
        return None, None
    texts: list[str] = []
    diffs: list[FileDiff] = []
    for item in items:
        if item["type"] == "diff":
            diffs.append(FileDiff(path=_text(item["path"]), old=item.get("oldText"), new=_text(item["newText"])))
        elif item["type"] == "content":
            texts.append(_block_text(item["content"]))
    return ("\n".join(texts) if texts else None), tuple(diffs)


def _block_text(block: dict[str, Any]) -> str:
    if block["type"] == "text":
        return _text(block["text"])
    if block["type"] == "resource":
        return str(block["resource"].get("text") or block["resource"].get("uri") or "")
    return str(block.get("uri") or f"[{block['type']}]")


def _output_text(output: Any) -> str:
    if isinstance(output, str):
        return output
    if isinstance(output, dict) and isinstance(output.get("output"), str):
        return str(output["output"])
    return json.dumps(output, ensure_ascii=False)


def _exit_code(output: Any) -> int | None:
    places = [output, output.get("metadata")] if isinstance(output, dict) else []
    codes = [p.get(n) for p in places if isinstance(p, dict) for n in ("exitCode", "exit_code", "exit")]
    return next((code for code in codes if isinstance(code, int) and not isinstance(code, bool)), None)


def _locations(found: Any) -> tuple[Location, ...] | None:
    if not isinstance(found, list) or not found:
        return None
    return tuple(Location(path=_text(item["path"]), line=_count(item.get("line"))) for item in found)


def _parent(meta: Any) -> str | None:
    """The tool call of the sub-agent that something belongs to."""
    if not isinstance(meta, dict):
        return None
    places = [meta, *(value for value in meta.values() if isinstance(value, dict))]
    found = (place.get(name) for place in places for name in ("parentToolUseId", "parentToolCallId"))
    return next((parent for parent in found if isinstance(parent, str) and parent), None)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r}")
    return value


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
