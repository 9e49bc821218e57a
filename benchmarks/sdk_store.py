"""What it costs to keep entries of the Claude Agent SDK, against a store that only inserts them."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg

from benchmarks.row import Row
from coder_nb.backends.claude.session_store import ClaudeSessionStore
from coder_nb.settings import Settings
from coder_nb.store.open import open_store
from tests.support.postgres import postgres_server

ENTRIES, SIZE = 500, 2_000
ROUNDS = 30
TABLE = "CREATE TABLE entries (project TEXT, session TEXT, subpath TEXT, seq INTEGER PRIMARY KEY, entry TEXT)"
INSERT = "INSERT INTO entries (project, session, subpath, entry) VALUES (?, ?, ?, ?)"
Append = Callable[[Any, list[Any]], Awaitable[None]]


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, postgres_server() as server:
        file = str(Path(folder) / "store.sqlite")
        rows = asyncio.run(_measure("SQLite", file, Path(folder), _sqlite(Path(folder) / "reference.sqlite")))
        ours, theirs = server.database(), server.database()
        return rows + asyncio.run(_measure("PostgreSQL", ours, Path(folder), _postgres(theirs)))


async def _measure(
    engine: str, database: str, folder: Path, reference: AbstractAsyncContextManager[Append]
) -> list[Row]:
    store = await open_store(Settings(database=database))
    kept = ClaudeSessionStore(store.history, folder / f"spool-{engine}")
    try:
        async with reference as only_inserts:
            return [await _compare(engine, kept.append, only_inserts)]
    finally:
        await kept.close()
        await store.close()


async def _compare(engine: str, ours: Append, reference: Append) -> Row:
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for append, figures in zip((ours, reference), taken, strict=True):
            key = {"project_key": "-home-user-project", "session_id": str(uuid.uuid4())}
            batch = entries(ENTRIES)
            start = time.perf_counter()
            await append(key, batch)
            figures.append(time.perf_counter() - start)
    mine, bare = (statistics.median(figures) * 1e3 for figures in taken)
    return Row(f"{ENTRIES} SDK entries, 1 MB, {engine}", mine, "ms", 1.5, bare, "ratio", "a store that only inserts")


def entries(count: int) -> list[dict[str, Any]]:
    """Entries as the SDK hands them over, of a usual size."""
    return [
        {
            "type": "assistant" if number % 2 else "user",
            "uuid": str(uuid.uuid4()),
            "timestamp": "2026-11-21T12:00:00.000Z",
            "message": {"role": "user", "content": "word " * (SIZE // 5)},
        }
        for number in range(count)
    ]


@asynccontextmanager
async def _sqlite(path: Path) -> AsyncIterator[Append]:
    async with aiosqlite.connect(path) as driver:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", TABLE):
            await driver.execute(statement)

        async def append(key: Any, batch: list[Any]) -> None:
            await driver.executemany(INSERT, _rows(key, batch))
            await driver.commit()

        yield append


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[Append]:
    driver = await asyncpg.connect(url)
    await driver.execute(TABLE.replace("INTEGER PRIMARY KEY", "BIGSERIAL PRIMARY KEY"))

    async def append(key: Any, batch: list[Any]) -> None:
        await driver.executemany(INSERT.replace("?, ?, ?, ?", "$1, $2, $3, $4"), _rows(key, batch))

    try:
        yield append
    finally:
        await driver.close()


def _rows(key: Any, batch: list[Any]) -> list[tuple[str, str, str, str]]:
    return [(key["project_key"], key["session_id"], "", json.dumps(entry)) for entry in batch]
