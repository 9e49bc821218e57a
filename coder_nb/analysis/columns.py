"""The columns of the frames, as data: name, dtype, where the value comes from, and what it is."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec

from coder_nb.core import entries as core
from coder_nb.core.entries import Entry

Kind = Literal["string", "category", "int", "float", "bool", "time"]
"""The pandas dtypes: string, category, Int64, Float64, boolean, datetime64[ms, UTC]."""


class Column(NamedTuple):
    """One column: `get` takes the row's value out of the source; None is NA."""

    name: str
    kind: Kind
    get: Callable[[Any], Any]
    what: str
    get_all: Callable[[list[Any]], list[Any]] | None = None
    """The same of all rows at once, where that is much faster."""

    def of(self, rows: list[Any]) -> list[Any]:
        """The values of rows."""
        return list(map(self.get, rows)) if self.get_all is None else self.get_all(rows)


def usd(nano: int | None) -> float | None:
    """Money as the frames have it; not known stays not known."""
    return None if nano is None else nano / 1e9


def as_json(value: Any) -> str | None:
    """A structured value as text, so that a frame holds ordinary scalars only."""
    return None if value is None else msgspec.json.encode(value).decode()


def _duration(start: str, end: str) -> Callable[[Any], float | None]:
    def seconds(row: Any) -> float | None:
        last = getattr(row, end)
        return None if last is None else (last - getattr(row, start)) / 1000

    return seconds


SESSIONS = (
    Column("session_id", "string", attrgetter("id"), "the session"),
    Column("name", "string", attrgetter("name"), "its name, unique for an owner and a path"),
    Column("title", "string", lambda row: row.title or None, "the beginning of its first prompt"),
    Column("path", "string", attrgetter("path"), "the real path of its working directory"),
    Column("owner", "string", attrgetter("owner"), "whose it is"),
    Column("created", "time", lambda row: row.created_at or None, "when it was made"),
    Column("chats", "int", lambda row: len(row.chats), "how many chats it has"),
    Column("worktree", "string", attrgetter("worktree"), "where its agents work; NA before the first turn"),
    Column("branch", "string", attrgetter("branch"), "the worktree's branch"),
    Column("base_commit", "string", attrgetter("base_commit"), "the commit that its changes are measured from"),
    Column("host", "string", attrgetter("host"), "the machine that has the worktree"),
)

TURNS = (
    Column("turn_id", "string", attrgetter("id"), "the turn"),
    Column("chat_id", "string", attrgetter("chat_id"), "its chat"),
    Column("prompt_id", "string", attrgetter("prompt_id"), "the prompt that began it; NA where the agent did"),
    Column("agent", "category", attrgetter("agent"), "who took it"),
    Column("state", "category", attrgetter("state"), "running, or how it ended"),
    Column("started", "time", attrgetter("started_at"), "when it began"),
    Column("ended", "time", attrgetter("ended_at"), "when it ended"),
    Column("seconds", "float", _duration("started_at", "ended_at"), "how long it took"),
    Column("reason", "string", lambda row: row.reason or None, "the agent's own word for its end"),
    Column("message", "string", lambda row: row.message or None, "why it ended so, for a person"),
    Column("code", "string", lambda row: row.code or None, "the same for a program"),
)

_TEXTS: dict[type[Any], Callable[[Any], str | None]] = {
    core.UserMessage: lambda body: body.text,
    core.Text: lambda body: body.text,
    core.Reasoning: lambda body: body.text,
    core.ToolCall: lambda body: body.content,
    core.Plan: lambda body: "\n".join(item.text for item in body.items),
    core.Permission: lambda body: body.title,
    core.Question: lambda body: body.text,
    core.FileChange: lambda body: body.path,
    core.Compaction: lambda body: body.summary,
    core.Notice: lambda body: body.text,
    core.Error: lambda body: body.message,
    core.TurnEnded: lambda body: body.message or None,
}
_TOOLS: dict[type[Any], Callable[[Any], str]] = {
    core.ToolCall: lambda body: body.name,
    core.Permission: lambda body: body.tool,
}
_STATUSES: dict[type[Any], Callable[[Any], str]] = {
    core.ToolCall: lambda body: body.status,
    core.Permission: lambda body: body.status,
    core.Question: lambda body: body.status,
    core.TurnEnded: lambda body: body.end,
}


def _nothing(body: Any) -> None:
    return None


def _kind(entry: Entry) -> str:
    return _KINDS.get(type(entry.body)) or entry.kind


def _text(entry: Entry) -> str | None:
    return _TEXTS.get(type(entry.body), _nothing)(entry.body)


def _tool(entry: Entry) -> str | None:
    return _TOOLS.get(type(entry.body), _nothing)(entry.body)


def _status(entry: Entry) -> str | None:
    return _STATUSES.get(type(entry.body), _nothing)(entry.body)


_KINDS: dict[type[Any], str] = {cls: str(cls.__struct_config__.tag) for cls in core.Body.__subclasses__()}

ENTRIES = (
    Column("chat_id", "category", attrgetter("chat_id"), "the chat"),
    Column("pos", "int", attrgetter("pos"), "the entry's place in the transcript"),
    Column("entry_id", "string", attrgetter("id"), "the entry"),
    Column("turn_id", "category", attrgetter("turn_id"), "its turn"),
    Column("time", "time", lambda entry: entry.ts or None, "when it began"),
    Column("agent", "category", attrgetter("agent"), "who made it; NA for the user and for us"),
    Column("kind", "category", _kind, "what it is: text, tool_call, plan ..."),
    Column("text", "string", _text, "what it says; a tool call's output"),
    Column("tool", "category", _tool, "the normal name of the tool"),
    Column("status", "category", _status, "how a call, a permission, a question or the turn stands"),
    Column("parent", "string", attrgetter("parent"), "the sub-agent's call that it belongs to"),
    Column("native_id", "string", attrgetter("native_id"), "the agent's own id of it"),
    Column("open", "bool", attrgetter("open"), "whether it may still grow"),
)

