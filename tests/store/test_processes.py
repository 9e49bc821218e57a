"""Several processes on one file: all see all commits, one runs a directory, and a killed one loses nothing."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coder_nb.core.entries import Text
from coder_nb.core.transcript import Transcript
from coder_nb.errors import RunElsewhere
from coder_nb.store.base import Batch, Owner
from coder_nb.testing.contracts import begin, text

pytestmark = pytest.mark.anyio
CHILD = Path(__file__).with_name("child.py")


@asynccontextmanager
async def child(what: str, database: str, *rest: str) -> AsyncIterator[Process]:
    """Another process on the store; gone at the end, whatever happened."""
    process = await asyncio.create_subprocess_exec(sys.executable, str(CHILD), what, database, *rest, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process) -> str:
    """The next line that the other process says."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()


async def test_a_reader_in_another_process_sees_every_commit(opened, database: str) -> None:
    store = await opened()
    transcript, states = Transcript(), set()
    async with asyncio.timeout(60), child("write", database, "60") as writer:
        chat_id = await line(writer)
        async for _ in store.watch():
            more = True
            while more:
                page = await store.log.read(chat_id, after=transcript.rev, limit=7)
                transcript.apply(page)
                more = page.more
            states.add(transcript.rev)
            if transcript.rev == 120:
                break
    assert [entry.body for entry in transcript] == [Text(text=f"word {n}.") for n in range(60)]
    assert len(states) > 2


async def test_nobody_is_woken_by_their_own_commits(opened, here: Owner) -> None:
    store, other = await opened(), await opened()
    lease, chat_id = await begin(store, here)
    wakings = store.watch()
    async with asyncio.timeout(30):
        await anext(wakings)
        await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "mine"),)))
        waiting = asyncio.ensure_future(anext(wakings))
        seen = await other.leases.acquire("/other", here, ttl=9)
        await waiting
    assert seen.generation == 1


async def test_two_processes_write_at_once_and_lose_nothing(opened, database: str, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here, "/mine")
    async with asyncio.timeout(60), child("write", database, "40") as writer:
        theirs = await line(writer)
        for n in range(80):
            await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, str(n)),)))
        while await line(writer) != "done":
            pass
    assert [e.body for e in (await store.log.tail(chat_id, 99)).entries] == [Text(text=str(n)) for n in range(80)]
    assert len((await store.log.tail(theirs, 99)).entries) == 40


async def test_a_directory_is_run_by_one_process_until_it_is_dead(opened, database: str, here: Owner) -> None:
    store = await opened()
    async with asyncio.timeout(60), child("hold", database) as holder:
        assert "generation=1" in await line(holder)
        with pytest.raises(RunElsewhere, match="run by the other process: watch them here"):
            await store.leases.acquire("/held", here, ttl=60)
        found = await store.leases.holder("/held")
        assert found is not None
        assert found.pid == holder.pid
        holder.send_signal(signal.SIGKILL)
        await holder.wait()
        assert await store.leases.holder("/held") is None
        assert (await store.leases.acquire("/held", here, ttl=60)).generation == 2


@pytest.mark.parametrize("seed", range(4))
async def test_after_kill_9_every_acknowledged_commit_is_there(opened, database: str, seed: int) -> None:
    """Law 6. The killing falls between two commits or into one, as the seed has it."""
    chance = random.Random(seed)
    async with asyncio.timeout(60), child("write", database, "100000") as writer:
        chat_id = await line(writer)
        acknowledged = 0
        for _ in range(chance.randrange(1, 60)):
            acknowledged = int(await line(writer))
        for _ in range(chance.randrange(0, 200)):
            await asyncio.sleep(0)
        writer.send_signal(signal.SIGKILL)
        await writer.wait()
        assert writer.stdout is not None
        said = (await writer.stdout.read()).decode().split("\n")
        acknowledged = max([acknowledged, *(int(word) for word in said[:-1])])
    store = await opened()
    page = await store.log.tail(chat_id, 100_000)
    assert page.rev >= acknowledged
    assert [entry.pos for entry in page.entries] == list(range(1, (page.rev + 1) // 2 + 1))
    for n, entry in enumerate(page.entries):
        assert entry.body == Text(text=f"word {n}." if not entry.open else f"word {n}")
    assert [entry.open for entry in page.entries].count(True) == page.rev % 2


async def test_processes_that_open_a_new_store_at_once_make_one(request: pytest.FixtureRequest, engine: str) -> None:
    database = str(request.getfixturevalue("path" if engine == "sqlite" else "postgres_url"))
    async with asyncio.timeout(60):
        async with (
            child("write", database, "1") as a,
            child("write", database, "1") as b,
            child("write", database, "1") as c,
        ):
            said = [[await line(process) for _ in range(4)] for process in (a, b, c)]
    assert [last for *_, last in said] == ["done"] * 3
    assert len({chat_id for chat_id, *_ in said}) == 3


async def test_a_store_that_nobody_closed_does_not_hold_up_the_end(database: str) -> None:
    async with asyncio.timeout(30), child("forget", database) as process:
        assert await line(process) == "ends"
        assert await process.wait() == 0
