"""One PostgreSQL database: a few connections that are made when they are needed, and made again when they are lost."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from coder_nb.errors import StoreUnreachable
from coder_nb.store.database import EVERYTHING, Row, Statement
from coder_nb.store.looking import LINK
from coder_nb.store.migrations import HEAD, migrate
from coder_nb.store.postgres_faults import DRIVER_ERRORS, closed, not_utf8, postgres_error, shown, unsettled

T = TypeVar("T")
CONNECTIONS = 4
"""How many transactions one process has open at most; one more connection listens."""
_CHANNEL = "coder_nb"
_PLAIN = re.compile(r"[\w-]{1,100}", re.ASCII)
_HEARTBEAT = 15.0
"""Seconds after which a silent connection is asked whether it still lives."""
_ANSWER = 5.0
_MIGRATING = 0x636F646572  # any number that only we use


class PostgresTx:
    """One transaction on one connection. Every call is one trip to the server."""

    def __init__(self, driver: asyncpg.Connection[Any], name: str) -> None:
        self._driver = driver
        self._name = name
        self._touched: dict[str, int] = {}

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        sql, row, _ = statement.postgresql
        return await self._guard(self._driver.fetch(sql, *row(values)))

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        found = await self.rows(statement, **values)
        return found[0] if found else None

    async def run(self, statement: Statement, **values: Any) -> int:
        sql, row, _ = statement.postgresql
        return _changed(await self._guard(self._driver.execute(sql, *row(values))))

    async def many(self, statement: Statement, values: Iterable[Mapping[str, Any]]) -> int:
        sql, row, batch = statement.postgresql
        rows = [row(each) for each in values]
        if batch is not None and len(rows) > 1:
            return _changed(await self._guard(self._driver.execute(batch, *zip(*rows, strict=True))))
        # The only way in which this driver tells how many rows there were in all.
        return len(await self._guard(self._driver.fetchmany(f"{sql} RETURNING 1", rows)))

    def touch(self, chat_id: str, rev: int = 0) -> None:
        self._touched[chat_id if _PLAIN.fullmatch(chat_id) else EVERYTHING] = rev

    async def begin(self, how: str) -> None:
        await self._guard(self._driver.execute(f"BEGIN {how}"))

    async def commit(self) -> None:
        """Tells the other processes in the same trip; they hear of it when it is done, and never when it is not."""
        notes = [f"NOTIFY {_CHANNEL}, '{chat_id} {rev}';" for chat_id, rev in self._touched.items()]
        try:
            await self._guard(self._driver.execute("".join([*notes, "COMMIT"])))
        except StoreUnreachable as error:
            raise unsettled(self._name) from error

    async def _guard(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except DRIVER_ERRORS as error:
            raise postgres_error(error, self._name) from error


def _changed(status: str) -> int:
    """How many rows a statement has changed, as the server's last word on it says: ``INSERT 0 3``."""
    return int(status.rpartition(" ")[2])


