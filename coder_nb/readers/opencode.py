"""opencode: one SQLite database; before that, `storage/{session,message,part}`, a file of JSON for each of them.

Each answer of the model is a message whose parts tell what was said, and a "step-finish" for each response with its
tokens. A fork copies messages under new ids with the same times and tokens, by which copies are told. Version 2 has
tables of its own beside those of version 1, which it leaves as they were when it takes them over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from coder_nb.core.rows import AnyRow, Problem
from coder_nb.readers.base import Note, Places, Sought, Source, files, fresh
from coder_nb.readers.opencode_2 import version_2
from coder_nb.readers.opencode_rows import Part, Place, Said, Span, Talk, decoded, message_rows, session_row
from coder_nb.readers.sqlite import columns, opened, picked, with_log

_said = msgspec.json.Decoder(Said).decode
_part = msgspec.json.Decoder(Part).decode
_talk = msgspec.json.Decoder(Talk).decode


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
    tables = [table for table in ("session", "session_v2") if columns(connection, table)]
    if not tables or not (columns(connection, "message") or columns(connection, "session_message")):
        note(Problem(agent="opencode", file=str(source.path), what="unexpected shape", detail="it has no messages"))
        return
    talks = {row["id"]: _talk_of(row) for table in tables for row in connection.execute(f"SELECT * FROM {table}")}
    talks = dict(sorted(talks.items(), key=lambda item: (item[1].time.created or 0, item[0])))
    if columns(connection, "message"):
        yield from _version_1(connection, source, talks, sought, note)
    if columns(connection, "session_message"):
        yield from version_2(connection, str(source.path), talks, sought, note)
    if sought.what != {"usage"}:
        for number, talk in enumerate(talks.values(), 1):
            yield session_row(Place(str(source.path), number, talk))


def _version_1(
    connection: sqlite3.Connection, source: Source, talks: dict[str, Talk], sought: Sought, note: Note
) -> Iterator[AnyRow]:
    parts = _parts(connection, sought)
    query = (  # the sessions in the order in which they began, so that an original precedes its copy
        "SELECT message.rowid AS number, message.* FROM message LEFT JOIN session ON session.id = message.session_id "
        "ORDER BY session.time_created, message.session_id, message.time_created, message.id"
    )
    for row in connection.execute(query):
        place = Place(str(source.path), row["number"], talks.get(row["session_id"]) or Talk(id=row["session_id"]))
        said = decoded(_said, row["data"], place, note)
        if said is not None:
            said.id, said.sessionID = row["id"], row["session_id"]
            found = (decoded(_part, data, place, note) for data in parts(row["id"]))
            yield from message_rows(said, [part for part in found if part is not None], place, sought)


def _talk_of(row: sqlite3.Row) -> Talk:
    return Talk(
        id=row["id"],
        projectID=picked(row, "project_id"),
        parentID=picked(row, "parent_id"),
        forkedFrom=picked(row, "fork_session_id"),
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
        yield from message_rows(said, [part for part in found if part is not None], place, sought)
    if sought.what != {"usage"}:
        yield session_row(Place(str(source.path), 1, talk))


def _file(decode: Callable[[bytes], Any], path: Path, place: Place, note: Note) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        note(Problem(agent="opencode", file=str(path), what="unreadable", detail=error.strerror or str(error)))
        return None
    return decoded(decode, data, place, note)
