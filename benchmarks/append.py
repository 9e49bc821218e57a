"""What an append to the log costs for each entry, against the bare driver doing the same insert in the same run.

    python benchmarks/append.py

Prints ours, bare and their ratio for single entries and batches, and ours in chats that hold 100 and 100,000 entries.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite

from coder_nb.core.codec import encode
from coder_nb.core.entries import Entry, Text
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.store.base import Batch, Lease
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.owner import this_process

GOALS = {1: 3.0, 10: 2.0, 100: 2.0}
PATH, OWNER = "/work", "owner"
INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def entries(chat_id: str, count: int) -> tuple[Entry, ...]:
    return tuple(
        Entry(id=new_id(), chat_id=chat_id, body=Text(text="word " * 30), agent="agent", native_id=new_id(), ts=1)
        for _ in range(count)
    )


async def fresh(store: SqlStore) -> tuple[Lease, str]:
    lease = await store.leases.acquire(PATH, this_process("benchmark"), ttl=3600)
    session = await store.catalog.open_session(OWNER, PATH, name="main", new=False, session_id=new_id(), now=0)
    chat = await store.catalog.open_chat(session.id, name="main", new=True, chat_id=new_id(), now=0)
    return lease, chat.id


async def ours(store: SqlStore) -> Callable[[int], Awaitable[float]]:
    lease, chat_id = await fresh(store)

    async def append(count: int) -> float:
        batch = Batch(entries=entries(chat_id, count))
        start = time.perf_counter()
        await store.log.commit(lease, chat_id, batch)
        return (time.perf_counter() - start) / count

    return append


async def bare(store: SqlStore, driver: aiosqlite.Connection) -> Callable[[int], Awaitable[float]]:
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


async def main(rounds: int = 400) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        store = await open_store(Settings(database=str(path)))
        async with aiosqlite.connect(path) as driver:
            for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
                await driver.execute(f"PRAGMA {pragma}")
            await compare(store, driver, rounds)
            await growth(store, rounds)
        await store.close()


async def compare(store: SqlStore, driver: aiosqlite.Connection, rounds: int) -> None:
    print(f"{'per entry':>24} {'ours':>9} {'bare':>9} {'ratio':>7}  goal")
    for count, goal in GOALS.items():
        mine, reference = await ours(store), await bare(store, driver)
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            taken[0].append(await mine(count))
            taken[1].append(await reference(count))
        a, b = (statistics.median(each) * 1e6 for each in taken)
        print(f"{f'batches of {count}':>24} {a:>6.1f} µs {b:>6.1f} µs {a / b:>6.2f}x  {goal:.1f}x")


async def growth(store: SqlStore, rounds: int) -> None:
    """Batches of 10 into chats that hold about 100 entries and into one that holds 100,000, in turns."""
    large = await ours(store)
    for _ in range(100):
        await large(1000)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds // 10):
        small = await ours(store)
        await small(100)
        for _ in range(10):
            taken[0].append(await small(10))
            taken[1].append(await large(10))
    a, b = (statistics.median(each) * 1e6 for each in taken)
    print(f"{'at 100 entries':>24} {a:>6.1f} µs")
    print(f"{'at 100,000 entries':>24} {b:>6.1f} µs {b / a:>17.2f}x  1.2x")


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
