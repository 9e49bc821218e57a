"""What it costs to keep entries of the Claude Agent SDK, against a store that only inserts them."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiosqlite

from benchmarks.row import Row
from coder_nb.backends.claude.session_store import ClaudeSessionStore
from coder_nb.settings import Settings
from coder_nb.store.open import open_store

ENTRIES, SIZE = 500, 2_000
ROUNDS = 30
TABLE = "CREATE TABLE entries (project TEXT, session TEXT, subpath TEXT, seq INTEGER PRIMARY KEY, entry TEXT)"
INSERT = "INSERT INTO entries (project, session, subpath, entry) VALUES (?, ?, ?, ?)"
Append = Callable[[Any, list[Any]], Awaitable[None]]


def measure() -> list[Row]:
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(Settings(database=str(Path(folder) / "store.sqlite")))
        kept = ClaudeSessionStore(store.history, Path(folder) / "spool")
        try:
            async with aiosqlite.connect(Path(folder) / "reference.sqlite") as driver:
                for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", TABLE):
                    await driver.execute(statement)
                return [await _compare(kept.append, _only_inserts(driver))]
        finally:
            await kept.close()
            await store.close()


async def _compare(ours: Append, reference: Append) -> Row:
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for append, figures in zip((ours, reference), taken, strict=True):
            key = {"project_key": "-home-user-project", "session_id": str(uuid.uuid4())}
            batch = entries(ENTRIES)
            start = time.perf_counter()
            await append(key, batch)
            figures.append(time.perf_counter() - start)
    mine, bare = (statistics.median(figures) * 1e3 for figures in taken)
    return Row(f"{ENTRIES} SDK entries, 1 MB", mine, "ms", 1.5, bare, "ratio", "a store that only inserts")


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


def _only_inserts(driver: aiosqlite.Connection) -> Append:
    async def append(key: Any, batch: list[Any]) -> None:
        rows = [(key["project_key"], key["session_id"], "", json.dumps(entry)) for entry in batch]
        await driver.executemany(INSERT, rows)
        await driver.commit()

    return append
