"""What translating an agent's words depends on beside the frame, and what its session is set to; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from coder_nb.backends.base import Capabilities
from coder_nb.core.entries import Choice, ToolKind

_PLAIN_MODEL = re.compile(r"[\w./:@+\[\]-]+\Z")


@dataclass
class Tool:
    """What is remembered of a tool call, as updates bring only what changed."""

    name: str | None = None
    kind: ToolKind = "other"
    input: Any = None
    paths: tuple[str, ...] = ()
    """The files that it has said to be about."""


@dataclass
class State:
    """What translating depends on beside the frame."""

    agent: str
    tools: dict[str, Tool] = field(default_factory=dict)
    modes: tuple[Choice, ...] = ()
    mode: str | None = None
    models: tuple[Choice, ...] = ()
    model: str | None = None
    efforts: tuple[str, ...] = ()
    """How much it may be told to think, in the model that is chosen."""
    effort: str | None = None
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
    has_questions: bool = False
    terminals: dict[str, str] = field(default_factory=dict)
    """By the id of a terminal, the tool call in which it is shown."""
    denied: set[str] = field(default_factory=set)
    """Tool calls that were denied and of which the agent has not said yet how they ended."""
    telling: bool = False
    """Whether a history is being told: what the user said then comes from the agent too."""
    part: int = 0
    speaking: str = ""


def capabilities(hello: dict[str, Any]) -> Capabilities:
    """What the answer to `initialize` says that the agent can do."""
    offered = _table(hello.get("agentCapabilities"))
    sessions = _table(offered.get("sessionCapabilities"))
    prompts = _table(offered.get("promptCapabilities"))
    return Capabilities(
        resume=_has(sessions, "resume"),
        load=offered.get("loadSession") is True,
        fork=_has(sessions, "fork"),
        list=_has(sessions, "list"),
        close=_has(sessions, "close"),
        images=prompts.get("image") is True,
        files=prompts.get("embeddedContext") is True,
        mcp=True,  # over stdio, by every agent
        rewind=False,
        steer=_table(_table(hello.get("_meta")).get("steering")).get("supported") is True,
    )


def transports_of(hello: dict[str, Any]) -> frozenset[str]:
    """By which ways, beside stdio, the agent reaches MCP servers."""
    offered = _table(_table(hello.get("agentCapabilities")).get("mcpCapabilities"))
    return frozenset(way for way in ("http", "sse") if offered.get(way) is True)


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
        choices = choices_of(option)
        if option.get("category", option["id"]) == "mode":
            state.modes, state.mode = choices or state.modes, option.get("currentValue") or state.mode
        elif option.get("category", option["id"]) == "model":
            state.models, state.model = choices or state.models, option.get("currentValue") or state.model
        elif is_effort(option):
            state.efforts, state.effort = tuple(choice.id for choice in choices), option.get("currentValue")


def options_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The configuration options in an answer, those that are well formed."""
    found = result.get("configOptions")
    return [o for o in found if isinstance(o, dict) and isinstance(o.get("id"), str)] if isinstance(found, list) else []


def is_effort(option: dict[str, Any]) -> bool:
    """Whether a configuration option is about how much the agent thinks; some give it no category."""
    return option.get("category") == "thought_level" or option["id"] in ("effort", "reasoning_effort")


def choices_of(option: dict[str, Any]) -> tuple[Choice, ...]:
    """The values of a configuration option; none for one that is on or off."""
    return _choices(_flat(option.get("options")), "value")


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


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r}")
    return value


def as_count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
