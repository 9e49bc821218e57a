"""One SQLite file and its connections: a writer, a few readers, and the transactions on them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from coder_nb.errors import CoderError, StoreError, StoreOnNetwork
from coder_nb.store.database import Row, Statement
from coder_nb.store.faults import DRIVER_ERRORS, closed, replaced, store_error
from coder_nb.store.file import identity, prepare_file
from coder_nb.store.migrations import migrate

T = TypeVar("T")
READERS = 2
_DATA_VERSION = Statement(text("PRAGMA data_version"))
_EMPTY_JOURNAL = Statement(text("PRAGMA wal_checkpoint(TRUNCATE)"))


class SqliteTx:
    """One transaction on one connection. Every call is one trip to the driver's thread."""

    def __init__(self, driver: aiosqlite.Connection, path: Path) -> None:
        self._driver = driver
        self._path = path

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        sql, row, _ = statement.sqlite
        return list(await self._guard(self._driver.execute_fetchall(sql, row(values))))  # type: ignore[arg-type]  # rows are tuples

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        found = await self.rows(statement, **values)
        return found[0] if found else None

    async def run(self, statement: Statement, **values: Any) -> int:
        sql, row, _ = statement.sqlite
        return (await self._guard(self._driver.execute(sql, row(values)))).rowcount

    async def many(self, statement: Statement, values: Iterable[Mapping[str, Any]]) -> int:
        sql, row, _ = statement.sqlite
        rows = [row(each) for each in values]
        if len(rows) == 1:
            return (await self._guard(self._driver.execute(sql, rows[0]))).rowcount
        return (await self._guard(self._driver.executemany(sql, rows))).rowcount

    def touch(self, chat_id: str, rev: int = 0) -> None:
        """Nothing to do: the file's own counter tells the others."""

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


class SqliteDatabase:
    """The connections of one process to one file, as `database.Database` says."""

    def __init__(
        self, path: Path, engine: AsyncEngine, connections: list[AsyncConnection], *, poll_interval: float
    ) -> None:
        self.path = path
        self._engine = engine
        self._connections = connections
        self._files = identity(path)
        self._poll_interval = poll_interval
        self._closing = asyncio.Event()
        self._writing = asyncio.Lock()
        self._writer: SqliteTx | None = None
        self._readers: asyncio.LifoQueue[SqliteTx] = asyncio.LifoQueue()

    async def start(self) -> None:
        """Takes the driver's connections out of SQLAlchemy's: the first writes, the others read."""
        for connection in self._connections:
            driver = (await connection.get_raw_connection()).driver_connection
            assert isinstance(driver, aiosqlite.Connection)
            tx = SqliteTx(driver, self.path)
            if self._writer is None:
                self._writer = tx
            else:
                self._readers.put_nowait(tx)

    @contextlib.asynccontextmanager
    async def write(self, *, begins_by_writing: bool = False) -> AsyncIterator[SqliteTx]:
        async with self._writing:
            tx = self._writer
            if tx is None or self._closing.is_set():
                raise closed(self.path)
            if identity(self.path) != self._files:  # SQLite would go on writing to files that have no name any more
                raise replaced(self.path)
            try:
                if not begins_by_writing:
                    await tx.begin("IMMEDIATE")
                yield tx
                await tx.commit()
            except BaseException:
                await tx.undo()
                raise

    async def scrub(self) -> None:
        async with self._writing:
            if self._writer is not None and not self._closing.is_set():
                await self._writer.rows(_EMPTY_JOURNAL)

    @contextlib.asynccontextmanager
    async def read(self, *, once: bool = False) -> AsyncIterator[SqliteTx]:
        if self._closing.is_set():
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

    async def watch(self) -> AsyncGenerator[frozenset[str] | None]:
        seen = -1
        while not self._closing.is_set():
            try:
                version = await self._version()
            except StoreError:
                if self._closing.is_set():
                    return
                raise
            if version != seen:
                seen = version
                yield None
            try:
                async with asyncio.timeout(self._poll_interval):
                    await self._closing.wait()
            except TimeoutError:
                continue

    async def _version(self) -> int:
        """A number that differs after another connection than our writer has committed something."""
        if self._writer is None:
            raise closed(self.path)
        return int((await self._writer.rows(_DATA_VERSION))[0][0])

    async def close(self) -> None:
        self._closing.set()
        async with self._writing:
            self._writer = None
            while self._connections:
                with contextlib.suppress(DBAPIError, *DRIVER_ERRORS):
                    await self._connections[-1].close()
                self._connections.pop()
            await self._engine.dispose()


async def open_sqlite(path: Path, *, busy_timeout: float, poll_interval: float) -> SqliteDatabase:
    """Opens a file, making and migrating it where needed; see `open.open_store`."""
    path = await asyncio.to_thread(prepare_file, path)
    opening = asyncio.create_task(_open(path, busy_timeout, poll_interval), name="open the store")
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        # A connection that is given up half made would hold its locks for a while: it is made, and then closed.
        with contextlib.suppress(CoderError):
            await (await opening).close()
        raise


async def _open(path: Path, busy_timeout: float, poll_interval: float) -> SqliteDatabase:
    engine = _make_engine(path, busy_timeout=busy_timeout)
    try:
        return await _connect(engine, path, poll_interval)
    except BaseException as error:
        await engine.dispose()
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, sqlite3.Error):
            raise store_error(cause, path) from error
        raise


async def _connect(engine: AsyncEngine, path: Path, poll_interval: float) -> SqliteDatabase:
    connections: list[AsyncConnection] = []
    try:
        for _ in range(1 + READERS):
            connections.append(await engine.connect())
            if len(connections) == 1:
                await connections[0].run_sync(_bring_up_to_date, path)
        database = SqliteDatabase(path, engine, connections, poll_interval=poll_interval)
        await database.start()
    except BaseException:
        for connection in connections:
            with contextlib.suppress(DBAPIError):
                await asyncio.shield(connection.close())
        raise
    return database


def _bring_up_to_date(connection: Connection, path: Path) -> None:
    """Checks and migrates under the writer's lock, so that of two processes that open at once only one migrates."""
    if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
        raise StoreOnNetwork(
            f"The file system of the store {path} does not let processes share a database: set CODER_NB_DATABASE to a "
            "path on a local disk."
        )
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        migrate(connection, str(path))
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _make_engine(path: Path, *, busy_timeout: float) -> AsyncEngine:
    """SQLAlchemy's engine for a file, with the settings that every connection to it gets."""
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # below that it writes every statement's values: prompts
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
            "secure_delete = ON",  # what was deleted is overwritten, and not only forgotten
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