TOOL_CALLS = (
    Column("chat_id", "category", attrgetter("chat_id"), "the chat"),
    Column("pos", "int", attrgetter("pos"), "the call's place in the transcript"),
    Column("entry_id", "string", attrgetter("id"), "the call"),
    Column("turn_id", "category", attrgetter("turn_id"), "its turn"),
    Column("time", "time", lambda entry: entry.ts or None, "when it began"),
    Column("agent", "category", attrgetter("agent"), "who made it"),
    Column("tool", "category", attrgetter("body.name"), "the tool's normal name, the same for every agent"),
    Column("original_name", "category", attrgetter("body.original_name"), "the agent's own name for it"),
    Column("kind", "category", attrgetter("body.tool_kind"), "the kind of deed"),
    Column("title", "string", lambda entry: entry.body.title or None, "what the agent calls it"),
    Column("input", "string", lambda entry: as_json(entry.body.input), "what it was called with, as JSON"),
    Column("status", "category", attrgetter("body.status"), "pending, in_progress, completed, failed, cancelled"),
    Column("output", "string", lambda entry: entry.body.content or None, "what it gave"),
    Column("exit_code", "int", attrgetter("body.exit_code"), "of a command"),
    Column("path", "string", lambda e: e.body.locations[0].path if e.body.locations else None, "the first file named"),
)

USAGE = (
    Column("chat_id", "category", attrgetter("chat_id"), "the chat"),
    Column("session_id", "category", attrgetter("session_id"), "its session"),
    Column("turn_id", "category", attrgetter("turn_id"), "its turn"),
    Column("entry_id", "string", attrgetter("entry_id"), "the entry that reports it"),
    Column("time", "time", lambda row: row.ts or None, "when it was reported"),
    Column("agent", "category", attrgetter("agent"), "who used it"),
    Column("model", "category", attrgetter("model"), "the model, as the agent names it"),
    Column("input_tokens", "int", attrgetter("tokens.input"), "fresh input"),
    Column("output_tokens", "int", attrgetter("tokens.output"), "all output, reasoning included"),
    Column("reasoning_tokens", "int", attrgetter("tokens.reasoning"), "the part of the output that was reasoning"),
    Column("cache_read_tokens", "int", attrgetter("tokens.cache_read"), "input read from a cache"),
    Column("cache_write_tokens", "int", attrgetter("tokens.cache_write"), "input written to a cache"),
    Column("cost_usd", "float", lambda row: usd(row.cost_nanousd), "what it cost, in US dollars"),
    Column("cost_source", "category", attrgetter("cost_source"), "reported by the agent, computed by us, or unknown"),
    Column("counted", "bool", attrgetter("counted"), "False where it must not be summed: replayed, resumed, imported"),
)

CHANGES = (
    Column("change_id", "string", attrgetter("id"), "the change"),
    Column("chat_id", "category", attrgetter("chat_id"), "the chat"),
    Column("session_id", "category", attrgetter("session_id"), "its session"),
    Column("turn_id", "category", attrgetter("turn_id"), "the turn that made it"),
    Column("agent", "category", attrgetter("agent"), "who made it"),
    Column("path", "string", attrgetter("path"), "the file, from the repository's root"),
    Column("old_path", "string", attrgetter("old_path"), "what a renamed file was called"),
    Column("operation", "category", attrgetter("operation"), "create, edit, delete or rename"),
    Column("status", "category", attrgetter("status"), "pending, applied, rejected, reverted, superseded, conflict"),
    Column("additions", "int", attrgetter("additions"), "lines added; NA for a binary file"),
    Column("deletions", "int", attrgetter("deletions"), "lines deleted"),
    Column("binary", "bool", attrgetter("binary"), "whether it is no text"),
    Column("created", "time", lambda row: row.created_at or None, "when it was found"),
    Column("decided", "time", attrgetter("decided_at"), "when it was applied or rejected"),
    Column("note", "string", lambda row: row.note or None, "what to know before applying it"),
)

AGENTS = (
    Column("agent", "string", attrgetter("name"), "the name to prompt it by"),
    Column("label", "string", attrgetter("label"), "its name for people"),
    Column("available", "bool", attrgetter("available"), "whether it can be used here"),
    Column("default", "bool", attrgetter("default"), "whether it is taken where none is named"),
    Column("version", "string", attrgetter("version"), "of the program found"),
    Column("backend", "category", attrgetter("backend"), "how it is driven"),
    Column("path", "string", attrgetter("path"), "the program found"),
    Column("reason", "string", lambda row: row.reason or None, "why it cannot be used"),
    Column("cure", "string", lambda row: row.cure or None, "what to do about that"),
)

AGENT_SESSIONS = (
    Column("chat_id", "string", attrgetter("chat_id"), "the chat"),
    Column("agent", "category", attrgetter("agent"), "the agent"),
    Column("backend", "category", attrgetter("backend"), "how it is driven"),
    Column("status", "category", attrgetter("status"), "new, starting, warm, busy, cold, crashed or closed"),
    Column("native_id", "string", attrgetter("native_id"), "the agent's own id of the conversation"),
    Column("model", "string", attrgetter("model"), "the model it uses"),
    Column("pid", "int", attrgetter("pid"), "its process, while it has one"),
    Column("host", "string", attrgetter("host"), "the machine that has its context"),
    Column("last_active", "time", attrgetter("last_active_at"), "when it last took a turn"),
)
