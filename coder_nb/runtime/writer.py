"""From a turn's recorder into the log: text at most a tenth of a second late, everything else at once (law 6)."""

from __future__ import annotations

import asyncio

from coder_nb.core.entries import Chunk, Entry
from coder_nb.core.sessions import TurnInfo
from coder_nb.errors import StoreError, StoreFull, StoreLocked, StoreUnreachable
from coder_nb.runtime.feed import Feed
from coder_nb.runtime.recorder import Recorder
from coder_nb.store.base import Batch, Lease, Log, RunState

PASSING = (StoreFull, StoreLocked, StoreUnreachable)
"""Why a store takes nothing at the moment, and may take it later."""
AGAIN = 1.0
"""Seconds after which the end of a turn is written again where it could not be."""
TRIES = 5
"""How often that is tried where it does not pass."""


class Writer:
    """Commits what a recorder has, and tells the feed. One commit at a time; what fails to be written is kept."""

    def __init__(self, log: Log, lease: Lease, recorder: Recorder, feed: Feed, *, interval: float) -> None:
        self._log, self._lease, self._chat_id = log, lease, recorder.chat_id
        self._recorder, self._feed, self._interval = recorder, feed, interval
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._lock = asyncio.Lock()
        self._stopped = False
        self._prompted = False
        """Whether it has still to be written that the agent has its prompt."""
        self._idle = asyncio.Event()
        """Set after each commit of `run`, and for good when it has ended."""
        self.stuck = ""
        """Why the end of the turn cannot be written down; empty before that was tried some times."""
        self._unwritten: tuple[tuple[Entry, ...], tuple[Chunk, ...]] = ((), ())

    def touch(self) -> None:
        """The recorder has something new: live text goes to the listeners now, the rest to the log soon."""
        if self._recorder.deltas:
            self._feed.add(self._recorder.deltas)
            self._recorder.deltas.clear()
        if self._recorder.dirty:
            self._dirty.set()
        if self._recorder.urgent:
            self._urgent.set()

    def prompted(self) -> None:
        """The agent is given its prompt: that goes with what is written next, or by itself."""
        self._prompted = True
        self._dirty.set()

    async def run(self) -> None:
        """Commits until `stop` is called; raises what the store raises."""
        try:
            while not self._stopped:
                await self._dirty.wait()
                try:
                    async with asyncio.timeout(self._interval):
                        await self._urgent.wait()
                except TimeoutError:
                    pass
                await self.commit()
                self._idle.set()
        finally:
            self._stopped = True
            self._idle.set()

    async def caught_up(self) -> None:
        """Returns when what there is was written, or cannot be: who says more than the disk takes waits here."""
        if not self._stopped:
            self._idle.clear()
            self._dirty.set()
            self._urgent.set()
            await self._idle.wait()

    def stop(self) -> None:
        """Ends `run`, but never in the middle of a commit."""
        self._stopped = True
        self._dirty.set()
        self._urgent.set()

    async def commit(self, *, turn: TurnInfo | None = None, state: RunState | None = None) -> None:
        """Writes all there is, with the turn and the run state where they are given, in one transaction."""
        async with self._lock:
            self._dirty.clear()
            self._urgent.clear()
            entries, chunks = joined(self._unwritten, self._recorder.take())
            prompted = self._prompted
            if prompted and state is None:
                state = RunState(starting=False)
            if not (entries or chunks or turn or state):
                return
            self._unwritten = (entries, chunks)
            batch = Batch(entries=entries, chunks=chunks, turn=turn, state=state)
            done = await self._log.commit(self._lease, self._chat_id, batch)
            self._unwritten = ((), ())
            self._prompted = self._prompted and not prompted
            self._recorder.placed(entries, done.positions)
        self._feed.committed(chunks, [entry.id for entry in entries if not entry.open])
        asked = any(entry.kind in ("permission", "question") for entry in entries)
        self._feed.tell(log=True, state=asked or state is not None)

    async def commit_patiently(self, *, turn: TurnInfo, state: RunState) -> None:
        """As `commit`, for the end of a turn: it waits for room, a lock or a server, however long that takes."""
        tries = 0
        while True:
            try:
                await self.commit(turn=turn, state=state)
            except StoreError as error:
                tries += 1
                if tries >= TRIES and not isinstance(error, PASSING):
                    raise
                if tries == TRIES:
                    self.stuck = error.message
                    self._feed.tell(state=True)
                await asyncio.sleep(AGAIN)
            else:
                self.stuck = ""
                return


def joined(
    older: tuple[tuple[Entry, ...], tuple[Chunk, ...]], newer: tuple[tuple[Entry, ...], tuple[Chunk, ...]]
) -> tuple[tuple[Entry, ...], tuple[Chunk, ...]]:
    """Two lots of what is to be written as one: the newer value of an entry wins, chunks of a closed one go."""
    entries = {entry.id: entry for entry in (*older[0], *newer[0])}
    closed = {entry.id for entry in entries.values() if not entry.open}
    return tuple(entries.values()), tuple(c for c in (*older[1], *newer[1]) if c.entry_id not in closed)
