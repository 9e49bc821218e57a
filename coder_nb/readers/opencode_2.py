"""opencode 2: a row of `session_message` for each thing said, in the order of `seq`; the sessions in `session_v2`.

An answer is one response with its tokens, and so is a compaction. What it took over from version 1 keeps its id, and is
told by version 1's own tables, which are still there and tell each step. A fork copies rows under new ids with the same
`seq`, times and tokens.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from coder_nb.core.rows import AnyRow
from coder_nb.readers.base import Note, Sought
from coder_nb.readers.opencode_rows import Counts, Part, Place, Said, Span, State, Talk, decoded, message_rows
from coder_nb.readers.sqlite import columns


class Model(Struct):
    id: str | None = None
    providerID: str | None = None


class Clock(Struct):
    created: float | None = None
    ran: float | None = None
    completed: float | None = None


class Failure(Struct):
    message: str | None = None


class Output(Struct):
    text: str = ""


class Outcome(Struct):
    status: str = "pending"
    input: Raw = Raw(b"{}")
    content: list[Output] = []
    error: Failure | None = None
    metadata: Raw = Raw(b"{}")


class Piece(Struct):
    """A part of an answer."""

    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    state: Outcome = msgspec.field(default_factory=Outcome)
    time: Clock | None = None


class Row(Struct):
    """The data of a user's message, of an answer, or of a compaction."""

    text: str = ""
    summary: str = ""
    model: Model | None = None
    content: list[Piece] = []
    finish: str | None = None
    cost: float | None = None
    tokens: Counts | None = None
    time: Clock = msgspec.field(default_factory=Clock)


_row = msgspec.json.Decoder(Row).decode


def version_2(
    connection: sqlite3.Connection, file: str, talks: Mapping[str, Talk], sought: Sought, note: Note
) -> Iterator[AnyRow]:
    """What the messages of version 2 tell that those of version 1 do not."""
    query = (
        "SELECT rowid AS number, id, type, data FROM session_message WHERE session_id = ? "
        f"AND type IN ({', '.join(repr(kind) for kind in _wanted(sought))}){_unless_told(connection)} ORDER BY seq"
    )
    for talk in talks.values():
        for row in connection.execute(query, (talk.id,)):
            place = Place(file, row["number"], talk)
            value: Row | None = decoded(_row, row["data"], place, note)
            if value is not None:
                said = _said(row["id"], row["type"], value, talk)
                yield from message_rows(said, list(_parts(row["type"], value)), place, sought)


def _wanted(sought: Sought) -> Iterable[str]:
    return ("assistant", "compaction") if sought.what == {"usage"} else ("user", "assistant", "compaction")


def _unless_told(connection: sqlite3.Connection) -> str:
    """Of a session that version 1 tells, only what version 2 added; nothing where version 2 never took it over."""
    if not columns(connection, "message"):
        return ""
    added = " AND id NOT IN (SELECT id FROM message)"
    taken_over = "session_id IN (SELECT id FROM session_v2) OR " if columns(connection, "session_v2") else ""
    return f"{added} AND ({taken_over}session_id NOT IN (SELECT session_id FROM message))"


def _said(name: str, kind: str, row: Row, talk: Talk) -> Said:
    """A compaction says only when it began, and is copied by forks once it has ended."""
    model, clock = row.model or Model(), row.time
    ended = clock.completed if kind == "assistant" else clock.created
    return Said(
        id=name,
        sessionID=talk.id,
        role=kind,
        modelID=model.id,
        providerID=model.providerID,
        cost=row.cost,
        tokens=row.tokens,
        time=Span(created=clock.created, completed=ended),
        finish=row.finish,
    )


def _parts(kind: str, row: Row) -> Iterator[Part]:
    if kind != "assistant":
        yield Part(type="text", text=row.text or row.summary)
        return
    for piece in row.content:
        yield _call(piece) if piece.type == "tool" else Part(type=piece.type, text=piece.text)


def _call(piece: Piece) -> Part:
    outcome, clock = piece.state, piece.time or Clock()
    told = [one.text for one in outcome.content] + [outcome.error.message or "" if outcome.error else ""]
    output = "\n".join(text for text in told if text)
    started = clock.ran if clock.ran is not None else clock.created
    state = State(
        status=outcome.status,
        input=outcome.input,
        output=output or None,
        metadata=outcome.metadata,
        time=Span(start=started, end=clock.completed),
    )
    return Part(type="tool", tool=piece.name, callID=piece.id, state=state)