class PostgresDatabase:
    """The connections of one process to one database, as `database.Database` says."""

    def __init__(self, url: str, *, busy_timeout: float) -> None:
        self.name = shown(url)
        self._url = url
        self._settings = {
            "application_name": "coder-nb",
            "jit": "off",
            "lock_timeout": f"{int(busy_timeout * 1000)}",
            # A process that is paused in the middle of a transaction must not hold its locks for as long as it sleeps.
            "idle_in_transaction_session_timeout": "5000",
        }
        self._closing = asyncio.Event()
        self._closes = asyncio.Lock()
        self._free: asyncio.LifoQueue[asyncpg.Connection[Any] | None] = asyncio.LifoQueue()
        for _ in range(CONNECTIONS):
            self._free.put_nowait(None)
        self._own: set[int] = set()

    async def connect(self) -> asyncpg.Connection[Any]:
        """A new connection; raises `StoreUnreachable` where there is no server, a `StoreError` where it refuses."""
        try:
            driver: asyncpg.Connection[Any] = await asyncpg.connect(
                self._url, server_settings=self._settings, timeout=_ANSWER
            )
        except DRIVER_ERRORS as error:
            raise postgres_error(error, self.name) from error
        self._own.add(driver.get_server_pid())
        return driver

    @contextlib.asynccontextmanager
    async def write(self, *, begins_by_writing: bool = False) -> AsyncIterator[PostgresTx]:
        async with self._connection() as driver:
            tx = PostgresTx(driver, self.name)
            await tx.begin("")
            yield tx
            await tx.commit()

    async def scrub(self) -> None:
        """Nothing: the server's own vacuum does it in its time."""

    @contextlib.asynccontextmanager
    async def read(self, *, once: bool = False) -> AsyncIterator[PostgresTx]:
        async with self._connection() as driver:
            tx = PostgresTx(driver, self.name)
            link = LINK.get()
            if link or not once:
                await tx.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if link:
                await tx.rows(_LOOK, link=link)
            yield tx
            if link or not once:
                await tx.commit()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """One of the few, for one transaction; what an exception leaves open is undone, what is broken is dropped."""
        driver = await self._free.get()
        try:
            if self._closing.is_set():
                raise closed(self.name)
            if driver is None or driver.is_closed():
                driver = None
                driver = await self.connect()
            yield driver
        except StoreUnreachable:
            if driver is not None:
                driver.terminate()  # it may look alive, and would not answer
            self._free.put_nowait(None)
            raise
        except BaseException:
            await asyncio.shield(self._undo(driver))
            raise
        else:
            self._free.put_nowait(driver)

    async def _undo(self, driver: asyncpg.Connection[Any] | None) -> None:
        """Rolls back and gives the connection back; goes through also when the caller is cancelled meanwhile."""
        try:
            if driver is not None and not driver.is_closed():
                await driver.execute("ROLLBACK", timeout=_ANSWER)
        except DRIVER_ERRORS:
            assert driver is not None
            driver.terminate()
        finally:
            self._free.put_nowait(driver)

    async def watch(self) -> AsyncGenerator[frozenset[str] | None]:
        wait = 0.25
        while not self._closing.is_set():
            try:
                async with contextlib.aclosing(self._listen()) as told:
                    async for chats in told:
                        wait = 0.25
                        yield chats
            except StoreUnreachable:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._closing.wait()
                wait = min(wait * 2, 5.0)

    async def _listen(self) -> AsyncGenerator[frozenset[str] | None]:
        """What others tell, for as long as one connection lives; first that anything may have happened before it."""
        touched: set[str] = set()
        told = asyncio.Event()

        def hear(_connection: object, pid: int, _channel: str, payload: object) -> None:
            if pid not in self._own:
                touched.add(str(payload).partition(" ")[0])
                told.set()

        driver = await self.connect()
        closing = asyncio.ensure_future(self._closing.wait())
        closing.add_done_callback(lambda _: told.set())
        try:
            driver.add_termination_listener(lambda _: told.set())
            await driver.add_listener(_CHANNEL, hear)
            yield None
            while not self._closing.is_set():
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        await told.wait()
                except TimeoutError:
                    await driver.execute("SELECT 1", timeout=_ANSWER)
                    continue
                told.clear()
                if driver.is_closed():
                    return
                chats, touched = frozenset(touched), set()
                if chats:
                    yield None if EVERYTHING in chats else chats
        except DRIVER_ERRORS as error:
            raise postgres_error(error, self.name) from error
        finally:
            closing.cancel()
            driver.terminate()

    async def close(self) -> None:
        self._closing.set()
        async with self._closes:
            taken = [await self._free.get() for _ in range(CONNECTIONS)]
            for driver in taken:
                if driver is not None:
                    with contextlib.suppress(*DRIVER_ERRORS):
                        await driver.close(timeout=_ANSWER)
                self._free.put_nowait(None)


async def open_postgres(url: str, *, busy_timeout: float) -> PostgresDatabase:
    """Opens a database, migrating it where needed; see `open.open_store`."""
    database = PostgresDatabase(url, busy_timeout=busy_timeout)
    try:
        if not await _is_ready(database):
            await _bring_up_to_date(database)
    except BaseException:
        await asyncio.shield(database.close())
        raise
    return database


async def _is_ready(database: PostgresDatabase) -> bool:
    """Whether there is nothing to migrate; so one who may only read can open the store as well."""
    async with database.read(once=True) as tx:
        if (await tx.rows(_ENCODING))[0][0] != "UTF8":
            raise not_utf8(database.name)
        if not (await tx.rows(_IS_THERE))[0][0]:
            return False
        return [row[0] for row in await tx.rows(_VERSION)] == [HEAD]


_LOOK = Statement(text("SELECT set_config('coder_nb.link', :link, true)"))
_ENCODING = Statement(text("SELECT current_setting('server_encoding')"))
_IS_THERE = Statement(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
_VERSION = Statement(text("SELECT version_num FROM alembic_version"))


async def _bring_up_to_date(database: PostgresDatabase) -> None:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=database.connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_migrate, database.name)
    except DBAPIError as error:
        raise postgres_error(error.orig, database.name) from error
    finally:
        await engine.dispose()


def _migrate(connection: Connection, name: str) -> None:
    """Under a lock, so that of two servers that open at once only one migrates."""
    # Between two statements of a migration much is computed, which on a busy machine takes its time.
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 60000"))
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
    migrate(connection, name)
