"""What is PostgreSQL's own: a server that is gone, refuses, is full or far behind, and how others are told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from subprocess import run
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
from support.postgres import PostgresServer

from coder_nb.core.entries import Text
from coder_nb.core.transcript import Transcript
from coder_nb.errors import CoderError, LeaseLost, StoreDamaged, StoreError, StoreFull, StoreUnreachable
from coder_nb.settings import Settings
from coder_nb.store import database as patience
from coder_nb.store.base import Batch, Owner
from coder_nb.store.guard import guard_chat
from coder_nb.store.open import SqlStore, open_store
from coder_nb.testing.contracts import begin, text

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
DEADLINE = 60.0


@pytest.fixture
def engine() -> str:
    """This is about servers."""
    return "postgresql"


async def refused(database: str) -> CoderError:
    """What opening a store says, which never holds the password."""
    with pytest.raises(CoderError) as raised:
        await open_store(Settings(database=database))
    assert (urlsplit(database).password or "-") not in str(raised.value)
    return raised.value


async def test_a_server_that_is_not_there_is_named_with_the_cure(postgres: PostgresServer) -> None:
    nowhere = postgres.url("postgres").replace(f":{postgres.port}/", ":1/")
    error = await refused(nowhere)
    assert isinstance(error, StoreUnreachable)
    assert "postgresql://127.0.0.1:1/postgres cannot be reached" in error.message
    assert "see that PostgreSQL runs there" in error.message


async def test_what_the_server_refuses_is_said_with_the_cure(postgres: PostgresServer) -> None:
    wrong = await refused(postgres.url("postgres", password="not-this-one"))
    assert "refuses the user or the password: put the right ones into CODER_NB_DATABASE" in wrong.message
    assert "does not exist: make it with `createdb`" in (await refused(postgres.url("nowhere"))).message


async def test_the_database_of_another_program_is_left_as_it_is(postgres: PostgresServer, postgres_url: str) -> None:
    postgres.sql("CREATE TABLE recipes (name TEXT)", url=postgres_url)
    error = await refused(postgres_url)
    assert isinstance(error, StoreDamaged)
    assert "belongs to another program (it has a table 'recipes')" in error.message
    tables = postgres.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema='public'", url=postgres_url
    )
    assert tables == "recipes"


async def test_a_database_that_cannot_hold_every_text_is_refused(postgres: PostgresServer) -> None:
    postgres.sql("CREATE DATABASE narrow TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'")
    error = await refused(postgres.url("narrow"))
    assert "does not keep text as UTF-8: make one that does" in error.message


async def test_a_standby_is_said_to_be_one(opened, database: str, here: Owner, postgres: PostgresServer) -> None:
    await (await opened()).close()
    name = urlsplit(database).path[1:]
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        store = await opened()
        assert await store.catalog.sessions() == ()
        with pytest.raises(StoreError, match="is read only, as a standby is"):
            await store.leases.acquire("/x", here, ttl=1)
    finally:
        postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = off")


async def test_only_those_are_woken_whom_a_commit_is_about(opened, here: Owner) -> None:
    store, other = await opened(), await opened()
    lease, chat_id = await begin(store, here)
    async with asyncio.timeout(DEADLINE), aclosing(other.watch()) as told:
        assert await anext(told) is None
        await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "x"),)))
        assert await anext(told) == {chat_id}
        await store.leases.release(lease)
        assert await anext(told) is None


async def test_readers_and_writers_go_on_by_themselves_after_a_crash(
    opened, here: Owner, postgres: PostgresServer
) -> None:
    """Nothing that was acknowledged is lost, and a reader that only waits to be told ends with all of it."""
    writers = [await opened() for _ in range(3)]
    reading = await opened()
    places = [
        await begin(store, msgspec.structs.replace(here, runtime_id=f"r{n}"), f"/w/{n}")
        for n, store in enumerate(writers)
    ]
    stopping = asyncio.Event()

    async def write(store: SqlStore, number: int) -> int:
        lease, chat_id = places[number]
        written = 0
        while not stopping.is_set():
            await store.log.commit(
                lease, chat_id, Batch(entries=(text(chat_id, str(written), native_id=str(written)),))
            )
            written += 1
        return written

    async def follow(chat_id: str, known: Transcript) -> None:
        async with aclosing(reading.watch()) as told:
            async for chats in told:
                more = chats is None or chat_id in chats
                while more:
                    page = await reading.log.read(chat_id, after=known.rev, limit=7)
                    known.apply(page)
                    more = page.more

    async with asyncio.timeout(4 * DEADLINE), asyncio.TaskGroup() as tasks:
        writing = [tasks.create_task(write(store, n)) for n, store in enumerate(writers)]
        transcripts = [Transcript() for _ in places]
        following = [tasks.create_task(follow(chat_id, t)) for (_, chat_id), t in zip(places, transcripts, strict=True)]
        for _ in range(int(os.environ.get("CODER_NB_TEST_LONG", 0)) * 18 + 2):
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(postgres.start)
            await asyncio.sleep(0.2)  # under load again
        stopping.set()
        written = [await task for task in writing]
        for transcript, count in zip(transcripts, written, strict=True):
            while len(list(transcript)) < count:  # noqa: ASYNC110  # what it follows has no event of its own
                await asyncio.sleep(0.01)
        for task in following:
            task.cancel()
    for transcript, count in zip(transcripts, written, strict=True):
        assert [entry.body for entry in transcript] == [Text(text=str(n)) for n in range(count)]
        assert [entry.pos for entry in transcript] == list(range(1, count + 1))


async def test_a_call_gives_up_after_a_while_and_says_where_it_got_stuck(
    opened, here: Owner, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.1)
    store = await opened()
    await asyncio.to_thread(postgres.stop)
    try:
        with pytest.raises(StoreUnreachable, match="what was committed is safe"):
            await store.catalog.sessions()
    finally:
        await asyncio.to_thread(postgres.start)
    monkeypatch.undo()
    assert await store.catalog.sessions() == ()


async def test_a_transaction_that_is_paused_gives_way_and_is_refused_when_it_wakes_up(
    opened, here: Owner, database: str
) -> None:
    """A process that sleeps in the middle of a commit keeps nobody from taking its lease."""
    store, other = await opened(), await opened()
    async with store._database.write() as tx:
        await tx._driver.execute("SET idle_in_transaction_session_timeout = 200")
    dead = msgspec.structs.replace(here, runtime_id="dead", pid_started=0.0)
    lease, chat_id = await begin(await opened(), dead)

    async def sleeps_in_a_commit() -> None:
        async with store._database.write() as tx:
            await guard_chat(tx, lease, chat_id)
            await other.leases.acquire(lease.path, here, ttl=9)
            await guard_chat(tx, lease, chat_id)

    with pytest.raises(StoreUnreachable):
        await sleeps_in_a_commit()
    assert await other.leases.holder(lease.path) == here
    with pytest.raises(LeaseLost):
        await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "late"),)))


async def test_a_commit_that_is_under_way_is_seen_by_whoever_takes_over(opened, here: Owner) -> None:
    store, other = await opened(), await opened()
    dead = msgspec.structs.replace(here, runtime_id="dead", pid_started=0.0)
    lease, chat_id = await begin(store, dead)
    async with asyncio.timeout(DEADLINE):
        async with store._database.write() as tx:
            await guard_chat(tx, lease, chat_id)
            taking = asyncio.ensure_future(other.leases.acquire(lease.path, here, ttl=9))
            await waits_for_a_lock(store)
            assert not taking.done()
        assert (await taking).generation == lease.generation + 1


async def waits_for_a_lock(store: SqlStore) -> None:
    """Returns when some connection waits for another one."""
    driver = await asyncpg.connect(store._database._url)
    try:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not await driver.fetchval(waiting):  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.01)
    finally:
        await driver.close()


@pytest.fixture
def small_disk(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    """A file system of 16 MB on which PostgreSQL may keep tables."""
    folder = postgres.folder / "small"
    folder.mkdir()
    mounted = run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this user may not mount: {mounted.stderr.strip()}")
    os.chown(folder, postgres.uid, -1)
    postgres.sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
    yield folder
    postgres.sql("DROP DATABASE IF EXISTS filled WITH (FORCE)")
    postgres.sql("DROP TABLESPACE small")
    run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_said_and_loses_nothing(small_disk: Path, postgres: PostgresServer, here: Owner) -> None:
    postgres.sql("CREATE DATABASE filled TEMPLATE template0 TABLESPACE small")
    store = await open_store(Settings(database=postgres.url("filled")))
    lease, chat_id = await begin(store, here)
    rev = 0

    async def fill() -> None:
        nonlocal rev
        while True:
            body = os.urandom(30_000).hex()
            rev = (await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, body),)))).rev

    with pytest.raises(
        StoreFull, match=r"takes no more .* free some space there, then go on; what was committed is safe"
    ):
        await fill()
    assert rev > 0
    page = await store.log.tail(chat_id, 1000)
    assert page.rev == len(page.entries) == rev
    await asyncio.to_thread(run, ["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert (await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "again"),)))).rev == rev + 1
    await store.close()
