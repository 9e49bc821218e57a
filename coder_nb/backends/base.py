"""What a backend is: two small protocols, and the closed union of what an agent reports while it takes a turn.

A backend knows nothing of chats, entries or the store. It opens an agent session, and turns prompts into a stream of
events; the runtime gives those ids, makes entries of them and commits them.

The contract that `coder_nb.testing.backend_conformance` checks:

1. `prompt` yields exactly one `Done`, as its last event, whatever happens: it never raises for what the agent did
   (a crash, garbage, a refusal), only for a wrong call of ours.
2. `cancel` makes a running prompt end with ``Done("cancelled")``, within the agent's grace; the session then takes the
   next prompt, unless `Done.alive` says that it is gone. Calling it when nothing runs does nothing.
3. Events of an earlier prompt never appear in a later one (law 1); what comes between two prompts goes to
   `idle_events`.
4. A pending `PermissionAsked` does not hold back other events, and is answered by `answer`, at most once; a prompt that
   ends takes its pending requests with it.
5. Text comes as deltas, each part of a message exactly once, in order (a final part that repeats deltas is dropped).
6. `close` is bounded in time and may be called at any moment, also twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

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
from coder_nb.core.permissions import PermissionMode


class Capabilities(Value):
    """What an agent session can do; `None` where it has not been asked yet."""

    resume: bool | None = None
    """Goes on with a native session without telling its history again."""
    load: bool | None = None
    fork: bool | None = None
    list: bool | None = None
    close: bool | None = None
    images: bool | None = None
    modes: tuple[Choice, ...] = ()
    models: tuple[Choice, ...] = ()
    commands: bool | None = None
    cost: bool | None = None


# What an agent reports while it takes a turn -------------------------------------------------------------------------


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
    | CommandsChanged
    | ModeChanged
    | UsageReported
    | Noticed
    | Failed
    | RawReceived
    | Done
)


# The protocols -------------------------------------------------------------------------------------------------------


class Opening(Value):
    """What is needed to open an agent session."""

    agent: str
    chat_id: str
    cwd: Path
    """The directory that the agent is given: the worktree, or the same subdirectory of it."""
    mode: PermissionMode = "ask"
    model: str | None = None
    native_id: str | None = None
    """The native session to go on with; None for a new one."""
    turns: int = 0
    """How many turns this agent has taken in the chat (by which a replay knows its place)."""


class Asked(Value):
    """A prompt as an agent gets it: what others said since its last turn (law 13) is in `text` already."""

    text: str
    user_text: str
    """What the user wrote, and nothing else."""
    mode: PermissionMode = "ask"
    model: str | None = None


class AgentSession(Protocol):
    """One agent's own context, alive."""

    @property
    def native_id(self) -> str | None:
        """The agent's id of it, by which it can be resumed."""

    @property
    def resumed(self) -> Literal["new", "resumed", "forgotten"]:
        """Whether it goes on with the `native_id` it was opened with; "forgotten" where the agent could not."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def pid(self) -> int | None:
        """The agent's process, where it has one of its own."""

    @property
    def alive(self) -> bool: ...

    def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        """Takes a turn; see the contract above. One at a time."""

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission by one of its options; None is a refusal without a choice."""

    async def cancel(self) -> None:
        """Stops the running prompt; returns at once, the prompt then ends by itself."""

    async def close(self) -> None: ...


class Backend(Protocol):
    """Opens agent sessions of one kind."""

    async def probe(self, agent: str) -> Probe:
        """Whether the agent can be used here, without starting a browser or changing the user's configuration."""

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        """Starts or connects; raises an `AgentUnavailable` or `AgentFailed`, never anything foreign.

        `idle_events` is called on the loop with what the agent says while no prompt runs.
        """

    async def close(self) -> None:
        """Ends what is shared between sessions; bounded."""


class Probe(Value):
    available: bool
    version: str | None = None
    path: str | None = None
    reason: str = ""
    cure: str = ""


# Processes: what a backend asks the pool's keeper for ----------------------------------------------------------------


class Child(Protocol):
    """A process started for us, with its pipes; all its descendants end with it."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """None while it lives; negative for a signal."""

    async def read(self, limit: int = 65536) -> bytes:
        """What it wrote to its standard output; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Writes all of it to its standard input; raises `AgentDied` where it has closed it."""

    def stderr_tail(self) -> str:
        """The last 32 KiB of its standard error, secrets blanked out."""

    def explain(self) -> str:
        """Why it ended, in sentences for people, with its last words and the cure."""

    async def wait(self) -> int: ...

    async def stop(self, grace: float = 5.0) -> None:
        """Closes its input, then TERM, then after `grace` seconds KILL, to it and all its descendants; bounded."""


class Spawner(Protocol):
    """Starts processes that cannot outlive us (law 11)."""

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Child:
        """Starts a process in a session of its own; raises `AgentNotInstalled` where there is no such program."""
