"""The columns of the frames, as data: name, dtype, where the value comes from, and what it is."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec

from coder_nb.core import entries as core
from coder_nb.core.audit import AuditRow
from coder_nb.core.entries import Entry
from coder_nb.core.rules import said

Kind = Literal["string", "category", "int", "float", "bool", "time"]
"""The pandas dtypes: string, category, Int64, Float64, boolean, datetime64[ms, UTC]."""


class Column(NamedTuple):
    """One column: `get` takes the row's value out of the source; None is NA."""

    name: str
    kind: Kind
    get: Callable[[Any], Any]
    what: str
    derive: Callable[[dict[str, Any]], Any] | None = None
    """Makes the column out of those before it, all rows at once; `get` is not asked then."""

    def array(self, rows: list[Any], known: dict[str, Any]) -> Any:
        """The column of rows whose columns before this one are known."""
        from coder_nb.analysis.frames import ARRAYS

        return ARRAYS[self.kind](list(map(self.get, rows))) if self.derive is None else self.derive(known)


def derived(name: str, kind: Kind, derive: Callable[[dict[str, Any]], Any], what: str) -> Column:
    """A column that follows from those before it."""
    return Column(name, kind, _nothing, what, derive)


def _nothing(body: Any) -> None:
    return None


def usd(nano: int | None) -> float | None:
    """Money as the frames have it; not known stays not known."""
    return None if nano is None else nano / 1e9


def as_json(value: Any) -> str | None:
    """A structured value as text, so that a frame holds ordinary scalars only."""
    return None if value is None else msgspec.json.encode(value).decode()


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
    Column("hunks", "int", lambda row: len(row.hunks), "how many places of the file it changes"),
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

POOL = (
    Column("title", "string", lambda row: row.title or None, "what its chat is about; NA where several share it"),
    Column("agent", "category", attrgetter("agent"), "the agent"),
    Column("state", "category", attrgetter("state"), "starting, idle, busy, deaf, waiting or broken"),
    Column("memory", "int", attrgetter("memory"), "bytes, with all that it has started"),
    Column("restarts", "int", attrgetter("restarts"), "how often it was started again"),
    Column("why", "string", lambda row: row.why or None, "why that was done last, or why it is not done any more"),
    Column("retry", "time", attrgetter("retry_at"), "when it is started again"),
    Column("started", "time", attrgetter("started_at"), "when it was started"),
    Column("last_active", "time", attrgetter("last_active_at"), "when it last had a turn"),
    Column("chats", "int", attrgetter("chats"), "how many chats use it"),
    Column("pid", "int", attrgetter("pid"), "its process, where it has one of its own"),
    Column("key", "string", attrgetter("key"), "names it for `cnb.evict`, `cnb.restart` and `cnb.agent_log`"),
    Column("chat_id", "string", attrgetter("chat_id"), "its chat; NA for a server that several chats share"),
    Column("session_id", "string", attrgetter("session_id"), "the session of that chat"),
)
"""What a reader looks for comes first, and ids last, here and in `ATTENTION`: these two are looked at, not merged."""

HAPPENINGS = (
    Column("time", "time", attrgetter("ts"), "when it happened"),
    Column("word", "category", attrgetter("word"), "what it was, in the words of the log"),
    Column("text", "string", lambda row: row.text or None, "what stands beside the word, as name=value"),
)

AGENT_SESSIONS = (
    Column("chat_id", "string", attrgetter("chat_id"), "the chat"),
    Column("agent", "category", attrgetter("agent"), "the agent"),
    Column("backend", "category", attrgetter("backend"), "how it is driven"),
    Column("status", "category", attrgetter("status"), "new, starting, warm, busy, cold, crashed or closed"),
    Column("native_id", "string", attrgetter("native_id"), "the agent's own id of the conversation"),
    Column("next", "category", attrgetter("next"), "what its next prompt finds of its memory: resumed, history or new"),
    Column("model", "string", attrgetter("model"), "the model that it used last"),
    Column("pid", "int", attrgetter("pid"), "its process, while it has one"),
    Column("host", "string", attrgetter("host"), "the machine that has its context"),
    Column("last_active", "time", attrgetter("last_active_at"), "when it last took a turn"),
)

ATTENTION = (
    Column("title", "string", lambda row: row.title or None, "what it began with"),
    Column("session", "string", attrgetter("session"), "the session's name"),
    Column("chat", "string", attrgetter("chat"), "the chat's name"),
    Column("agent", "category", attrgetter("agent"), "who takes the turn, or took the last one"),
    Column("state", "category", attrgetter("state"), "waiting, failed, finished (unseen), working, starting or idle"),
    Column(
        "why", "category", lambda row: row.why or None, "what it waits for: permission, question, held, slot, session"
    ),
    Column("place", "int", attrgetter("place"), "its place among those that wait for a slot"),
    Column("since", "time", attrgetter("since"), "since when"),
    Column("error", "string", attrgetter("error"), "how the last turn failed"),
    Column("path", "string", attrgetter("path"), "the working directory"),
    Column("chat_id", "string", attrgetter("chat_id"), "the chat"),
    Column("session_id", "string", attrgetter("session_id"), "the session"),
    Column("turn_id", "string", attrgetter("turn_id"), "the turn that runs"),
)

