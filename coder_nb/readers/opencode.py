"""opencode: one SQLite database; before that, `storage/{session,message,part}`, a file of JSON for each of them.

Each answer of the model is a message whose parts tell what was said, and a "step-finish" for each response with its
tokens. A fork copies messages under new ids with the same times and tokens, by which copies are told.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Message, MessageKind, Problem, Relation, Role, Session, ToolUse, Usage
from coder_nb.readers.base import Note, Places, Sought, Source, files, fresh
from coder_nb.readers.edits import told
from coder_nb.readers.sqlite import columns, opened, picked, with_log


class Cache(Struct):
    read: int | None = None
    write: int | None = None


class Counts(Struct):
    """The input holds nothing of the cache, the output nothing of the reasoning."""

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cache: Cache = msgspec.field(default_factory=Cache)

    def tokens(self) -> Tokens:
        output = None if self.output is None else self.output + (self.reasoning or 0)
        return Tokens(self.input, output, self.reasoning, self.cache.read, self.cache.write)

    @property
    def any(self) -> bool:
        return any((self.input, self.output, self.reasoning, self.cache.read, self.cache.write))


class Span(Struct):
    created: float | None = None
    completed: float | None = None
    updated: float | None = None
    start: float | None = None
    end: float | None = None


class Where(Struct):
    cwd: str | None = None


class Said(Struct):
    """A message."""

    id: str = ""
    sessionID: str = ""
    role: str = ""
    modelID: str | None = None
    providerID: str | None = None
    cost: float | None = None
    tokens: Counts | None = None
    time: Span = msgspec.field(default_factory=Span)
    path: Where | None = None
    finish: str | None = None
    summary: Raw = Raw(b"null")


class State(Struct):
    status: str = "pending"
    input: Raw = Raw(b"{}")
    output: str | None = None
    error: str | None = None
    metadata: Raw = Raw(b"{}")
    time: Span | None = None


class Part(Struct):
    id: str = ""
    messageID: str = ""
    type: str = ""
    text: str = ""
    synthetic: bool = False
    tool: str = ""
    callID: str = ""
    state: State = msgspec.field(default_factory=State)
    tokens: Counts | None = None
    cost: float | None = None


class Exit(Struct):
    exit: int | None = None


class Named(Struct):
    filePath: str | None = None
    path: str | None = None


class Talk(Struct):
    """A session."""

    id: str = ""
    projectID: str | None = None
    parentID: str | None = None
    directory: str | None = None
    title: str | None = None
    version: str | None = None
    time: Span = msgspec.field(default_factory=Span)


class Place(NamedTuple):
    """Where a message or a session stands."""

    file: str
    line: int
    talk: Talk


_said = msgspec.json.Decoder(Said).decode
_part = msgspec.json.Decoder(Part).decode
_talk = msgspec.json.Decoder(Talk).decode
_TOOL_STATUS = {"running": "in_progress", "completed": "completed", "error": "failed"}


class Opencode:
    """Reads the history of opencode."""

    agent = "opencode"

    def roots(self, places: Places) -> Iterable[Path]:
        return places.named("OPENCODE_DATA_DIR") or places.xdg("DATA", "opencode")

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        for source in files(root, self.agent, note, suffixes=(".db",), deep=False):
            source = with_log(source)
            if source.path.name.startswith("opencode") and fresh(source, sought):
                yield source
        for source in files(root / "storage" / "session", self.agent, note, suffixes=(".json",)):
            yield source._replace(stamp=None)  # what it tells is in other files

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        if source.path.suffix == ".json":
            yield from _stored(source, sought, note)
            return
        with opened(source.path, self.agent, note) as connection:
            if connection is not None:
                yield from _database(connection, source, sought, note)


# The database --------------------------------------------------------------------------------------------------------


def _database(connection: sqlite3.Connection, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
    if not columns(connection, "message") or not columns(connection, "session"):
        note(Problem(agent="opencode", file=str(source.path), what="unexpected shape", detail="it has no messages"))
        return
    if columns(connection, "session_message") and connection.execute("SELECT 1 FROM session_message").fetchone():
        why = "what opencode 2 keeps in session_message is not read yet"
        note(Problem(agent="opencode", file=str(source.path), what="unexpected shape", detail=why))
    talks = {row["id"]: _talk_of(row) for row in connection.execute("SELECT * FROM session")}
    parts = _parts(connection, sought)
    query = (  # the sessions in the order in which they began, so that an original precedes its copy
        "SELECT message.rowid AS number, message.* FROM message LEFT JOIN session ON session.id = message.session_id "
        "ORDER BY session.time_created, message.session_id, message.time_created, message.id"
    )
    for row in connection.execute(query):
        place = Place(str(source.path), row["number"], talks.get(row["session_id"]) or Talk(id=row["session_id"]))
        said = _decoded(_said, row["data"], place, note)
        if said is not None:
            said.id, said.sessionID = row["id"], row["session_id"]
            found = (_decoded(_part, data, place, note) for data in parts(row["id"]))
            yield from _message(said, [part for part in found if part is not None], place, sought)
    if sought.what != {"usage"}:
        for number, talk in enumerate(talks.values(), 1):
            yield _session(Place(str(source.path), number, talk))


def _talk_of(row: sqlite3.Row) -> Talk:
    return Talk(
        id=row["id"],
        projectID=picked(row, "project_id"),
        parentID=picked(row, "parent_id"),
        directory=picked(row, "directory"),
        title=picked(row, "title"),
        version=picked(row, "version"),
        time=Span(created=picked(row, "time_created"), updated=picked(row, "time_updated")),
    )


def _parts(connection: sqlite3.Connection, sought: Sought) -> Callable[[str], Iterable[str]]:
    """Gives the parts of a message; for usage alone only those that tell it, all read at once."""
    if sought.what != {"usage"}:
        query = "SELECT data FROM part WHERE message_id = ? ORDER BY id"
        return lambda message: (row["data"] for row in connection.execute(query, (message,)))
    steps: dict[str, list[str]] = {}
    for row in connection.execute("SELECT message_id, data FROM part WHERE data LIKE '%\"step-finish\"%' ORDER BY id"):
        steps.setdefault(row["message_id"], []).append(row["data"])
    return lambda message: steps.get(message, ())


# The files -----------------------------------------------------------------------------------------------------------


def _stored(source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
    talk = _file(_talk, source.path, Place(str(source.path), 1, Talk()), note)
    storage = next((folder for folder in source.path.parents if folder.name == "storage"), source.path.parent)
    if talk is None or not talk.id:
        return
    messages = sorted(files(storage / "message" / talk.id, "opencode", note, suffixes=(".json",)))
    for message in messages:
        place = Place(str(message.path), 1, talk)
        said = _file(_said, message.path, place, note)
        if said is None:
            continue
        paths = sorted(files(storage / "part" / said.id, "opencode", note, suffixes=(".json",)))
        found = (_file(_part, part.path, place._replace(file=str(part.path)), note) for part in paths)
        yield from _message(said, [part for part in found if part is not None], place, sought)
    if sought.what != {"usage"}:
        yield _session(Place(str(source.path), 1, talk))


def _file(decode: Callable[[bytes], Any], path: Path, place: Place, note: Note) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        note(Problem(agent="opencode", file=str(path), what="unreadable", detail=error.strerror or str(error)))
        return None
    return _decoded(decode, data, place, note)


def _decoded(decode: Callable[[Any], Any], data: bytes | str, place: Place, note: Note) -> Any:
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        what = ("unexpected shape", str(error))
    except msgspec.MsgspecError as error:
        what = ("broken line", str(error))
    note(Problem(agent="opencode", file=place.file, line=place.line, what=what[0], detail=what[1]))
    return None


# Both ----------------------------------------------------------------------------------------------------------------


def _message(said: Said, parts: list[Part], place: Place, sought: Sought) -> Iterator[AnyRow]:
    if said.role == "assistant":
        yield from _usage(said, parts, place)
    if sought.what == {"usage"}:
        return
    for part in parts:
        if part.type in ("text", "reasoning") and part.text and not part.synthetic:
            yield _text(said, part, place, sought)
        elif part.type == "tool":
            yield _call(said, part, place, sought)


def _usage(said: Said, parts: list[Part], place: Place) -> Iterator[Usage]:
    """A row a response; where none was finished, the message's own count, which is unknown while it is all noughts."""
    span = said.time
    steps = [(part.tokens, part.cost) for part in parts if part.type == "step-finish" and part.tokens is not None]
    alone = len(steps) < 2
    for number, (counts, cost) in enumerate(steps or [(said.tokens or Counts(), said.cost)]):
        known = counts.any or said.finish is not None
        tokens = counts.tokens() if known else Tokens()
        key = (
            place.talk.projectID,
            said.providerID,
            said.modelID,
            span.created,
            span.completed,
            number,
            *_plain(tokens),
        )
        yield Usage(
            **_row(said, place),
            response_id=json.dumps(key) if span.completed else f"{said.id}/{number}",
            tokens=tokens,
            model=said.modelID,
            provider=said.providerID,
            cost_nanousd=round(cost * 1e9) if cost else None,
            duration_ms=_between(span.created, span.completed) if alone else None,
            complete=bool(steps) or (known and said.finish is not None),
            hidden=said.summary == Raw(b"true"),
            parent_id=place.talk.parentID,
        )


