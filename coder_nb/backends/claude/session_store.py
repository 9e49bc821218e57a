"""Our database as the `SessionStore` of the Claude Agent SDK."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coder_nb.backends.claude.spool import Spool
from coder_nb.backends.history import History, HistoryItem, HistoryKey
from coder_nb.errors import CoderError, StoreLocked
from coder_nb.ids import new_id

if TYPE_CHECKING:
    from claude_agent_sdk import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStore,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )

_log = logging.getLogger("coder_nb.claude")

BOUND = 5.0
"""Seconds for which a turn's result waits for the database; what it has not taken by then waits on disk instead."""
LONGER = 6
"""How many times longer a reader waits: it has to see all of it."""
PAUSES = (0.2, 1.0, 5.0, 30.0)
"""Seconds between tries to store what waits; the last one again and again."""

# What the fast encoder refuses, as half a surrogate pair, is escaped.
_escaped = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _to_json(value: Any) -> bytes:
    """A value as the agent would write it: integers of any size stay what they are, and NaN is null."""
    try:
        return msgspec.json.encode(value)
    except (ValueError, TypeError, OverflowError):
        return _escaped(value).encode("ascii")


class ClaudeSessionStore:
    """The SDK's `SessionStore` over a `History`, for any number of clients of one event loop.

    An append never waits longer than `bound` for the database, and never fails because of it: what the database has not
    taken goes to the folder `spool`, from where it is stored in its order as soon as that is possible, by this process
    or a later one. `space` keeps histories of one owner apart from those of others in the same database. With
    `anywhere` a session is found by its id alone, from whatever directory: it survives that its own one is moved.
    """

    def __init__(
        self, history: History, spool: Path, *, space: str = "claude", anywhere: bool = False, bound: float = BOUND
    ) -> None:
        self._history = history
        self._spool = Spool(spool)
        self._space = space
        self._anywhere = anywhere
        self._bound = bound
        self._behind: bool | None = None
        """Whether batches wait on disk; None until it is looked for what an earlier process has left."""
        self._putting = 0
        self._turn = asyncio.Lock()
        """Taken by appends, in the order of their calls."""
        self._hurry = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[None]] = set()

    # What the SDK calls ----------------------------------------------------------------------------------------------

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Stores a batch, each `uuid` once, within the bound."""
        if not entries:
            return
        batch = new_id()
        items = [
            # One that has no id gets one of this very call, so that storing it twice by accident cannot double it.
            HistoryItem(data=_to_json(entry), id=entry.get("uuid") or f"{batch}.{number}")
            for number, entry in enumerate(entries)
        ]
        target = self._key(key)
        if self._behind or not await self._store_in_time(target, items, entries):
            self._behind = True
            self._putting += 1
            try:
                await asyncio.to_thread(self._spool.put, target, items)
            finally:
                self._putting -= 1
            self._drain_soon()

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """All entries of a transcript, or None where nothing was ever stored."""
        await self._catch_up()
        found = await self._history.load(self._key(key))
        return None if found is None else [json.loads(data) for data in found]

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """The sessions of a project, with the times of their last entries."""
        await self._catch_up()
        rows = await self._history.sessions(self._project(project_key))
        return [{"session_id": session, "mtime": written} for session, written in rows]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """The summaries of the sessions of a project."""
        await self._catch_up()
        rows = await self._history.summaries(self._project(project_key))
        return [{"session_id": session, "mtime": written, "data": json.loads(data)} for session, written, data in rows]

    async def delete(self, key: SessionKey) -> None:
        """Removes a transcript; that of a session with those of its sub-agents and its summary."""
        await self._catch_up()
        await self._history.delete(self._key(key))

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """The sub-agents' transcripts of a session."""
        await self._catch_up()
        return await self._history.parts(self._project(key["project_key"]), key["session_id"])

    # The end ---------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stores what waits, if that is possible within the bound; what is left is stored by the next process."""
        with contextlib.suppress(CoderError):
            await self._catch_up()
        left = {*self._late, *([self._draining] if self._draining else ())}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=self._bound)

    # How -------------------------------------------------------------------------------------------------------------

    def _project(self, project_key: str) -> str:
        return self._space if self._anywhere else f"{self._space}:{project_key}"

    def _key(self, key: SessionKey) -> HistoryKey:
        return HistoryKey(
            project=self._project(key["project_key"]), session=key["session_id"], part=key.get("subpath", "")
        )

    async def _store(
        self, key: HistoryKey, items: Sequence[HistoryItem], entries: Sequence[SessionStoreEntry] | None = None
    ) -> None:
        """Appends to the database, unless something older waits; raises a `StoreError`."""
        async with self._turn:
            if self._behind is None:
                self._behind = bool(await asyncio.to_thread(self._spool.waiting))
                if self._behind:
                    self._drain_soon()
            if self._behind and entries is not None:
                raise StoreLocked("Older entries of Claude's history wait to be stored: this one waits behind them.")
            await self._history.append(key, items, fold=None if key.part else _Fold(key, items, entries))

    async def _store_in_time(
        self, key: HistoryKey, items: Sequence[HistoryItem], entries: Sequence[SessionStoreEntry]
    ) -> bool:
        """Waits for no longer than the bound, also where the database does not even let itself be interrupted."""
        storing = asyncio.create_task(self._store(key, items, entries), name="store Claude's history")
        self._late.add(storing)
        storing.add_done_callback(self._late.discard)
        try:
            done, _ = await asyncio.wait({storing}, timeout=self._bound)
        except asyncio.CancelledError:
            storing.cancel()
            raise
        if not done:
            storing.cancel()
            _log.warning("Claude's history waits on disk: the store has not answered within %g s", self._bound)
            return False
        error = storing.exception()
        if error is not None and not isinstance(error, CoderError):
            raise error
        return error is None

    async def _catch_up(self) -> None:
        """Stores what waits, if anything does, so that what is read then is all that was ever appended.

        Raises `StoreLocked` where that does not happen in time.
        """
        if self._behind is None:
            self._behind = bool(await asyncio.to_thread(self._spool.waiting))
        if self._behind:
            self._hurry.set()
            await asyncio.wait({self._drain_soon()}, timeout=LONGER * self._bound)
        if self._behind:
            raise StoreLocked("Claude's history is not all stored yet, as the store is busy or full: try again later.")

    def _drain_soon(self) -> asyncio.Task[None]:
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain(), name="catch up with Claude's history")
        return self._draining

    async def _drain(self) -> None:
        """Stores what waits, with pauses, until nothing does."""
        tries = 0
        while self._behind:
            try:
                await self._drain_once()
            except (CoderError, OSError) as error:
                if not tries:
                    _log.warning("Claude's history still waits on disk: %s", error)
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                tries += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._hurry.wait()
                self._hurry.clear()

    async def _drain_once(self) -> None:
        for path in await asyncio.to_thread(self._spool.waiting):
            batch = await asyncio.to_thread(self._spool.read, path)
            if batch is not None:
                await self._store(batch.key, batch.items)
                await asyncio.to_thread(self._spool.drop, path)
        async with self._turn:
            self._behind = bool(self._putting or self._spool.waiting())


