"""What an append to the log costs for each entry, on each engine, against its bare driver doing the same insert."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
from sqlalchemy import insert

from benchmarks.row import Row
from coder_nb.core.codec import encode
from coder_nb.core.entries import Entry, Text
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.store.appending import entry_row
from coder_nb.store.base import Batch, Lease
from coder_nb.store.database import Statement
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.owner import this_process
from coder_nb.store.schema import chats, sessions
from coder_nb.store.schema import entries as entries_table
from tests.support.postgres import postgres_server

TARGETS = {1: 3.0, 10: 2.0, 100: 2.0}
ROUNDS = 400
PATH, OWNER = "/work", "owner"
COLUMNS = 12
Bare = Callable[[Sequence[tuple[Any, ...]]], Awaitable[None]]
"""The rows of one batch, inserted and committed by the driver alone."""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("store.sqlite", "small.sqlite")]
        rows = asyncio.run(_measure("SQLite", files, _bare_sqlite, "aiosqlite"))
    with postgres_server() as server:
        return rows + asyncio.run(_measure("PostgreSQL", [server.database() for _ in "12"], _bare_postgres, "asyncpg"))


async def _measure(
    engine: str, databases: list[str], bare: Callable[[str], contextlib.AbstractAsyncContextManager[Bare]], driver: str
) -> list[Row]:
    store, small = [await open_store(Settings(database=database)) for database in databases]
    try:
        async with bare(databases[0]) as inserted:
            compared = await _compare(engine, store, inserted, driver)
        return [*compared, await _long_chat(engine, store), await _many_chats(engine, small, store)]
    finally:
        await store.close()
        await small.close()


async def _compare(engine: str, store: SqlStore, inserted: Bare, driver: str) -> list[Row]:
    rows = []
    for count, target in TARGETS.items():
        ours, bare = await _ours(store), await _bare(store, inserted)
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            taken[0].append(await ours(count))
            taken[1].append(await bare(count))
        mine, reference = (statistics.median(each) * 1e6 for each in taken)
        name = f"{engine}: append, per entry, {'single' if count == 1 else f'batches of {count}'}"
        rows.append(Row(name, mine, "µs", target, reference, "ratio", f"{driver}, the same rows"))
    return rows


async def _long_chat(engine: str, store: SqlStore) -> Row:
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
    name = f"{engine}: append, per entry, at 100,000 entries"
    return Row(name, at_100_000, "µs", 1.2, at_100, "ratio", "at 100 entries")


async def _many_chats(engine: str, small: SqlStore, large: SqlStore) -> Row:
    """Batches of 10 into a store of ten chats, and into one of 10,000, in turns."""
    await _plant(small, 9)
    for _ in range(100):
        await _plant(large, 100)
    of_10, of_10_000 = await _ours(small), await _ours(large)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        taken[0].append(await of_10(10))
        taken[1].append(await of_10_000(10))
    few, many = (statistics.median(each) * 1e6 for each in taken)
    return Row(f"{engine}: append, per entry, at 10,000 chats", many, "µs", 1.2, few, "ratio", "at 10 chats")


async def _plant(store: SqlStore, count: int) -> None:
    """So many more chats, each with ten entries, in a session of their own."""
    session = {"id": new_id(), "owner": OWNER, "path": f"/{new_id()}", "name": "main", "title": "", "created_at": 0}
    session |= {"archived_at": None, "isolation": "worktree", "base": None, "keep_days": None, "keep_mib": None}
    state = {"title": "", "created_at": 0, "rev": 10, "last_pos": 10, "run_status": "idle", "held": 0}
    state |= dict.fromkeys(("inbox_cursor", "turn_id", "error", "archived_at"))
    made = [{"id": new_id(), "session_id": session["id"], "name": f"chat {n}", **state} for n in range(count)]
    async with store._database.write() as tx:
        await tx.run(Statement(insert(sessions)), **session)
        await tx.many(Statement(insert(chats)), made)
        for chat in made:
            rows = [entry_row(e, str(chat["id"]), pos=n, rev=n) for n, e in enumerate(entries(str(chat["id"]), 10), 1)]
            await tx.many(_INSERT, rows)


_INSERT = Statement(insert(entries_table))


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


async def _bare(store: SqlStore, inserted: Bare) -> Callable[[int], Awaitable[float]]:
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
        await inserted(rows)
        return (time.perf_counter() - start) / count

    return append


@contextlib.asynccontextmanager
async def _bare_sqlite(database: str) -> AsyncIterator[Bare]:
    sql = f"INSERT INTO entries VALUES ({', '.join('?' * COLUMNS)})"
    async with aiosqlite.connect(database) as driver:
        for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
            await driver.execute(f"PRAGMA {pragma}")

        async def inserted(rows: Sequence[tuple[Any, ...]]) -> None:
            if len(rows) == 1:
                await driver.execute(sql, rows[0])
            else:
                await driver.executemany(sql, rows)
            await driver.commit()

        yield inserted


@contextlib.asynccontextmanager
async def _bare_postgres(database: str) -> AsyncIterator[Bare]:
    sql = f"INSERT INTO entries VALUES ({', '.join(f'${n}' for n in range(1, COLUMNS + 1))})"
    driver = await asyncpg.connect(database)

    async def inserted(rows: Sequence[tuple[Any, ...]]) -> None:
        if len(rows) == 1:
            await driver.execute(sql, *rows[0])
        else:
            await driver.executemany(sql, rows)

    try:
        yield inserted
    finally:
        await driver.close()
