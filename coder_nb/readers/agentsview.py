"""agentsview: a program that gathers what many agents left into one database, `~/.agentsview/sessions.db`.

It knows agents that we do not, and it is asked for by name: what it tells of agents that are read here as well would be
told twice. Its rows have the agent that they are of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Message, Problem, Relation, Session, ToolUse, Usage
from coder_nb.readers.base import Note, Places, Sought, Source, files
from coder_nb.readers.lines import millis
from coder_nb.readers.sqlite import columns, opened, picked, with_log

_OUTCOMES = {"errored": "failed", "interrupted": "cancelled"}


class Counts(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    reasoning_tokens: int | None = None

    def tokens(self) -> Tokens:
        return Tokens(
            input=self.input_tokens,
            output=self.output_tokens,
            reasoning=self.reasoning_tokens,
            cache_read=self.cache_read_input_tokens,
            cache_write=self.cache_creation_input_tokens,
        )


_counts = msgspec.json.Decoder(Counts).decode


class Agentsview:
    """Reads the database of agentsview."""

    agent = "agentsview"
    on_request = True

    def roots(self, places: Places) -> Iterable[Path]:
        return places.named("AGENTSVIEW_DATA_DIR") or [places.home / ".agentsview"]

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        for source in files(root, self.agent, note, suffixes=("sessions.db",), deep=False):
            yield with_log(source)

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        with opened(source.path, self.agent, note) as connection:
            if connection is None:
                return
            if not columns(connection, "sessions") or not columns(connection, "messages"):
                why = "it has no sessions"
                note(Problem(agent=self.agent, file=str(source.path), what="unexpected shape", detail=why))
                return
            yield from _database(connection, str(source.path), sought)


def _database(connection: sqlite3.Connection, file: str, sought: Sought) -> Iterator[AnyRow]:
    sessions = {row["id"]: row for row in connection.execute("SELECT rowid AS number, * FROM sessions ORDER BY rowid")}
    told: set[str] = set()
    if columns(connection, "usage_events"):
        for row in connection.execute("SELECT * FROM usage_events ORDER BY id"):
            if (session := sessions.get(row["session_id"])) is not None:
                told.add(row["session_id"])
                yield _event(row, session, file)
    for row in connection.execute("SELECT * FROM messages ORDER BY session_id, ordinal"):
        session = sessions.get(row["session_id"])
        if session is None:
            continue
        if row["token_usage"] and row["session_id"] not in told and row["model"] != "<synthetic>":
            yield _usage(row, session, file)
        if sought.what != {"usage"}:
            yield from _messages(row, session, file, sought)
    if sought.what == {"usage"}:
        return
    for row in connection.execute(
        "SELECT tool_calls.*, messages.timestamp FROM tool_calls JOIN messages ON messages.id = tool_calls.message_id"
    ):
        if (session := sessions.get(row["session_id"])) is not None:
            yield _call(row, session, file, sought)
    yield from (_session(session, file) for session in sessions.values())


def _usage(row: sqlite3.Row, session: sqlite3.Row, file: str) -> Usage:
    try:
        tokens = _counts(row["token_usage"]).tokens()
    except msgspec.MsgspecError:
        tokens = Tokens(output=row["output_tokens"] if row["has_output_tokens"] else None)
    return Usage(
        **_row(session, file, row["id"], row["timestamp"]),
        response_id=picked_text(row, "claude_message_id", "source_uuid") or f"agentsview {row['id']}",
        request_id=row["claude_request_id"] or None,
        tokens=tokens,
        model=row["model"] or None,
        provider=row["provider_id"] or None,
        sidechain=bool(row["is_sidechain"]),
    )


def _event(row: sqlite3.Row, session: sqlite3.Row, file: str) -> Usage:
    cost = row["cost_microdollars"]
    names = Counts.__struct_fields__
    return Usage(
        **_row(session, file, row["id"], row["occurred_at"]),
        response_id=row["dedup_key"] or f"agentsview event {row['id']}",
        tokens=Counts(**{name: row[name] for name in names}).tokens(),
        model=row["model"] or None,
        provider=row["provider_id"] or None,
        cost_nanousd=cost * 1000 if cost and row["cost_source"] != "computed" else None,
    )


def _messages(row: sqlite3.Row, session: sqlite3.Row, file: str, sought: Sought) -> Iterator[Message]:
    is_user, known = row["role"] == "user", _row(session, file, row["id"], row["timestamp"])
    texts = (("reasoning", row["thinking_text"]), ("text", row["content"]))
    for kind, text in texts:
        if text:
            yield Message(
                **known,
                message_id=row["source_uuid"] or str(row["id"]),
                role="system" if row["is_system"] else "user" if is_user else "assistant",
                kind="compaction" if row["is_compact_boundary"] else "reasoning" if kind == "reasoning" else "text",
                text=text if sought.text else None,
                chars=len(text),
                model=row["model"] or None,
                sidechain=bool(row["is_sidechain"]),
            )


def _call(row: sqlite3.Row, session: sqlite3.Row, file: str, sought: Sought) -> ToolUse:
    return ToolUse(
        **_row(session, file, row["id"], row["timestamp"]),
        call_id=row["tool_use_id"] or str(row["id"]),
        key=row["tool_use_id"] or f"{file} {row['id']}",
        original_name=row["tool_name"],
        input=row["input_json"] if sought.text else None,
        path=picked(row, "file_path"),
        status=_OUTCOMES.get(picked(row, "observed_outcome") or "", "completed"),
        output=row["result_content"] if sought.text else None,
        output_chars=row["result_content_length"],
    )


def _session(session: sqlite3.Row, file: str) -> Session:
    relation: Relation | None = "subagent" if session["relationship_type"] == "subagent" else None
    return Session(
        **_row(session, file, session["number"], session["started_at"]),
        title=picked_text(session, "display_name", "session_name", "first_message"),
        parent_id=session["parent_session_id"] or None,
        relation=relation if session["parent_session_id"] else None,
        ended=millis(session["ended_at"]),
    )


def _row(session: sqlite3.Row, file: str, line: int, at: str | None) -> dict[str, Any]:
    return {
        "agent": session["agent"],
        "session_id": picked_text(session, "source_session_id", "id") or "",
        "file": file,
        "line": line,
        "ts": millis(at or session["started_at"]),
        "project": picked_text(session, "cwd", "project"),
        "branch": session["git_branch"] or None,
        "version": session["source_version"] or None,
    }


def picked_text(row: sqlite3.Row, *names: str) -> str | None:
    """The first of some columns that has a text."""
    return next((str(row[name]) for name in names if name in row.keys() and row[name]), None)  # noqa: SIM118
