"""A store is brought up to date when it is opened, once, and to exactly the tables that the program uses."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from coder_nb.store import migrations
from coder_nb.store.schema import metadata

pytestmark = pytest.mark.anyio


@pytest.fixture
def engine() -> str:
    """This is about files."""
    return "sqlite"


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


async def test_the_migrations_make_the_tables_of_the_schema(opened, path: Path) -> None:
    await opened()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_opening_twice_changes_nothing(opened, path: Path) -> None:
    await (await opened()).close()
    once = dump(path)
    await (await opened()).close()
    assert dump(path) == once


async def test_a_migration_that_was_killed_starts_over(opened, path: Path) -> None:
    """Everything up to the new version happens in one transaction: what was begun and not committed never was."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE sessions (id TEXT)")
    await opened()
    assert any("CREATE TABLE chats" in line for line in dump(path))


def test_the_head_is_the_last_migration() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_current_head() == migrations.HEAD
    assert len(scripts.get_heads()) == 1


async def test_names_are_the_same_in_migrations_and_schema(opened, path: Path) -> None:
    """Later migrations find constraints and indexes by name, on every engine."""
    await opened()
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    query = (
        "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'alembic%' AND tbl_name NOT LIKE 'alembic%'"
    )
    with engine.connect() as connection, closing(sqlite3.connect(path)) as migrated:
        made = {tuple(row) for row in connection.exec_driver_sql(query)}
        assert {tuple(row) for row in migrated.execute(query)} == made
        assert len(made) > len(metadata.tables)
    engine.dispose()
