"""The store for users' own programs with the Claude Agent SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from coder_nb.errors import MissingExtra
from coder_nb.settings import Settings

if TYPE_CHECKING:
    from coder_nb.backends.claude.session_store import ClaudeSessionStore


@asynccontextmanager
async def claude_session_store(database: str = "", *, owner: str = "") -> AsyncIterator[ClaudeSessionStore]:
    """A `session_store` for your own programs with the Claude Agent SDK: their sessions live in coder-nb's database.

    ``async with coder_nb.claude_session_store() as store: ClaudeAgentOptions(session_store=store,
    session_store_flush="eager")``; another program, on another machine with the same database, goes on with
    ``resume=`` and the session's id. `database` is a path or a ``postgresql://`` address, where it is not the one of
    the settings; sessions of one `owner` are not found by another. The store waits at most five seconds for the
    database, and then keeps what is to be stored on disk until the database takes it. Raises `MissingExtra` where the
    SDK is not installed, and `StoreError`s with their cures.
    """
    try:
        from claude_agent_sdk import SessionStore  # noqa: F401  # said here, not in the middle of a turn
    except ImportError as error:
        raise MissingExtra.of("A session store", "the Claude Agent SDK", "claude") from error
    from coder_nb.backends.claude.session_store import ClaudeSessionStore
    from coder_nb.store.open import open_store

    settings = Settings.from_environment()
    if database:
        settings = msgspec.structs.replace(settings, database=database)
    store = await open_store(settings)
    try:
        kept = ClaudeSessionStore(store.history, settings.spool_path(), space=f"claude:{owner}")
        try:
            yield kept
        finally:
            await kept.close()
    finally:
        await store.close()
