"""Both engines keep what every store promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from coder_nb.settings import Settings
from coder_nb.store.base import Owner
from coder_nb.store.open import SqlStore, open_store
from coder_nb.testing.store_conformance import CONTRACTS, Contract, check_all

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
async def test_the_store_keeps_the_contract(
    contract: Contract, opened: Callable[[], Awaitable[SqlStore]], engine: str, here: Owner
) -> None:
    store = await opened()
    assert store.engine == engine
    await contract(store, here)


async def test_the_whole_suite_runs_in_one_call(tmp_path: Path, here: Owner) -> None:
    made = 0

    async def make() -> SqlStore:
        nonlocal made
        made += 1
        return await open_store(Settings(database=str(tmp_path / f"{made}.sqlite")))

    await check_all(make, here)
    assert made == len(CONTRACTS) == 58
