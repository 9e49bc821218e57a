"""The closed union of transcript entries, and what streams between two commits of one.

An `Entry` is an envelope (who, when, where in the log) around a `Body` (what). The log assigns `pos` and `rev`:
`pos` never changes, `rev` is the revision of the entry's last commit. All values are frozen; a changed entry is a new
value with the same id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, dataclass_transform

import msgspec

ToolStatus = Literal["pending", "in_progress", "completed", "failed", "cancelled"]
ToolKind = Literal["read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other"]
PermissionStatus = Literal["pending", "allowed", "denied", "expired"]
End = Literal["completed", "cancelled", "failed", "refused", "limited", "interrupted"]
Origin = Literal["user", "agent"]
CostSource = Literal["reported", "computed", "unknown"]


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """A frozen value of the core; fields at their default are left out of the encoded form."""


class Cell(Value):
    """The notebook cell from which a prompt came."""

    cell_id: str | None = None
    execution_count: int | None = None
    notebook: str | None = None


class Location(Value):
    path: str
    line: int | None = None


class Attachment(Value):
    """A file or an image that goes with a prompt: named by its path, or carried along as its bytes."""

    name: str
    mime_type: str = "text/plain"
    path: str | None = None
    """Where it is, relative to the directory that the agent is given."""
    data: bytes | None = None
    """What it holds, where it has no path that the agent can read."""


class FileDiff(Value):
    """What a tool call says it did to one file; the truth about files is the turn's changes, which come from git."""

    path: str
    old: str | None = None
    """The text before; None where the file is new or the agent did not say."""
    new: str = ""


class PlanItem(Value):
    text: str
    status: Literal["pending", "in_progress", "completed"] = "pending"
    priority: Literal["high", "medium", "low"] = "medium"


class PermissionOption(Value):
    id: str
    label: str
    kind: Literal["allow_once", "allow_always", "reject_once", "reject_always"]


class Offer(Value):
    """A rule that would answer a permission and its like from now on, without asking."""

    id: str
    label: str
    """In a word or two: ``pytest …``."""
    text: str
    """All that it would cover."""


class Command(Value):
    """A slash command or skill that the agent offers."""

    name: str
    description: str = ""
    hint: str = ""


class Choice(Value):
    """One thing of a list to pick from: a mode, a model."""

    id: str
    label: str = ""
    description: str = ""


class Tokens(Value):
    """Counts as reported; None is "not known" and never 0 (law 17)."""

    input: int | None = None
    """Fresh input only: what was read from or written to a cache is not in it."""
    output: int | None = None
    """All output, reasoning included."""
    reasoning: int | None = None
    """The part of the output that was reasoning."""
    cache_read: int | None = None
    cache_write: int | None = None
    """All that was written to a cache, whatever its time to live."""
    cache_write_1h: int | None = None
    """The part of the cache writes that lives for an hour."""


class Body(Value, tag_field="kind"):
    """What an entry says; the subclasses below are the closed union `AnyBody`."""


class TurnStarted(Body, tag="turn_started"):
    agent: str
    origin: Origin = "user"
    prompt_id: str | None = None
    model: str | None = None
    mode: str | None = None
    cell: Cell | None = None
    label: str = ""
    """What the agent is called; empty where that is its name."""
    effort: str | None = None
    """How much it was asked to think; None where that was left to it."""


class UserMessage(Body, tag="user_message"):
    text: str
    prompt_id: str | None = None
    attachments: tuple[Attachment, ...] = ()


class Text(Body, tag="text"):
    text: str = ""


class Reasoning(Body, tag="reasoning"):
    text: str = ""


class ToolCall(Body, tag="tool_call"):
    """One call, updated until it ends."""

    name: str
    """The normal name (see `tools.normal_name`)."""
    original_name: str = ""
    tool_kind: ToolKind = "other"
    title: str = ""
    input: Any = None
    status: ToolStatus = "pending"
    content: str = ""
    """The output as text."""
    locations: tuple[Location, ...] = ()
    diffs: tuple[FileDiff, ...] = ()
    exit_code: int | None = None
    meta: Any = None
    """What the agent noted beside it in forms of its own, as it came."""


class Plan(Body, tag="plan"):
    items: tuple[PlanItem, ...] = ()


class Permission(Body, tag="permission"):
    """A question of the agent whether it may make a tool call; ends as allowed, denied or expired."""

    request_id: str
    title: str = ""
    tool: str = ""
    tool_kind: ToolKind = "other"
    tool_entry: str | None = None
    """The id of the tool call's entry, where there is one."""
    input: Any = None
    diffs: tuple[FileDiff, ...] = ()
    options: tuple[PermissionOption, ...] = ()
    status: PermissionStatus = "pending"
    option_id: str | None = None
    by: str | None = None
    """Who answered: a user's name, ``callback``, ``stdin``, ``rule``, ``mode``, ``administrator``, or ``nobody``."""
    waited_ms: int | None = None
    original_name: str = ""
    """The agent's own name of the tool."""
    offers: tuple[Offer, ...] = ()
    """The rules that may be made with the answer, the narrowest first."""
    scopes: tuple[Literal["session", "project", "everywhere"], ...] = ()
    """Where such a rule may hold."""
    rules: tuple[str, ...] = ()
    """The ids of the rules that answered it; of one that was made with the answer, where a person gave it."""
    why: str = ""
    """Why it was answered without asking, or which rule was made with the answer, in words."""
    counted: bool = True
    """False where it was asked elsewhere: forked or imported."""


