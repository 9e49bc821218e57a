"""What was used, said and done, as the rows of frames: from the store and from what agents left on disk alike."""

from __future__ import annotations

from typing import Literal

from coder_nb.core.entries import CostSource, Tokens, Value

Per = Literal["response", "session", "report"]
Role = Literal["user", "assistant", "system"]
MessageKind = Literal["text", "reasoning", "compaction"]
Relation = Literal["subagent", "fork"]
Origin = Literal["import", "pool"]


class Row(Value, kw_only=True, gc=False):
    """Where a row comes from: whose it is, and the file and line, or the entry, that say so."""

    agent: str
    session_id: str
    """The store's id of the session; of what is on disk only, the agent's own id of the conversation."""
    file: str = ""
    """The agent's file; empty where we saw it ourselves."""
    line: int | None = None
    """Of the file, from 1; the row's number in a database; the entry's position in a transcript."""
    ts: int | None = None
    project: str | None = None
    """The working directory of the session."""
    branch: str | None = None
    version: str | None = None
    """Of the agent."""
    subagent: str | None = None
    """The agent's own id of the sub-agent whose it is."""
    chat_id: str | None = None
    """None where it is on disk only: such a session is one chat."""
    native_id: str | None = None
    """The agent's own id of the conversation, where `session_id` is not that."""
    turn_id: str | None = None
    source: Origin = "import"


class Usage(Row, kw_only=True, gc=False):
    """What one response of a model used."""

    response_id: str
    """What makes it this response, wherever else it is written; unique to an agent."""
    request_id: str | None = None
    tokens: Tokens = Tokens()
    model: str | None = None
    provider: str | None = None
    cost_nanousd: int | None = None
    cost_source: CostSource = "reported"
    """Of the cost, where there is one."""
    web_searches: int | None = None
    service_tier: str | None = None
    speed: str | None = None
    geo: str | None = None
    duration_ms: int | None = None
    ttft_ms: int | None = None
    subagent_type: str | None = None
    parent_id: str | None = None
    """The conversation in whose service it was, where the sub-agent has one of its own."""
    sidechain: bool = False
    """Whether a side conversation says so: what the main one has under the same id is a replay of it here."""
    complete: bool = True
    """False where the agent never wrote the final count."""
    hidden: bool = False
    """Whether it is no part of the conversation: a title, a memory, a summary."""
    counted: bool = True
    """False where it must not be summed: replayed, resumed, imported."""
    per: Per = "response"
    """What it is the sum of; some agents keep no more than a session's."""
    copies: int = 1
    """In how many places it was written."""

    @property
    def total(self) -> int:
        """All tokens; of two records of one response the larger is the later one."""
        t = self.tokens
        return (t.input or 0) + (t.output or 0) + (t.cache_read or 0) + (t.cache_write or 0)


class ToolUse(Row, kw_only=True, gc=False):
    """One call of a tool, and how it ended."""

    call_id: str
    key: str
    """What makes it this call, wherever else it is written."""
    original_name: str
    name: str | None = None
    """The normal name, where it does not follow from the original one."""
    input: str | None = None
    """As JSON; only where text is asked for."""
    path: str | None = None
    command: str | None = None
    """The first word of a command."""
    status: str = "pending"
    output: str | None = None
    """Only where text is asked for."""
    output_chars: int | None = None
    exit_code: int | None = None
    ended: int | None = None
    duration_ms: int | None = None
    model: str | None = None
    message_id: str | None = None
    lines_added: int | None = None
    lines_removed: int | None = None
    """What an edit says that it changes."""


class Message(Row, kw_only=True, gc=False):
    """Something that was said."""

    message_id: str | None = None
    role: Role
    kind: MessageKind = "text"
    text: str | None = None
    """Only where it is asked for."""
    chars: int = 0
    model: str | None = None
    sidechain: bool = False


class Session(Row, kw_only=True, gc=False):
    """A conversation, as one of its files has it."""

    title: str | None = None
    parent_id: str | None = None
    relation: Relation | None = None
    ended: int | None = None


class Asked(Row, kw_only=True, gc=False):
    """A permission that was asked for."""

    entry_id: str
    tool: str | None = None
    title: str | None = None
    call_id: str | None = None
    status: str = "pending"
    by: str | None = None
    waited_ms: int | None = None


class Turn(Row, kw_only=True, gc=False):
    """A prompt and all that followed it."""

    number: int
    """Its place in the session, from 1."""
    prompt: str | None = None
    prompt_id: str | None = None
    state: str | None = None
    ended: int | None = None
    reason: str | None = None
    message: str | None = None
    code: str | None = None


class FileChange(Row, kw_only=True, gc=False):
    """What was done to one file: as git tells it, or on disk only, as the tool's input does."""

    change_id: str
    path: str
    operation: str
    old_path: str | None = None
    status: str | None = None
    additions: int | None = None
    deletions: int | None = None
    binary: bool = False
    decided: int | None = None


class Problem(Value, kw_only=True):
    """What could not be read, where, and why."""

    agent: str
    file: str
    line: int | None = None
    what: str
    """unreadable, broken database, torn line, broken line, mended line, unexpected shape, not understood, compressed,
    unknown parent."""
    detail: str = ""


AnyRow = Usage | ToolUse | Message | Session
