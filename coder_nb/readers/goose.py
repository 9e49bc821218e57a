"""goose: `sessions/sessions.db`; before that, one file of JSON lines a session.

A database that has the ledger tells each call; any other one tells a session's sums, all of it at one time, and nothing
of the cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Message, MessageKind, Problem, Relation, Role, Session, ToolUse, Usage
from coder_nb.readers.base import Note, Places, Sought, Source, files, fresh
from coder_nb.readers.edits import told
from coder_nb.readers.lines import Lines, millis
from coder_nb.readers.qwen import named_path
from coder_nb.readers.sqlite import columns, opened, picked, with_log


class Call(Struct):
    name: str = ""
    arguments: Raw = Raw(b"{}")


class Inner(Struct):
    type: str = ""
    text: str = ""


class Value(Struct):
    name: str = ""
    arguments: Raw = Raw(b"{}")
    content: list[Inner] = []
    isError: bool | None = None


class Outcome(Struct):
    """Of a request, or of a response; earlier versions wrote a response's content as its value."""

    status: str = ""
    value: Value | list[Inner] | None = None
    error: str | None = None


class Block(Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    id: str = ""
    toolCall: Outcome | None = None
    toolResult: Outcome | None = None


class Model(Struct):
    model_name: str | None = None


class Line(Struct):
    """Of a file: a session's facts, which come first, or a message."""

    role: str | None = None
    created: float | None = None
    content: list[Block] | None = None
    working_dir: str | None = None
    description: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    accumulated_input_tokens: int | None = None
    accumulated_output_tokens: int | None = None


_blocks = msgspec.json.Decoder(list[Block]).decode
_line = msgspec.json.Decoder(Line).decode


class Goose:
    """Reads the history of goose."""

    agent = "goose"

    def roots(self, places: Places) -> Iterable[Path]:
        return [*(root / "data" for root in places.named("GOOSE_PATH_ROOT")), *places.xdg("DATA", "goose")]

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        for source in files(root / "sessions", self.agent, note, suffixes=("sessions.db", ".jsonl"), deep=False):
            if source.path.suffix == ".db":
                yield with_log(source)
            elif fresh(source, sought):
                yield source

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        if source.path.suffix == ".jsonl":
            yield from _file(source, sought, note)
            return
        with opened(source.path, self.agent, note) as connection:
            if connection is not None:
                yield from _database(connection, source, sought, note)


# The database --------------------------------------------------------------------------------------------------------


def _database(connection: sqlite3.Connection, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
    if not columns(connection, "sessions"):
        note(Problem(agent="goose", file=str(source.path), what="unexpected shape", detail="it has no sessions"))
        return
    query = "SELECT rowid AS number, * FROM sessions ORDER BY created_at, id"
    sessions = {row["id"]: row for row in connection.execute(query)}
    told: set[str] = set()
    if columns(connection, "usage_ledger"):
        for entry in connection.execute("SELECT rowid AS number, * FROM usage_ledger ORDER BY rowid"):
            told.add(entry["session_id"])
            yield _entry(entry, sessions.get(entry["session_id"]), source)
    yield from (_sums(row, source) for row in sessions.values() if row["id"] not in told and _has_sums(row))
    if sought.what == {"usage"}:
        return
    for row in sessions.values():
        talk = _Talk(_row(row, source, "created_at"), sought, _model(row))
        query = "SELECT id AS number, * FROM messages WHERE session_id = ? ORDER BY id"
        for message in connection.execute(query, (row["id"],)):
            talk.take_row(message, note)
        yield from talk.rows()
        yield _session(row, source)


def _has_sums(row: sqlite3.Row) -> bool:
    names = ("accumulated_input_tokens", "accumulated_output_tokens", "accumulated_total_tokens", "total_tokens")
    return picked(row, *names) is not None


def _sums(row: sqlite3.Row, source: Source) -> Usage:
    """A session's tokens, at the time of its last change."""
    cost = picked(row, "accumulated_cost")
    return Usage(
        **_row(row, source, "updated_at"),
        parent_id=picked(row, "parent_session_id"),
        response_id=row["id"],
        tokens=Tokens(
            input=picked(row, "accumulated_input_tokens"),
            output=picked(row, "accumulated_output_tokens"),
            cache_read=picked(row, "accumulated_cache_read_tokens"),
            cache_write=picked(row, "accumulated_cache_write_tokens"),
        ),
        model=_model(row),
        provider=picked(row, "provider_name"),
        cost_nanousd=None if cost is None else round(cost * 1e9),
        per="session",
    )


def _entry(entry: sqlite3.Row, session: sqlite3.Row | None, source: Source) -> Usage:
    """One call, as the ledger has it."""
    cost = picked(entry, "cost", "cost_usd")
    found = {} if session is None else _row(session, source, "created_at")
    ts = millis(picked(entry, "created_timestamp", "created_at", "timestamp"))
    place = {"session_id": entry["session_id"], "file": str(source.path), "line": entry["number"], "ts": ts}
    return Usage(
        **{"agent": "goose"} | found | place,
        response_id=f"{entry['session_id']}/{picked(entry, 'id', 'number')}",
        tokens=Tokens(
            input=picked(entry, "input_tokens", "input"),
            output=picked(entry, "output_tokens", "output"),
            cache_read=picked(entry, "cache_read_tokens", "cache_read", "cache_read_input_tokens"),
            cache_write=picked(entry, "cache_write_tokens", "cache_write", "cache_write_input_tokens"),
        ),
        model=picked(entry, "model", "model_name") or (None if session is None else _model(session)),
        provider=picked(entry, "provider", "provider_name"),
        cost_nanousd=None if cost is None else round(cost * 1e9),
        hidden=bool(picked(entry, "is_compaction")),
    )


def _session(row: sqlite3.Row, source: Source) -> Session:
    parent = picked(row, "parent_session_id")
    relation: Relation | None = "subagent" if parent else None
    title, ended = picked(row, "name", "description") or None, millis(picked(row, "updated_at"))
    return Session(**_row(row, source, "created_at"), title=title, ended=ended, parent_id=parent, relation=relation)


def _model(row: sqlite3.Row) -> str | None:
    try:
        return msgspec.json.decode(picked(row, "model_config_json") or "{}", type=Model).model_name
    except msgspec.MsgspecError:
        return None


def _row(row: sqlite3.Row, source: Source, time: str) -> dict[str, Any]:
    return {
        "agent": "goose",
        "session_id": row["id"],
        "file": str(source.path),
        "line": row["number"],
        "ts": millis(picked(row, time)),
        "project": picked(row, "working_dir"),
    }


# The files -----------------------------------------------------------------------------------------------------------


def _file(source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
    head: Line | None = None
    where = (source.path.stem, str(source.path), 1, source.mtime)
    place: dict[str, Any] = dict(zip(("session_id", "file", "line", "ts"), where, strict=True)) | {"agent": "goose"}
    talk = _Talk(place, sought, None)
    for number, line in Lines("goose", _line, note).of(source):
        if line.role is None:
            head = head or line
        else:
            talk.take(number, line.role, line.created, None, line.content or [])
    rows, head = list(talk.rows()), head or Line()
    place["project"] = head.working_dir
    tokens = Tokens(
        input=head.accumulated_input_tokens if head.accumulated_input_tokens is not None else head.input_tokens,
        output=head.accumulated_output_tokens if head.accumulated_output_tokens is not None else head.output_tokens,
    )
    if tokens != Tokens():
        yield Usage(**place, response_id=source.path.stem, tokens=tokens, per="session")
    if sought.what != {"usage"}:
        yield from (replace(row, project=head.working_dir) for row in rows)
        start = min((row.ts for row in rows if row.ts is not None), default=source.mtime)
        yield Session(**place | {"ts": start}, title=head.description or None, ended=source.mtime)


# Both ----------------------------------------------------------------------------------------------------------------


class _Talk:
    """The messages of one session."""

    def __init__(self, place: dict[str, Any], sought: Sought, model: str | None) -> None:
        self._place, self._sought, self._model = place, sought, model
        self._messages: list[Message] = []
        self._calls: dict[str, ToolUse] = {}

    def rows(self) -> Iterator[AnyRow]:
        yield from self._messages
        yield from self._calls.values()

    def take_row(self, row: sqlite3.Row, note: Note) -> None:
        try:
            blocks = _blocks(row["content_json"])
        except msgspec.MsgspecError as error:
            where = {"file": self._place["file"], "line": row["number"]}
            note(Problem(agent="goose", what="unexpected shape", detail=str(error), **where))
            return
        self.take(row["number"], row["role"], row["created_timestamp"], picked(row, "message_id"), blocks)

    def take(self, number: int, role: str, created: float | None, name: str | None, blocks: list[Block]) -> None:
        place = self._place | {"line": number, "ts": millis(created)}
        for block in blocks:
            if block.type in ("text", "thinking"):
                self._say(place, role, name, block)
            elif block.toolCall is not None and block.id:
                self._call(place, block, block.toolCall)
            elif block.toolResult is not None and block.id in self._calls:
                self._end(place, block.toolResult, self._calls[block.id])

    def _say(self, place: dict[str, Any], role: str, name: str | None, block: Block) -> None:
        who: Role = "assistant" if role == "assistant" else "user"
        kind: MessageKind = "reasoning" if block.type == "thinking" else "text"
        text = block.thinking or block.text
        kept, model = text if self._sought.text else None, self._model if who == "assistant" else None
        row = Message(**place, message_id=name, role=who, kind=kind, text=kept, chars=len(text), model=model)
        self._messages.append(row)

    def _call(self, place: dict[str, Any], block: Block, outcome: Outcome) -> None:
        value = outcome.value if isinstance(outcome.value, Value) else Value()
        self._calls[block.id] = ToolUse(
            **place,
            call_id=block.id,
            key=f"{place['session_id']}/{block.id}",
            original_name=value.name,
            input=bytes(value.arguments).decode("utf-8", "replace") if self._sought.text else None,
            path=named_path(value.arguments),
            **told(value.arguments),
            model=self._model,
        )

    def _end(self, place: dict[str, Any], outcome: Outcome, call: ToolUse) -> None:
        value = outcome.value
        inner = value if isinstance(value, list) else value.content if value is not None else []
        output = outcome.error or "\n".join(one.text for one in inner)
        failed = outcome.status == "error" or (isinstance(value, Value) and bool(value.isError))
        self._calls[call.call_id] = replace(
            call,
            status="failed" if failed else "completed",
            output=output if self._sought.text else None,
            output_chars=len(output),
            ended=place["ts"],  # to the second, which is no measure of how long it took
        )