class Question(Body, tag="question"):
    """A question of the agent to the user; ends as answered, declined or expired."""

    request_id: str
    text: str = ""
    choices: tuple[Choice, ...] = ()
    multiple: bool = False
    """Whether several choices may be taken."""
    custom: bool = True
    """Whether an answer in the user's own words is taken; always where there are no choices."""
    status: Literal["pending", "answered", "declined", "expired"] = "pending"
    answer: tuple[str, ...] = ()
    """Ids of choices, and words of the user's own."""
    by: str | None = None
    """Who answered or declined, as in `Permission`."""
    waited_ms: int | None = None


class Commands(Body, tag="commands"):
    commands: tuple[Command, ...] = ()


class Mode(Body, tag="mode"):
    current: str
    available: tuple[Choice, ...] = ()


class Usage(Body, tag="usage"):
    """Tokens and cost of one response of the model, or of what the agent reports at once."""

    tokens: Tokens = Tokens()
    model: str | None = None
    cost_nanousd: int | None = None
    cost_source: CostSource = "unknown"
    context_used: int | None = None
    context_size: int | None = None
    counted: bool = True
    """False where the figures are shown but must not be summed: replayed, resumed, forked or imported ones."""
    native_id: str | None = None
    """The agent's own id of the conversation, by which its own files tell the same responses."""


class FileChange(Body, tag="file_change"):
    """What the turn did to one file, from git; `change_id` leads to its review."""

    change_id: str
    path: str
    operation: Literal["create", "edit", "delete", "rename"] = "edit"
    old_path: str | None = None
    additions: int | None = None
    deletions: int | None = None
    binary: bool = False


class Checkpoint(Body, tag="checkpoint"):
    """The state of the worktree before a turn; a restore appends one that hides the entries between two positions."""

    commit: str
    hides_from: int | None = None
    hides_to: int | None = None


class Compaction(Body, tag="compaction"):
    summary: str = ""


class Notice(Body, tag="notice"):
    text: str
    code: str = ""
    level: Literal["info", "warning"] = "info"


class Error(Body, tag="error"):
    message: str
    code: str = "error"
    retryable: bool = False


class Raw(Body, tag="raw"):
    """Something the agent said that is not understood (yet), kept as it came."""

    source: str
    type: str = ""
    data: Any = None


class TurnEnded(Body, tag="turn_ended"):
    end: End
    reason: str = ""
    message: str = ""
    code: str = ""
    duration_ms: int | None = None


AnyBody = (
    TurnStarted
    | UserMessage
    | Text
    | Reasoning
    | ToolCall
    | Plan
    | Permission
    | Question
    | Commands
    | Mode
    | Usage
    | FileChange
    | Checkpoint
    | Compaction
    | Notice
    | Error
    | Raw
    | TurnEnded
)


class Unknown:
    """A body whose kind this version does not know; `data` is the whole body, as JSON, and goes out unchanged.

    A plain class, so that msgspec hands it to the codec's hook instead of encoding its fields.
    """

    __slots__ = ("data", "kind")

    def __init__(self, kind: str, data: bytes) -> None:
        self.kind = kind
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"Unknown({self.kind!r}, {self.data!r})"


if TYPE_CHECKING:
    StoredBody = AnyBody | Unknown
else:  # msgspec decodes the closed union; `codec` steps in where that fails
    StoredBody = AnyBody


class Entry(Value):
    """One item of a transcript, as it is committed and read."""

    id: str
    chat_id: str
    body: StoredBody
    turn_id: str | None = None
    pos: int = 0
    """Place in the transcript, from 1, fixed at the first commit; 0 until then."""
    rev: int = 0
    """The chat's revision at this entry's last commit; 0 until then."""
    ts: int = 0
    """When it began, milliseconds since the epoch."""
    agent: str | None = None
    parent: str | None = None
    """The id of the sub-agent's tool call that this belongs to."""
    native_id: str | None = None
    """The agent's own id of it, unique within the chat: what arrives twice is one entry."""
    open: bool = False
    """Whether it may still grow or change."""

    @property
    def kind(self) -> str:
        """The word that names what this is: ``text``, ``tool_call`` ..."""
        return self.body.kind if isinstance(self.body, Unknown) else str(self.body.__struct_config__.tag)


class Chunk(Value):
    """Committed text of an entry that is still streaming; offsets count code points."""

    entry_id: str
    offset: int
    text: str
    rev: int = 0


class Delta(Value):
    """Live text, ahead of its commit: it has no revision and is never replayed."""

    epoch: str
    entry_id: str
    offset: int
    text: str


class Page(Value):
    """A part of a transcript in revision order: upsert the entries by id, then splice the chunks."""

    entries: tuple[Entry, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    rev: int = 0
    """The cursor to read on from; everything up to it has been given."""
    more: bool = False
    """Whether the log holds later revisions already."""


def text_of(body: AnyBody | Unknown) -> str | None:
    """The streamed text of a body that has one, else None."""
    return body.text if isinstance(body, Text | Reasoning) else None
