"""Stores on each engine, closed when the test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.postgres import PostgresServer

from coder_nb.settings import Settings
from coder_nb.store.base import Owner
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.owner import this_process
from coder_nb.store.schema import metadata

Open = Callable[..., Awaitable[SqlStore]]
TABLES = ", ".join(table.name for table in metadata.sorted_tables)


@pytest.fixture
def here() -> Owner:
    """This process, as a holder of leases."""
    return this_process("runtime", "this test")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> str:
    """The engines; a module that is about one of them overrides this."""
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store of the test lies, if it is a file."""
    return tmp_path / "data" / "store.sqlite"


@pytest.fixture(scope="session")
def used_database(postgres: PostgresServer) -> str:
    """A database that tests use one after another: making one takes longer than most of them."""
    return postgres.database()


@pytest.fixture
def database(engine: str, path: Path, request: pytest.FixtureRequest) -> str:
    """The setting that names the test's store, which is empty."""
    if engine == "sqlite":
        return str(path)
    url: str = request.getfixturevalue("used_database")
    server: PostgresServer = request.getfixturevalue("postgres")
    if server.sql("SELECT to_regclass('alembic_version')", url=url):
        server.sql(f"TRUNCATE {TABLES}", url=url)
    return url


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Open]:
    """Opens the store, any number of times; all of them are closed at the end."""
    async with AsyncExitStack() as stack:

        async def another(*, busy_timeout: float = 5.0, poll_interval: float = 0.01) -> SqlStore:
            settings = Settings(database=database, poll_interval=poll_interval)
            store = await open_store(settings, busy_timeout=busy_timeout)
            stack.push_async_callback(store.close)
            return store

        yield another
