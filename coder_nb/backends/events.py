"""What an agent reports while it takes a turn: the closed union of events."""

from __future__ import annotations

from typing import Any, Literal

from coder_nb.core.entries import (
    Choice,
    Command,
    CostSource,
    End,
    FileDiff,
    Location,
    PermissionOption,
    PlanItem,
    Tokens,
    ToolKind,
    ToolStatus,
    Value,
)


class Event(Value):
    """The base of the closed union `AnyEvent`."""

    parent: str | None = None
    """The agent's id of the sub-agent's tool call that this belongs to."""


class TextDelta(Event, kw_only=True):
    """More text of the answer. A change of `part` starts a new entry."""

    text: str
    part: str = ""


class ReasoningDelta(Event, kw_only=True):
    text: str
    part: str = ""


class ToolUpdate(Event, kw_only=True):
    """A tool call began or changed; fields that are None are as they were."""

    call_id: str
    original_name: str | None = None
    tool_kind: ToolKind | None = None
    title: str | None = None
    input: Any = None
    status: ToolStatus | None = None
    content: str | None = None
    locations: tuple[Location, ...] | None = None
    diffs: tuple[FileDiff, ...] | None = None
    exit_code: int | None = None
    meta: Any = None
    """What the agent notes beside it in forms of its own."""


class PlanUpdate(Event, kw_only=True):
    items: tuple[PlanItem, ...]


class PermissionAsked(Event, kw_only=True):
    request_id: str
    title: str = ""
    tool: str = ""
    """The agent's own name of the tool."""
    tool_kind: ToolKind = "other"
    call_id: str | None = None
    input: Any = None
    diffs: tuple[FileDiff, ...] = ()
    options: tuple[PermissionOption, ...] = ()


class PermissionGone(Event, kw_only=True):
    """The agent took its question back."""

    request_id: str


class QuestionAsked(Event, kw_only=True):
    """One question to the user; who asks several at once yields one for each, and waits for all their answers."""

    request_id: str
    text: str
    choices: tuple[Choice, ...] = ()
    multiple: bool = False
    custom: bool = True
    """Whether an answer in the user's own words is taken; always where there are no choices."""
    call_id: str | None = None


class QuestionGone(Event, kw_only=True):
    request_id: str


class SelfStarted(Event, kw_only=True):
    """The agent has begun a turn by itself; what follows, up to its `Done`, belongs to it."""

    reason: str = ""


class UserSaid(Event, kw_only=True):
    """What the user said, where a native session's history is told again; a turn begins with it."""

    text: str
    ts: int | None = None
    native_id: str | None = None


class CommandsChanged(Event, kw_only=True):
    commands: tuple[Command, ...]


class ModeChanged(Event, kw_only=True):
    current: str
    available: tuple[Choice, ...] = ()


class UsageReported(Event, kw_only=True):
    """Tokens and cost since the last report; the backend has made differences of cumulative figures."""

    tokens: Tokens = Tokens()
    model: str | None = None
    cost_nanousd: int | None = None
    cost_source: CostSource = "unknown"
    context_used: int | None = None
    context_size: int | None = None
    counted: bool = True


class Noticed(Event, kw_only=True):
    text: str
    code: str = ""
    level: Literal["info", "warning"] = "info"


class Failed(Event, kw_only=True):
    """Something went wrong that the turn may survive; the turn's own failure is in `Done`."""

    message: str
    code: str = "error"
    retryable: bool = False


class RawReceived(Event, kw_only=True):
    """Something that is not understood, as it came (law 7)."""

    source: str
    type: str = ""
    data: Any = None


class Done(Event, kw_only=True):
    """The end of the prompt: always the last event, always exactly one."""

    end: End
    reason: str = ""
    """The agent's own word for it."""
    message: str = ""
    """For failures: the sentence, with the cure."""
    code: str = ""
    alive: bool = True
    """False where the agent session cannot take another prompt and must be opened again."""


AnyEvent = (
    TextDelta
    | ReasoningDelta
    | ToolUpdate
    | PlanUpdate
    | PermissionAsked
    | PermissionGone
    | QuestionAsked
    | QuestionGone
    | SelfStarted
    | UserSaid
    | CommandsChanged
    | ModeChanged
    | UsageReported
    | Noticed
    | Failed
    | RawReceived
    | Done
)
