"""One SQLite file and its connections: a writer, a few readers, and the transactions on them.

Statements are SQLAlchemy's, so that every engine shares them; each is compiled once and handed to the driver in one
trip to its thread. SQLAlchemy's own cursor makes four trips for one statement, which the log cannot afford.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import BindParameter, ColumnElement, bindparam, event, literal_column, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler

from coder_nb.store.faults import DRIVER_ERRORS, closed, store_error

T = TypeVar("T")
Row = tuple[Any, ...]
READERS = 2
_UNFIT = re.compile("[\0\ud800-\udfff]")
_DIALECT = sqlite.dialect(paramstyle="qmark")


def param(name: str) -> BindParameter[Any]:
    """A value that comes with each execution."""
    return bindparam(name)


def constant(value: str | int) -> ColumnElement[Any]:
    """A value that is part of the statement, so that an index with a condition on it is used."""
    return literal_column(repr(value))


class Statement:
    """A SQLAlchemy statement, compiled once, at its first use: its text, and how named values become a row of it."""

    def __init__(self, source: Executable) -> None:
        self.source = source

    @cached_property
    def sql(self) -> str:
        """The text for the driver."""
        return str(self._compiled)

    def row(self, values: Mapping[str, Any]) -> Row:
        """The values in the statement's order."""
        constants, pick = self._order
        return pick({**constants, **values} if constants else values)

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self.source.compile(dialect=_DIALECT)  # type: ignore[attr-defined]  # every Executable has it
        assert isinstance(compiled, SQLCompiler)
        return compiled

    @cached_property
    def _order(self) -> tuple[dict[str, Any], Callable[[Mapping[str, Any]], Row]]:
        names = self._compiled.positiontup or []
        constants = {name: bind.value for name, bind in self._compiled.binds.items() if not bind.required}
        if len(names) > 1:
            return constants, itemgetter(*names)
        return constants, lambda values: tuple(values[name] for name in names)


def clean(words: str) -> str:
    """Text that a database takes: what is no Unicode text of its own (NUL, half a surrogate pair) becomes U+FFFD."""
    if words.isascii() and "\0" not in words:
        return words
    return _UNFIT.sub("\ufffd", words)


class Tx:
    """One transaction on one connection. Every call is one trip to the driver's thread."""

    def __init__(self, driver: aiosqlite.Connection, path: Path) -> None:
        self._driver = driver
        self._path = path

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """All rows that a statement gives."""
        return list(await self._guard(self._driver.execute_fetchall(statement.sql, statement.row(values))))  # type: ignore[arg-type]  # rows are tuples

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """The first row that a statement gives, if any."""
        found = await self.rows(statement, **values)
        return found[0] if found else None

    async def run(self, statement: Statement, **values: Any) -> int:
        """Executes a statement; returns how many rows it changed."""
        return (await self._guard(self._driver.execute(statement.sql, statement.row(values)))).rowcount

    async def many(self, statement: Statement, values: Iterable[Mapping[str, Any]]) -> int:
        """Executes a statement once for each set of values; returns how many rows were changed in all."""
        rows = [statement.row(each) for each in values]
        if len(rows) == 1:
            return (await self._guard(self._driver.execute(statement.sql, rows[0]))).rowcount
        return (await self._guard(self._driver.executemany(statement.sql, rows))).rowcount

    async def begin(self, how: str) -> None:
        await self._guard(self._driver.execute(f"BEGIN {how}"))

    async def commit(self) -> None:
        await self._guard(self._driver.commit())

    async def undo(self) -> None:
        """Rolls back what is open, if anything; goes through also when the caller is cancelled meanwhile.

        The driver's thread takes calls in order: this one comes after any that the cancelled caller left behind.
        """
        with contextlib.suppress(*DRIVER_ERRORS):
            await asyncio.shield(self._driver.rollback())

    async def _guard(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except DRIVER_ERRORS as error:
            raise store_error(error, self._path) from error


class Database:
    """The connections of one process to one file; belongs to the loop in which it was opened."""

    def __init__(self, path: Path, engine: AsyncEngine, connections: list[AsyncConnection]) -> None:
        self.path = path
        self.closing = asyncio.Event()
        self._engine = engine
        self._connections = connections
        self._writing = asyncio.Lock()
        self._writer: Tx | None = None
        self._readers: asyncio.LifoQueue[Tx] = asyncio.LifoQueue()

    async def start(self) -> None:
        """Takes the driver's connections out of SQLAlchemy's: the first writes, the others read."""
        for connection in self._connections:
            driver = (await connection.get_raw_connection()).driver_connection
            assert isinstance(driver, aiosqlite.Connection)
            tx = Tx(driver, self.path)
            if self._writer is None:
                self._writer = tx
            else:
                self._readers.put_nowait(tx)

    @contextlib.asynccontextmanager
    async def write(self, *, begins_by_writing: bool = False) -> AsyncIterator[Tx]:
        """A transaction that writes: the only one of all processes. Committed at the end, undone by any exception.

        One that begins by writing is begun by the driver itself with that statement, which saves a trip.
        """
        async with self._writing:
            tx = self._writer
            if tx is None or self.closing.is_set():
                raise closed(self.path)
            try:
                if not begins_by_writing:
                    await tx.begin("IMMEDIATE")
                yield tx
                await tx.commit()
            except BaseException:
                await tx.undo()
                raise

    @contextlib.asynccontextmanager
    async def read(self, *, once: bool = False) -> AsyncIterator[Tx]:
        """A transaction that reads: the database as it was at one moment, whoever writes meanwhile.

        What reads by one statement only, `once`, needs no transaction around it, which saves two trips.
        """
        if self.closing.is_set():
            raise closed(self.path)
        tx = await self._readers.get()
        try:
            if not once:
                await tx.begin("DEFERRED")
            yield tx
        finally:
            try:
                if not once:
                    await tx.undo()
            finally:
                self._readers.put_nowait(tx)

    async def version(self) -> int:
        """A number that differs after another connection than our writer has committed something."""
        if self._writer is None:
            raise closed(self.path)
        return int((await self._writer.rows(_DATA_VERSION))[0][0])

    async def close(self) -> None:
        """Lets the transaction that is being written end, then closes every connection; once more does nothing."""
        self.closing.set()
        async with self._writing:
            self._writer = None
            while self._connections:
                with contextlib.suppress(DBAPIError, *DRIVER_ERRORS):
                    await self._connections[-1].close()
                self._connections.pop()
            await self._engine.dispose()


_DATA_VERSION = Statement(text("PRAGMA data_version"))


def make_engine(path: Path, *, busy_timeout: float) -> AsyncEngine:
    """SQLAlchemy's engine for a file, with the settings that every connection to it gets."""
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={"isolation_level": "IMMEDIATE", "timeout": busy_timeout},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            "journal_size_limit = 67108864",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
