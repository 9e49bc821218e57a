"""What an append to the log costs for each entry, against the bare driver doing the same insert."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite

from benchmarks.row import Row
from coder_nb.core.codec import encode
from coder_nb.core.entries import Entry, Text
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.store.base import Batch, Lease
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.owner import this_process

TARGETS = {1: 3.0, 10: 2.0, 100: 2.0}
ROUNDS = 400
PATH, OWNER = "/work", "owner"
INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def measure() -> list[Row]:
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        store = await open_store(Settings(database=str(path)))
        try:
            async with aiosqlite.connect(path) as driver:
                for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
                    await driver.execute(f"PRAGMA {pragma}")
                return [*await _compare(store, driver), await _growth(store)]
        finally:
            await store.close()


async def _compare(store: SqlStore, driver: aiosqlite.Connection) -> list[Row]:
    rows = []
    for count, target in TARGETS.items():
        ours, bare = await _ours(store), await _bare(store, driver)
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            taken[0].append(await ours(count))
            taken[1].append(await bare(count))
        mine, reference = (statistics.median(each) * 1e6 for each in taken)
        name = f"append, per entry, {'single' if count == 1 else f'batches of {count}'}"
        rows.append(Row(name, mine, "µs", target, reference, "ratio", "aiosqlite, the same rows"))
    return rows


async def _growth(store: SqlStore) -> Row:
    """Batches of 10 into chats that hold about 100 entries and into one that holds 100,000, in turns."""
    large = await _ours(store)
    for _ in range(100):
        await large(1000)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS // 10):
        small = await _ours(store)
        await small(100)
        for _ in range(10):
            taken[0].append(await small(10))
            taken[1].append(await large(10))
    at_100, at_100_000 = (statistics.median(each) * 1e6 for each in taken)
    return Row("append, per entry, at 100,000 entries", at_100_000, "µs", 1.2, at_100, "ratio", "at 100 entries")


def entries(chat_id: str, count: int) -> tuple[Entry, ...]:
    """New entries of a usual size."""
    return tuple(
        Entry(id=new_id(), chat_id=chat_id, body=Text(text="word " * 30), agent="agent", native_id=new_id(), ts=1)
        for _ in range(count)
    )


async def fresh(store: SqlStore) -> tuple[Lease, str]:
    """A lease and an empty chat under it."""
    lease = await store.leases.acquire(PATH, this_process("benchmark"), ttl=3600)
    session = await store.catalog.open_session(OWNER, PATH, name="main", new=False, session_id=new_id(), now=0)
    chat = await store.catalog.open_chat(session.id, name="main", new=True, chat_id=new_id(), now=0)
    return lease, chat.id


async def _ours(store: SqlStore) -> Callable[[int], Awaitable[float]]:
    lease, chat_id = await fresh(store)

    async def append(count: int) -> float:
        batch = Batch(entries=entries(chat_id, count))
        start = time.perf_counter()
        await store.log.commit(lease, chat_id, batch)
        return (time.perf_counter() - start) / count

    return append


async def _bare(store: SqlStore, driver: aiosqlite.Connection) -> Callable[[int], Awaitable[float]]:
    """The same rows into the same tables under the same settings, encoding included: and nothing else."""
    _, chat_id = await fresh(store)
    pos = 0

    async def append(count: int) -> float:
        nonlocal pos
        batch = entries(chat_id, count)
        start = time.perf_counter()
        rows = []
        for e in batch:
            pos += 1
            rows.append((chat_id, e.id, pos, pos, e.ts, None, e.agent, None, e.native_id, 0, "text", encode(e.body)))
        if count == 1:
            await driver.execute(INSERT, rows[0])
        else:
            await driver.executemany(INSERT, rows)
        await driver.commit()
        return (time.perf_counter() - start) / count

    return append
