"""Law 5: whatever is committed, and however it is read meanwhile, the fold is the same."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_nb.core.entries import Chunk, Entry, Text, ToolCall
from coder_nb.core.transcript import Transcript
from coder_nb.errors import StoreError
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.store.base import Batch, Lease, Owner
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.owner import this_process
from coder_nb.testing.contracts import begin, fold, read_all, text

pytestmark = pytest.mark.anyio

WORDS = st.text(alphabet="aé👋 \n\0", min_size=1, max_size=5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(0, 5), WORDS),
        st.tuples(st.just("stream"), st.integers(0, 5), WORDS),
        st.tuples(st.just("close"), st.integers(0, 5), WORDS),
        st.tuples(st.just("call"), st.integers(0, 5), WORDS),
        st.tuples(st.just("commit"), st.integers(0, 0), WORDS),
        st.tuples(st.just("read"), st.integers(1, 4), WORDS),
    ),
    max_size=40,
)


class Runner:
    """Plays steps as a runner and as a slow reader, and knows what the transcript must be in the end."""

    def __init__(self, store: SqlStore, lease: Lease, chat_id: str) -> None:
        self.store, self.lease, self.chat_id = store, lease, chat_id
        self.entries: list[Entry] = []
        self.texts: dict[str, str] = {}
        self.batch: dict[str, Entry] = {}
        self.chunks: list[Chunk] = []
        self.reader = Transcript()

    async def step(self, what: str, number: int, words: str) -> None:
        if what == "open":
            self._put(text(self.chat_id, "", open=True, native_id=f"n{len(self.entries)}"), "")
        elif what == "call":
            self._put(Entry(id=new_id(), chat_id=self.chat_id, body=ToolCall(name="terminal", title=words)), None)
        elif what == "commit":
            await self.commit()
        elif what == "read":
            self.reader.apply(await self.store.log.read(self.chat_id, after=self.reader.rev, limit=number))
        elif growing := [entry for entry in self.entries if entry.open]:
            entry = growing[number % len(growing)]
            so_far = self.texts[entry.id]
            self.texts[entry.id] = so_far + words
            if what == "stream":
                self.chunks.append(Chunk(entry_id=entry.id, offset=len(so_far), text=words))
            else:
                closed = msgspec.structs.replace(entry, open=False, body=Text(text=so_far + words))
                self.entries[self.entries.index(entry)] = closed
                self.batch[entry.id] = closed

    def _put(self, entry: Entry, words: str | None) -> None:
        self.entries.append(entry)
        self.batch[entry.id] = entry
        if words is not None:
            self.texts[entry.id] = words

    async def commit(self) -> None:
        batch = Batch(entries=tuple(self.batch.values()), chunks=tuple(self.chunks))
        committed = await self.store.log.commit(self.lease, self.chat_id, batch)
        positions = dict(zip(self.batch, committed.positions, strict=True))
        self.entries = [msgspec.structs.replace(e, pos=positions.get(e.id, e.pos)) for e in self.entries]
        self.batch, self.chunks = {}, []

    def expected(self) -> list[Entry]:
        return [
            msgspec.structs.replace(e, body=Text(text=self.texts[e.id])) if e.id in self.texts else e
            for e in self.entries
        ]


async def play(store: SqlStore, steps: list[tuple[str, int, str]], limit: int) -> None:
    """One chat from its first to its last commit, read slowly meanwhile and wholly at the end."""
    runner = Runner(store, *await begin(store, this_process("r")))
    for step in steps:
        await runner.step(*step)
    await runner.commit()
    whole = fold(await read_all(store, runner.chat_id))
    assert whole == runner.expected()
    for page in await read_all(store, runner.chat_id, after=runner.reader.rev, limit=limit):
        runner.reader.apply(page)
    assert [msgspec.structs.replace(entry, rev=0) for entry in runner.reader] == whole
    assert fold(await read_all(store, runner.chat_id, limit=limit)) == whole


def test_reading_from_any_cursor_gives_the_same_transcript(database: str) -> None:
    with asyncio.Runner() as loop:
        store = loop.run(open_store(Settings(database=database)))

        @settings(max_examples=100, deadline=None)
        @given(STEPS, st.integers(1, 7))
        def holds(steps: list[tuple[str, int, str]], limit: int) -> None:
            loop.run(play(store, steps, limit))

        try:
            holds()
        finally:
            loop.run(store.close())


async def test_a_page_ends_where_it_has_a_megabyte_and_what_is_left_is_in_the_next(opened, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    for letter in "abcdef":
        await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, letter * 400_000),)))
    growing = text(chat_id, "", open=True)
    await store.log.commit(lease, chat_id, Batch(entries=(growing,)))
    for at in range(3):
        chunk = Chunk(entry_id=growing.id, offset=at * 600_000, text="g" * 600_000)
        await store.log.commit(lease, chat_id, Batch(chunks=(chunk,)))
    pages = await read_all(store, chat_id, limit=500)
    assert [len(page.entries) + len(page.chunks) for page in pages] == [3, 3, 1, 1]  # what streams comes as one
    assert [page.more for page in pages] == [True, True, True, False]
    assert [entry.body for entry in fold(pages)][-1] == Text(text="g" * 1_800_000)
    assert len(fold(pages)) == 7


async def test_an_entry_ended_in_the_batch_that_opened_it_leaves_no_chunks(opened, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    growing = text(chat_id, "", open=True)
    closed = text(chat_id, "all of it", id=growing.id)
    await store.log.commit(lease, chat_id, Batch(entries=(growing, closed)))
    page = await store.log.read(chat_id)
    assert [(entry.pos, entry.body, entry.open) for entry in page.entries] == [(1, Text(text="all of it"), False)]
    assert page.chunks == ()


async def test_text_streamed_into_a_repeated_entry_reaches_the_one_that_stands(opened, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    first = text(chat_id, "", open=True, native_id="n")
    await store.log.commit(lease, chat_id, Batch(entries=(first,)))
    again = text(chat_id, "", open=True, native_id="n")
    chunk = Chunk(entry_id=again.id, offset=0, text="hello")
    committed = await store.log.commit(lease, chat_id, Batch(entries=(again,), chunks=(chunk,)))
    assert committed.ids == (first.id,)
    (entry,) = (await store.log.tail(chat_id, 5)).entries
    assert (entry.id, entry.body) == (first.id, Text(text="hello"))


async def test_a_read_sees_one_moment_while_others_write(opened, here: Owner) -> None:
    """Pages read while a writer works are each consistent, and together the whole."""
    store = await opened()
    lease, chat_id = await begin(store, here)
    reader = Transcript()

    async def write() -> None:
        for n in range(40):
            growing = text(chat_id, "", open=True)
            chunk = Chunk(entry_id=growing.id, offset=0, text=f"word {n}")
            ((pos,),) = [(await store.log.commit(lease, chat_id, Batch(entries=(growing,), chunks=(chunk,)))).positions]
            closed = text(chat_id, f"word {n}.", id=growing.id, pos=pos)
            await store.log.commit(lease, chat_id, Batch(entries=(closed,)))

    async def read() -> None:
        while reader.rev < 80:
            page = await store.log.read(chat_id, after=reader.rev, limit=3)
            assert all(entry.body.text for entry in page.entries)
            reader.apply(page)

    async with asyncio.timeout(30):
        await asyncio.gather(write(), read())
    assert [entry.body.text for entry in reader] == [f"word {n}." for n in range(40)]


async def test_a_cancelled_call_leaves_no_open_transaction(opened, here: Owner) -> None:
    store, other = await opened(), await opened(busy_timeout=0.0)
    lease, chat_id = await begin(store, here)
    for turns in range(12):
        task = asyncio.create_task(
            store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "x"),))), name="commit"
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # Another connection that would not wait a moment for a lock gets it: nothing is left open.
        await other.leases.acquire(f"/other/{turns}", here, ttl=1)
    page = await store.log.tail(chat_id, 100)
    assert [entry.pos for entry in page.entries] == list(range(1, page.rev + 1))


async def test_a_cancelled_read_gives_its_connection_back(opened, here: Owner) -> None:
    store = await opened()
    _, chat_id = await begin(store, here)
    for turns in range(12):
        task = asyncio.create_task(store.log.read(chat_id), name="read")
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(60):
        await asyncio.gather(*(store.log.read(chat_id) for _ in range(8)))


async def test_a_native_id_learnt_late_stays_with_the_entry_that_had_it(opened, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    first, second = text(chat_id, "first", native_id="n"), text(chat_id, "second")
    await store.log.commit(lease, chat_id, Batch(entries=(first, second)))
    learnt = msgspec.structs.replace(second, pos=2, native_id="n", body=Text(text="learnt"))
    await store.log.commit(lease, chat_id, Batch(entries=(learnt,)))
    both = msgspec.structs.replace(second, native_id="n", body=Text(text="both"))
    await store.log.commit(lease, chat_id, Batch(entries=(both,)))
    entries = (await store.log.tail(chat_id, 9)).entries
    assert [(e.id, e.native_id, e.body) for e in entries] == [
        (first.id, "n", Text(text="first")),
        (second.id, None, Text(text="both")),
    ]


async def test_closing_lets_what_is_being_written_end(opened, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    batches = [Batch(entries=(text(chat_id, str(n)),)) for n in range(5)]
    calls = [asyncio.ensure_future(store.log.commit(lease, chat_id, batch)) for batch in batches]
    calls += [asyncio.ensure_future(store.log.read(chat_id)) for _ in range(5)]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await asyncio.gather(store.close(), store.close())
        done = await asyncio.gather(*calls, return_exceptions=True)
    told = [result.rev for result in done[:5] if not isinstance(result, BaseException)]
    assert all("is closed: open it again" in str(error) for error in done if isinstance(error, BaseException))
    assert (await (await opened()).log.read(chat_id)).rev == max(told)


async def test_calls_after_close_say_so(opened, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="is closed: open it again"):
        await store.log.read(chat_id)
    with pytest.raises(StoreError, match="is closed: open it again"):
        await store.log.commit(lease, chat_id, Batch())
    assert [None async for _ in store.watch()] == []


def test_knowing_what_a_store_is_loads_no_sql() -> None:
    import subprocess
    import sys

    code = "import sys, coder_nb.store.base; print({'sqlalchemy', 'alembic', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


async def test_what_is_no_text_is_refused_at_once(opened, here: Owner) -> None:
    store = await opened()
    with pytest.raises(StoreError, match="takes text only, and this is none .* rename the file or path"):
        await store.leases.acquire("/half a pair \ud800", here, ttl=9)
    assert (await store.leases.acquire("/whole", here, ttl=9)).generation == 1
