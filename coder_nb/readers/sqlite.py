"""An agent's database, which it may be writing at this moment: read as it is, and left as it was."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coder_nb.core.rows import Problem
from coder_nb.readers.base import Note, Source, stamp

WAIT = 5.0
BROKEN = (OSError, sqlite3.Error, UnicodeDecodeError)  # SQLite quotes what is no text in its own messages


@contextlib.contextmanager
def opened(path: Path, agent: str, note: Note) -> Iterator[sqlite3.Connection | None]:
    """The database to read from; None, with a note, where it cannot be opened. What breaks within is noted too."""
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(contextlib.closing(_connected(path, stack)))
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
        except BROKEN as error:
            note(Problem(agent=agent, file=str(path), what="unreadable", detail=str(error)))
            yield None
            return
        try:
            yield connection
        except BROKEN as error:
            note(Problem(agent=agent, file=str(path), what="broken database", detail=str(error)))


def _connected(path: Path, stack: contextlib.ExitStack) -> sqlite3.Connection:
    """A connection that leaves no file behind.

    Beside a log that is in use SQLite reads both. Without one there is nobody to wait for, and opening the database in
    the usual way would make one. Where the folder or the database may not be locked, a copy is read.
    """
    log = path.with_name(f"{path.name}-wal")
    options = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    with contextlib.suppress(*BROKEN):
        return _checked(f"{path.absolute().as_uri()}?{options}")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for file in (log, path):
        if file.exists():
            shutil.copy(file, folder / file.name)
    return _checked(f"{(folder / path.name).as_uri()}?mode=rw")


def _checked(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=WAIT, isolation_level=None)
    try:
        connection.execute("BEGIN")  # all that is read is of one moment
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BROKEN:
        connection.close()
        raise
    return connection


def with_log(source: Source) -> Source:
    """A database with what is still in its log, which changes while the database itself does not."""
    stats = []
    for name in (source.path.name, f"{source.path.name}-wal"):
        with contextlib.suppress(OSError):
            stats.append(source.path.with_name(name).stat())
    newest = max((stat.st_mtime_ns // 1_000_000 for stat in stats), default=source.mtime)
    return source._replace(mtime=newest, stamp=stamp(*stats))


def columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    """The columns of a table; none where there is no such table."""
    return frozenset(row["name"] for row in connection.execute(f'PRAGMA table_info("{table}")'))


def picked(row: sqlite3.Row, *names: str) -> Any:
    """The first of some columns that a row has with a value."""
    has = row.keys()
    return next((row[name] for name in names if name in has and row[name] is not None), None)
