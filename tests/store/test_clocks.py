"""The time of day may jump, by a machine's sleep or by a person; how long somebody was silent does not follow it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from coder_nb.errors import RunElsewhere
from coder_nb.store import leases
from coder_nb.store.base import Owner
from coder_nb.store.database import Statement, param
from coder_nb.store.open import SqlStore
from coder_nb.store.schema import leases as table

pytestmark = pytest.mark.anyio
PATH = "/work"
HOUR = 3_600_000


async def jump(store: SqlStore, milliseconds: int) -> None:
    """What is written down of times, as it looks after the time of day has jumped by so much."""
    moved = Statement(update(table).values(expires_at=table.c.expires_at - param("by")))
    async with store.leases._database.write() as tx:  # type: ignore[attr-defined]
        await tx.run(moved, by=milliseconds)


@pytest.fixture
async def store(opened: Any) -> SqlStore:
    found: SqlStore = await opened()
    return found


@pytest.fixture
def neighbour(here: Owner) -> Owner:
    """Another runtime on this machine."""
    return msgspec.structs.replace(here, runtime_id="neighbour")


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_a_lease_is_not_lost_by_a_jump_of_the_clock(
    store: SqlStore, here: Owner, neighbour: Owner, by: int
) -> None:
    lease = await store.leases.acquire(PATH, here, ttl=30)
    await jump(store, by)
    assert await store.leases.holder(PATH) == here
    with pytest.raises(RunElsewhere):
        await store.leases.acquire(PATH, neighbour, ttl=30)
    await store.leases.renew(lease, ttl=30)


@pytest.mark.parametrize("by", [0, HOUR, -HOUR])
async def test_a_neighbour_that_was_silent_for_too_long_loses_its_lease_whatever_the_time_of_day_is(
    store: SqlStore, here: Owner, neighbour: Owner, by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.leases.acquire(PATH, neighbour, ttl=30)
    await jump(store, by)
    now: Any = leases.ticks() + 30_000
    monkeypatch.setattr(leases, "ticks", lambda: now)
    assert await store.leases.holder(PATH) is None
    assert (await store.leases.acquire(PATH, here, ttl=30)).generation == 2


async def test_a_holder_on_another_machine_is_judged_by_the_databases_clock(store: SqlStore, here: Owner) -> None:
    far = msgspec.structs.replace(here, runtime_id="far", host="elsewhere")
    await store.leases.acquire(PATH, far, ttl=30)
    assert await store.leases.holder(PATH) == far
    await jump(store, HOUR)
    assert await store.leases.holder(PATH) is None