CHECKPOINTS = (
    Column("checkpoint_id", "string", attrgetter("id"), "what `chat.restore` takes: a turn, or a restore"),
    Column("chat_id", "string", attrgetter("chat_id"), "the chat"),
    Column("kind", "category", attrgetter("kind"), "turn or restore: what it is the state before of"),
    Column("time", "time", attrgetter("ts"), "when it was made"),
    Column("agent", "category", attrgetter("agent"), "whose turn came then; NA for a restore"),
    Column("prompt", "string", lambda row: row.prompt or None, "the beginning of what that turn was asked"),
    Column("files", "bool", attrgetter("files"), "whether the files are still kept"),
    Column("hidden", "bool", attrgetter("hidden"), "whether a later restore has hidden it"),
    Column("commit", "string", attrgetter("commit"), "the private commit that holds the files"),
)


def _waited(row: AuditRow) -> float | None:
    return None if row.waited_ms is None else row.waited_ms / 1000


def _rules(row: AuditRow) -> str | None:
    return ", ".join(row.rules) or None


RULES = (
    Column("rule_id", "string", attrgetter("id"), "what `cnb.revoke` takes"),
    Column("does", "category", attrgetter("does"), "allow or deny"),
    Column("covers", "string", lambda row: said(row.covers), "what it is about, all of it"),
    Column("scope", "category", attrgetter("scope"), "where it holds: session, project or everywhere"),
    Column("session_id", "string", attrgetter("session_id"), "the session, where it holds in one"),
    Column("path", "string", lambda row: row.path or None, "the project, where it holds in one"),
    Column("by", "category", lambda row: row.by or None, "who made it"),
    Column("time", "time", attrgetter("created_at"), "when it was made"),
    Column("entry_id", "string", attrgetter("entry_id"), "the permission it was made with; NA where by itself"),
    Column("revoked", "time", attrgetter("revoked_at"), "when it was ended; NA while it is in force"),
    Column("revoked_by", "category", lambda row: row.revoked_by or None, "who ended it"),
)

AUDIT = (
    Column("entry_id", "string", attrgetter("entry_id"), "the entry that asks"),
    Column("session_id", "string", attrgetter("session_id"), "the session"),
    Column("path", "string", attrgetter("path"), "its directory"),
    Column("chat_id", "string", attrgetter("chat_id"), "the chat"),
    Column("turn_id", "string", attrgetter("turn_id"), "the turn"),
    Column("agent", "category", attrgetter("agent"), "who asked"),
    Column("time", "time", attrgetter("ts"), "when it was asked"),
    Column("tool", "category", attrgetter("tool"), "the normal name of the tool"),
    Column("kind", "category", attrgetter("tool_kind"), "the kind of deed"),
    Column("title", "string", attrgetter("title"), "what the agent calls it"),
    Column("command", "string", attrgetter("command"), "the command, or the files, where they can be told"),
    Column("status", "category", attrgetter("status"), "pending, allowed, denied or expired"),
    Column("by", "category", attrgetter("by"), "a user, callback, stdin, rule, mode, administrator or nobody"),
    Column("answer", "string", attrgetter("answer"), "the answer that was chosen of those the agent offered"),
    Column("answered", "time", attrgetter("answered_at"), "when it was answered; NA where it never was"),
    Column("seconds", "float", _waited, "how long it waited for the answer"),
    Column("rule_id", "string", _rules, "what answered, or was made with the answer"),
    Column("why", "string", lambda row: row.why or None, "which rule or mode answered, in words"),
)

WORKTREES = (
    Column("path", "string", attrgetter("path"), "the worktree's folder"),
    Column("session_id", "string", attrgetter("session_id"), "the session that it was made for"),
    Column("checkout", "string", lambda row: row.checkout or None, "the directory that it is a worktree of"),
    Column("standing", "category", attrgetter("standing"), "owned, left, to take or taken"),
    Column("why", "string", attrgetter("why"), "why it may go, or may not"),
    Column("at_risk", "bool", lambda row: row.risk.at_risk if row.risk else None, "whether work would be lost with it"),
    Column("idle_s", "float", attrgetter("idle_s"), "seconds since something in it was written"),
    Column(
        "base_commit", "string", lambda row: row.base_commit or None, "the commit that its changes are measured from"
    ),
)

COMMANDS = (
    Column("agent", "category", lambda row: row[0], "the agent that has it"),
    Column("name", "string", lambda row: row[1].name, "what a prompt begins with, behind a `/`"),
    Column("description", "string", lambda row: row[1].description or None, "what it does"),
    Column("hint", "string", lambda row: row[1].hint or None, "what it takes"),
)

NATIVE_SESSIONS = (
    Column("native_id", "string", attrgetter("native_id"), "the agent's own id, for `session.adopt`"),
    Column("title", "string", lambda row: row.title or None, "what the agent calls it"),
    Column("path", "string", lambda row: row.cwd or None, "the directory it is about"),
    Column("updated", "time", attrgetter("updated_at"), "when it was last written"),
)

LABELS = (
    Column("session_id", "string", attrgetter("session_id"), "the session"),
    Column("label", "string", lambda row: row.label or None, "the word that was said of it"),
    Column("rating", "int", attrgetter("rating"), "from 1 to 5"),
    Column("note", "string", lambda row: row.note or None, "what else was said"),
    Column("said", "time", attrgetter("at"), "when"),
)
