"""Kill anywhere: a writer is killed at a random moment, over and over, and after each time the database is right."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from store.nursery import TOKENS, settle

from coder_nb.core.entries import Entry
from coder_nb.core.transcript import Transcript
from coder_nb.ids import new_id
from coder_nb.store.base import Batch, Owner
from coder_nb.store.open import SqlStore
from coder_nb.testing.contracts import begin, fold, read_all, text

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
KILLS = 1000 if os.environ.get("CODER_NB_TEST_LONG") else 50
GENERATIONS = 5
"""How many writers follow one another in one chat."""
WHEN = (-40, 80)
"""Between how many milliseconds a writer is killed: after it has begun to work, or while it opens the store."""


class Nursery:
    """The process that makes writers and kills them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def kill_one(self, path: str, notes: Path, *, seed: int, after: int) -> int:
        """Lets a writer live for so many milliseconds; returns how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path} {notes} {seed} {after}\n".encode())
        async with asyncio.timeout(60):
            return int(await self._process.stdout.readline())


@asynccontextmanager
async def nursery(database: str) -> AsyncIterator[Nursery]:
    program = Path(__file__).with_name("nursery.py")
    process = await asyncio.create_subprocess_exec(sys.executable, str(program), database, stdin=PIPE, stdout=PIPE)
    try:
        yield Nursery(process)
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="forks writers and waits for them by pidfd")
async def test_a_writer_is_killed_at_any_moment_and_the_store_is_right(
    opened, database: str, here: Owner, tmp_path: Path
) -> None:
    chance = random.Random(1)
    store, watching = await opened(), await opened()
    async with asyncio.TaskGroup() as tasks, nursery(database) as writers:
        load = tasks.create_task(write_meanwhile(await opened(), here), name="load")
        ended = Counter[int]()
        for kill in range(KILLS):
            number = kill // GENERATIONS
            path, notes = f"/killed/{number}", tmp_path / f"notes-{number}"
            ended[await writers.kill_one(path, notes, seed=kill, after=chance.randint(*WHEN))] += 1
            await check(store, watching, here, path, notes)
        load.cancel()
    assert ended == {-9: KILLS}
    assert len(await store.catalog.sessions()) > KILLS // GENERATIONS // 2  # else they hardly came to anything


async def write_meanwhile(store: SqlStore, here: Owner) -> None:
    """Load: another writer on the same database."""
    lease, chat_id = await begin(store, msgspec.structs.replace(here, runtime_id="load"), "/load")
    while True:
        await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "x" * 500),)))
        await asyncio.sleep(0.002)


async def check(store: SqlStore, watching: SqlStore, here: Owner, path: str, notes: Path) -> None:
    """The state as the killed writer left it, and as it is when another has taken over."""
    kept = noted(notes)
    session = next((each for each in await store.catalog.sessions() if each.path == path), None)
    if session is None or not session.chats:
        assert not kept
        return
    (chat_id,) = session.chats
    reader = Transcript()
    for page in await read_all(watching, chat_id, limit=random.Random(len(kept)).randrange(1, 20)):
        reader.apply(page)  # a reader that was there before the takeover
    await look(store, chat_id, kept, settled=False)
    lease = await store.leases.acquire(path, msgspec.structs.replace(here, runtime_id=new_id()), ttl=60)
    await settle(store, lease)
    await look(store, chat_id, kept, settled=True)
    await store.leases.release(lease)
    for page in await read_all(watching, chat_id, after=reader.rev, limit=3):
        reader.apply(page)
    whole = fold(await read_all(store, chat_id))
    assert [msgspec.structs.replace(entry, rev=0) for entry in reader] == whole


def noted(notes: Path) -> dict[str, set[str]]:
    """What the writers of a chat were promised so far."""
    kept: dict[str, set[str]] = {}
    for line in notes.read_text().splitlines() if notes.exists() else []:
        what, key = line.split()
        kept.setdefault(what, set()).add(key)
    return kept


async def look(store: SqlStore, chat_id: str, kept: dict[str, set[str]], *, settled: bool) -> None:
    """The invariants: of order, of turns, of promises, and of figures."""
    chat = await store.catalog.get_chat(chat_id)
    entries = (await store.log.tail(chat_id, 1_000_000)).entries
    turns = await store.turns.of_chat(chat_id)
    in_order(entries, chat.rev)
    ends = Counter(entry.turn_id for entry in entries if entry.kind == "turn_ended")
    assert set(ends.values()) <= {1}
    assert {turn.id for turn in turns if turn.end} == set(ends)
    open_turns = [turn for turn in turns if not turn.end]
    assert [turn.id for turn in open_turns] == ([chat.turn_id] if chat.turn_id else [])
    assert len(open_turns) <= (0 if settled else 1)
    one_after_another(entries, [turn.id for turn in turns])
    assert all(entry.turn_id not in ends for entry in entries if entry.open)

    prompts = [turn.prompt_id for turn in turns]
    waiting = [prompt.id for prompt in chat.queued]
    assert len(set(prompts + waiting)) == len(prompts + waiting)
    assert kept.get("accepted", set()) <= {*prompts, *waiting}
    assert kept.get("started", set()) <= {turn.id for turn in turns}
    assert kept.get("ended", set()) <= {turn.id for turn in turns if turn.end == "completed"}
    for change_id in kept.get("changed", ()):
        assert (await store.changes.get(change_id)).chat_id == chat_id
    if settled:
        assert chat.run_status == ("idle" if turns else "initializing")
        assert not [entry for entry in entries if entry.open]

    usage = await store.turns.usage(chat_id)
    reported = Counter(row.turn_id for row in usage)
    completed = {turn.id for turn in turns if turn.end == "completed"}
    assert completed <= set(reported)
    assert set(reported.values()) <= {1}
    assert sum(row.tokens.input or 0 for row in usage) == TOKENS * len(reported)


def in_order(entries: tuple[Entry, ...], rev: int) -> None:
    assert [entry.pos for entry in entries] == list(range(1, len(entries) + 1))
    assert len({entry.id for entry in entries}) == len(entries)
    assert all(0 < entry.rev <= rev for entry in entries)
    native = [entry.native_id for entry in entries if entry.native_id]
    assert len(set(native)) == len(native)


def one_after_another(entries: tuple[Entry, ...], turns: list[str]) -> None:
    """No turn begins before the one before it has ended, and nothing is said in a turn after its end."""
    order = [entry.turn_id for entry in entries]
    runs = [turn for n, turn in enumerate(order) if n == 0 or order[n - 1] != turn]
    assert runs == turns
    for turn_id in turns:
        mine = [entry.kind for entry in entries if entry.turn_id == turn_id]
        assert mine[0] == "turn_started"
        assert "turn_ended" not in mine[:-1]