def _plain(tokens: Tokens) -> Iterable[int | None]:
    return (tokens.input, tokens.output, tokens.reasoning, tokens.cache_read, tokens.cache_write)


def _text(said: Said, part: Part, place: Place, sought: Sought) -> Message:
    role: Role = "assistant" if said.role == "assistant" else "user"
    kind: MessageKind = "reasoning" if part.type == "reasoning" else "text"
    kept = part.text if sought.text else None
    return Message(
        **_row(said, place),
        message_id=said.id,
        role=role,
        kind=kind,
        text=kept,
        chars=len(part.text),
        model=said.modelID,
    )


def _call(said: Said, part: Part, place: Place, sought: Sought) -> ToolUse:
    state, span = part.state, part.state.time or Span()
    row = _row(said, place)
    if span.start is not None:
        row["ts"] = int(span.start)
    output = state.output if state.output is not None else state.error
    return ToolUse(
        **row,
        call_id=part.callID,
        key=json.dumps((part.callID, part.tool, span.start, span.end)),
        original_name=part.tool,
        input=bytes(state.input).decode("utf-8", "replace") if sought.text else None,
        path=_picked(state.input, Named, "filePath", "path"),
        message_id=said.id,
        **told(state.input),
        status=_TOOL_STATUS.get(state.status, state.status),
        output=output if sought.text else None,
        output_chars=None if output is None else len(output),
        exit_code=_picked(state.metadata, Exit, "exit"),
        ended=None if span.end is None else int(span.end),
        duration_ms=_between(span.start, span.end),
        model=said.modelID,
    )


def _picked(raw: Raw, kind: type[Struct], *names: str) -> Any:
    try:
        value = msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError:
        return None
    return next((found for name in names if (found := getattr(value, name)) is not None), None)


def _session(place: Place) -> Session:
    talk = place.talk
    row = _row(Said(sessionID=talk.id, time=talk.time), place)
    relation: Relation | None = "subagent" if talk.parentID else None
    ended = talk.time.updated
    return Session(
        **row, title=talk.title, parent_id=talk.parentID, ended=None if ended is None else int(ended), relation=relation
    )


def _between(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else round(end - start)


def _row(said: Said, place: Place) -> dict[str, Any]:
    talk = place.talk
    return {
        "agent": "opencode",
        "session_id": said.sessionID or talk.id,
        "file": place.file,
        "line": place.line,
        "ts": None if said.time.created is None else int(said.time.created),
        "project": talk.directory or (said.path.cwd if said.path else None),
        "version": talk.version,
    }
