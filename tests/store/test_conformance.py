"""Both engines keep what every store promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from support.postgres import PostgresServer

from coder_nb.settings import Settings
from coder_nb.store.base import Owner
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.schema import metadata
from coder_nb.testing.store_conformance import CONTRACTS, Contract, check_all

pytestmark = pytest.mark.anyio
by_name = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)


@by_name
async def test_sqlite_keeps_the_contract(
    contract: Contract, opened: Callable[[], Awaitable[SqlStore]], here: Owner
) -> None:
    await contract(await opened(), here)


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> str:
    """One database for all contracts: making one takes longer than most of them."""
    return postgres.database()


@pytest.fixture
def emptied(postgres: PostgresServer, database: str) -> Iterator[str]:
    """The same, without a row in it."""
    yield database
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    postgres.sql(f"TRUNCATE {tables}", url=database)


@pytest.mark.slow
@by_name
async def test_postgresql_keeps_the_contract(contract: Contract, emptied: str, here: Owner) -> None:
    store = await open_store(Settings(database=emptied))
    assert store.engine == "postgresql"
    try:
        await contract(store, here)
    finally:
        await store.close()


async def test_the_whole_suite_runs_in_one_call(tmp_path: Path, here: Owner) -> None:
    made = 0

    async def make() -> SqlStore:
        nonlocal made
        made += 1
        return await open_store(Settings(database=str(tmp_path / f"{made}.sqlite")))

    await check_all(make, here)
    assert made == len(CONTRACTS) == 35
