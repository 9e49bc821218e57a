"""A filled database of every earlier version is brought up to date, on each engine, and keeps all that is in it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    delete,
    insert,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from coder_nb.errors import StoreTooNew
from coder_nb.settings import Settings
from coder_nb.store import migrations
from coder_nb.store.database import Statement
from coder_nb.store.open import open_store
from coder_nb.store.schema import metadata

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SCRIPTS = str(Path(migrations.__file__).parent)
REVISIONS = [script.revision for script in ScriptDirectory(SCRIPTS).walk_revisions()][::-1]
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def database(engine: str, path: Path, request: pytest.FixtureRequest) -> str:
    """A database in which nothing has ever been."""
    return str(path) if engine == "sqlite" else str(request.getfixturevalue("postgres_url"))


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[AsyncConnection]:
    """The database itself, beside the store."""
    if database.startswith("postgresql"):
        url = database.replace("postgresql", "postgresql+asyncpg", 1)
    else:
        Path(database).parent.mkdir(exist_ok=True)
        url = f"sqlite+aiosqlite:///{database}"
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def make(database: str, revision: str) -> Rows:
    """A database of an earlier version, with two rows of everything that refer to one another."""
    async with connected(database) as connection:
        rows = await connection.run_sync(_make, revision)
        await connection.commit()
    return rows


def _make(connection: Connection, revision: str) -> Rows:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    tables = _tables(connection)
    for table in tables:
        for number in (1, 2):
            connection.execute(insert(table).values(_row(table, number)))
    return _all(connection, tables)


def _tables(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def _row(table: Table, number: int) -> dict[str, Any]:
    """A row that is told from the other by its number, and refers to what has the same one."""
    return {column.name: _value(column, number) for column in table.columns} | (
        {"status": "active"} if table.name == "worktrees" else {}
    )


def _value(column: Column[Any], number: int) -> Any:
    if isinstance(column.type, BigInteger | Integer):
        return number
    if isinstance(column.type, LargeBinary):
        return b'{"kind":"text","text":"%d"}' % number
    return f"id-{number}" if column.name.endswith("id") else f"{column.name}-{number}"


def _all(connection: Connection, tables: Iterable[Table]) -> Rows:
    return {
        table.name: sorted(
            (dict(row._mapping) for row in connection.execute(select(table))),
            key=lambda row: str(sorted(row.items(), key=str)),
        )
        for table in tables
    }


async def read(database: str) -> Rows:
    async with connected(database) as connection:
        return await connection.run_sync(lambda sync: _all(sync, _tables(sync)))


def kept(before: Rows, after: Rows) -> bool:
    """Whether every row is still there with the values it had; what was added since does not count."""
    for table, rows in before.items():
        now = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert len(now) == len(rows)
        assert all(row in now for row in rows)
    return True


@pytest.mark.parametrize("revision", REVISIONS[:-1])
async def test_a_filled_database_of_an_earlier_version_keeps_everything(database: str, revision: str) -> None:
    before = await make(database, revision)
    assert all(len(rows) == 2 for rows in before.values())
    await (await open_store(Settings(database=database))).close()
    assert kept(before, await read(database))
    async with connected(database) as connection:
        assert (
            await connection.run_sync(lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)) == []
        )


@pytest.mark.skipif(sys.platform != "linux", reason="forks the upgrades")
async def test_an_upgrade_that_is_killed_at_any_step_keeps_everything(database: str) -> None:
    before = await make(database, REVISIONS[0])
    program = Path(__file__).with_name("migrant.py")
    migrant = await asyncio.create_subprocess_exec(sys.executable, str(program), database, stdin=PIPE, stdout=PIPE)
    assert migrant.stdin is not None
    assert migrant.stdout is not None
    step = 0
    try:
        async with asyncio.timeout(120), connected(database) as looking:
            tables = await looking.run_sync(_tables)
            await looking.rollback()
            while True:
                migrant.stdin.write(f"{step}\n".encode())
                if int(await migrant.stdout.readline()) == 0:
                    break
                assert await looking.run_sync(_all, tables) == before
                await looking.rollback()
                step += 1
    finally:
        migrant.kill()
        await migrant.communicate()
    assert step > len(REVISIONS)
    assert kept(before, await read(database))


async def test_a_newer_database_is_refused_and_left_as_it_is(database: str) -> None:
    before = await make(database, REVISIONS[-1])
    async with connected(database) as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
        await connection.commit()
    with pytest.raises(StoreTooNew, match="has version 0099, from a newer coder-nb"):
        await open_store(Settings(database=database))
    assert await read(database) == before


async def test_deleting_anything_in_any_order_leaves_the_worktrees(database: str) -> None:
    """B2 to B5: a chat takes what is its own with it, and a worktree's row goes with nothing but itself."""
    tables = metadata.sorted_tables
    others = [table for table in tables if table.name != "worktrees"]
    deletions = {table.name: Statement(delete(table)) for table in tables}
    store = await open_store(Settings(database=database))
    try:
        for first in others:
            async with store._database.write() as tx:
                for table in tables:
                    await tx.run(deletions[table.name])
                    await tx.many(Statement(insert(table)), [_row(table, number) for number in (1, 2)])
            async with store._database.write() as tx:
                for table in (first, *others, *reversed(others)):
                    await tx.run(deletions[table.name])
                assert await tx.rows(Statement(select(metadata.tables["worktrees"].c.session_id))) == [(None,), (None,)]
    finally:
        await store.close()


async def test_the_head_makes_the_same_tables_on_each_engine(database: str) -> None:
    await (await open_store(Settings(database=database))).close()
    made = create_engine("sqlite://")
    metadata.create_all(made)
    with made.connect() as connection:
        expected = {table.name: sorted(column.name for column in table.columns) for table in _tables(connection)}
    made.dispose()
    async with connected(database) as connection:
        found = await connection.run_sync(_tables)
    assert {table.name: sorted(column.name for column in table.columns) for table in found} == expected
