"""What a reader finds, as values: responses, tool calls, messages, sessions; and what it could not read."""

from __future__ import annotations

from typing import Literal

from coder_nb.core.entries import Tokens, Value

Per = Literal["response", "session"]
Role = Literal["user", "assistant", "system"]
MessageKind = Literal["text", "reasoning", "compaction"]
Relation = Literal["subagent", "fork"]


class Row(Value, kw_only=True, gc=False):
    """Where a row comes from: whose it is, and the file and line that say so."""

    agent: str
    session_id: str
    file: str
    line: int
    """Of the file, from 1; the row's number in a database."""
    ts: int | None = None
    project: str | None = None
    """The working directory of the session."""
    branch: str | None = None
    version: str | None = None
    """Of the agent."""
    subagent: str | None = None
    """The agent's own id of the sub-agent whose it is."""


class Usage(Row, kw_only=True, gc=False):
    """What one response of a model used."""

    response_id: str
    """What makes it this response, wherever else it is written; unique to an agent."""
    request_id: str | None = None
    tokens: Tokens = Tokens()
    model: str | None = None
    provider: str | None = None
    cost_nanousd: int | None = None
    """As the agent reports it."""
    web_searches: int | None = None
    service_tier: str | None = None
    speed: str | None = None
    geo: str | None = None
    duration_ms: int | None = None
    ttft_ms: int | None = None
    subagent_type: str | None = None
    sidechain: bool = False
    """Whether a side conversation says so: what the main one has under the same id is a replay of it here."""
    complete: bool = True
    """False where the agent never wrote the final count."""
    hidden: bool = False
    """Whether it is no part of the conversation: a title, a memory, a summary."""
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
    input: str | None = None
    """As JSON; only where text is asked for."""
    path: str | None = None
    status: str = "pending"
    output: str | None = None
    """Only where text is asked for."""
    output_chars: int | None = None
    exit_code: int | None = None
    ended: int | None = None
    duration_ms: int | None = None
    model: str | None = None


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