class _Fold:
    """Makes a session's summary anew, by the SDK's own rule; one that an entry breaks stays as it was."""

    def __init__(
        self, key: HistoryKey, items: Sequence[HistoryItem], entries: Sequence[SessionStoreEntry] | None = None
    ) -> None:
        self._key = key
        self._items = items
        self._entries = entries

    def __call__(self, last: bytes | None, new: Sequence[HistoryItem]) -> bytes:
        from claude_agent_sdk import fold_session_summary

        entries: list[Any] = (
            list(self._entries)
            if self._entries is not None and new is self._items
            else [json.loads(item.data) for item in new]
        )
        known: SessionSummaryEntry | None = (
            {"session_id": self._key.session, "mtime": 0, "data": json.loads(last)} if last else None
        )
        key: SessionKey = {"project_key": self._key.project, "session_id": self._key.session}
        try:
            data = fold_session_summary(known, key, entries)["data"]
        except Exception:  # entries are whatever the agent wrote: they are kept, whether or not they can be summarised
            _log.exception("the summary of Claude's session %s stays as it was", self._key.session)
            return last or b"{}"
        return _to_json(data)


if TYPE_CHECKING:

    def _is_one(store: ClaudeSessionStore) -> SessionStore:
        """Holds our store against the SDK's own type."""
        return store
