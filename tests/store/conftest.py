"""Stores on disk, closed when the test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from coder_nb.settings import Settings
from coder_nb.store.base import Owner
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.owner import this_process

Open = Callable[..., Awaitable[SqlStore]]


@pytest.fixture
def here() -> Owner:
    """This process, as a holder of leases."""
    return this_process("runtime", "this test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store of the test lies."""
    return tmp_path / "data" / "store.sqlite"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[Open]:
    """Opens the store, any number of times; all of them are closed at the end."""
    async with AsyncExitStack() as stack:

        async def another(*, busy_timeout: float = 5.0, poll_interval: float = 0.01) -> SqlStore:
            settings = Settings(database=str(path), poll_interval=poll_interval)
            store = await open_store(settings, busy_timeout=busy_timeout)
            stack.push_async_callback(store.close)
            return store

        yield another
