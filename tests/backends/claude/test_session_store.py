"""The SDK's own contracts of a session store, and what they leave out, on both engines."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from claude_agent_sdk import SessionKey, SessionStoreEntry, fold_session_summary, list_sessions_from_store
from claude_agent_sdk.testing import run_session_store_conformance

from coder_nb.backends.claude.session_store import ClaudeSessionStore
from coder_nb.backends.history import History, HistoryKey
from coder_nb.errors import StoreError, StoreLocked
from coder_nb.settings import Settings
from coder_nb.store.open import open_store

pytestmark = pytest.mark.anyio
KEY: SessionKey = {"project_key": "-home-user-project", "session_id": "3f0c5a52-0d6c-4a43-9d0f-5f6b2c7b8f10"}
Make = Callable[..., Awaitable[ClaudeSessionStore]]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """The settings' value for a database of its own, each time."""
    count = 0

    def fresh() -> str:
        nonlocal count
        count += 1
        if request.param == "sqlite":
            return str(tmp_path / f"{count}.sqlite")
        return cast(str, request.getfixturevalue("postgres").database())

    return fresh


@pytest.fixture
async def make(database: Callable[[], str], tmp_path: Path) -> AsyncIterator[Make]:
    """Makes session stores, each on an empty database unless it is given a history."""
    async with contextlib.AsyncExitStack() as stack:

        async def another(history: History | None = None, *, spool: str = "", bound: float = 5.0) -> ClaudeSessionStore:
            if history is None:
                store = await open_store(Settings(database=database()))
                stack.push_async_callback(store.close)
                history = store.history
            folder = tmp_path / (spool or f"spool-{id(history)}")
            made = ClaudeSessionStore(history, folder, bound=bound)
            stack.push_async_callback(made.close)
            return made

        yield another


def entry(**fields: Any) -> SessionStoreEntry:
    return cast(SessionStoreEntry, {"type": "user", **fields})


async def test_it_keeps_the_contracts_of_the_sdk(make: Make) -> None:
    await run_session_store_conformance(make)


async def test_each_uuid_is_stored_once_however_batches_repeat_and_overlap(make: Make) -> None:
    store = await make()
    one, two, three = (entry(uuid=str(n), n=n) for n in (1, 2, 3))
    await store.append(KEY, [one, two])
    await store.append(KEY, [one, two])
    await store.append(KEY, [two, three])
    assert await store.load(KEY) == [one, two, three]


async def test_entries_without_uuid_are_all_kept(make: Make) -> None:
    store = await make()
    mark = entry(type="last-prompt", text="same")
    await store.append(KEY, [mark, entry(uuid="1"), mark])
    await store.append(KEY, [mark, entry(uuid="1"), mark])
    assert await store.load(KEY) == [mark, entry(uuid="1"), mark, mark, mark]


async def test_whatever_json_holds_comes_back(make: Make) -> None:
    store = await make()
    odd = entry(
        uuid="1",
        text="half \ud83d and \0 and \U0001f600 and \udfff",
        number=2**70 + 1,
        tiny=-(2**63) - 1,
        nested={"\ud800": [None, True, 1e300, {}]},
    )
    usual = entry(uuid="2", text="\0 \U0001f600", number=2**70 + 1, tiny=-(2**63) - 1, nested=[None, {"": 1e-7}, -0.0])
    await store.append(KEY, [odd, usual])
    assert await store.load(KEY) == [odd, usual]


async def test_a_subagents_entries_touch_neither_time_nor_summary(make: Make) -> None:
    store = await make()
    await store.append(KEY, [entry(uuid="1", message={"content": "the first prompt"})])
    listed, summaries = (
        await store.list_sessions("-home-user-project"),
        await store.list_session_summaries("-home-user-project"),
    )
    await asyncio.sleep(0.005)  # its clock counts milliseconds
    await store.append({**KEY, "subpath": "subagents/agent-1"}, [entry(uuid="2", message={"content": "another"})])
    assert await store.list_sessions("-home-user-project") == listed
    assert await store.list_session_summaries("-home-user-project") == summaries


async def test_summaries_are_folded_under_concurrency_and_by_repeats_alike(make: Make) -> None:
    store = await make()
    batches = [[entry(uuid=f"{n}", type="summary", summary=f"title {n}")] for n in range(20)]
    for batch in batches[:10]:
        await store.append(KEY, batch)
    await store.append(KEY, batches[3])
    (summary,) = await store.list_session_summaries(KEY["project_key"])
    expected = None
    for batch in batches[:10]:
        expected = fold_session_summary(expected, KEY, batch)
    assert expected is not None
    assert summary["data"] == expected["data"]
    keys: list[SessionKey] = [{**KEY, "session_id": f"s{n}"} for n in range(4)]
    await asyncio.gather(*(store.append(key, batch) for batch in batches for key in keys))
    infos = await store.list_session_summaries(KEY["project_key"])
    assert {info["session_id"] for info in infos} == {KEY["session_id"], "s0", "s1", "s2", "s3"}
    assert {info["data"]["summary_hint"] for info in infos[1:]} <= {f"title {n}" for n in range(20)}


async def test_the_sdk_lists_sessions_by_their_summaries(make: Make, tmp_path: Path) -> None:
    from claude_agent_sdk import project_key_for_directory

    store = await make()
    key: SessionKey = {"project_key": project_key_for_directory(tmp_path), "session_id": KEY["session_id"]}
    await store.append(
        key,
        [entry(uuid="1", sessionId=key["session_id"], cwd=str(tmp_path), message={"role": "user", "content": "Hello"})],
    )
    (info,) = await list_sessions_from_store(store, directory=str(tmp_path))
    assert (info.session_id, info.first_prompt) == (key["session_id"], "Hello")


async def test_entries_that_cannot_be_summarised_are_kept(make: Make) -> None:
    store = await make()
    strange = cast(SessionStoreEntry, {"type": "user", "uuid": "1", "timestamp": {"no": "text"}, "message": 7})
    await store.append(KEY, [strange])
    assert await store.load(KEY) == [strange]


async def test_owners_in_one_database_know_nothing_of_each_other(make: Make, database: Callable[[], str]) -> None:
    store = await make()
    other = ClaudeSessionStore(store._history, Path("never"), space="another")
    await store.append(KEY, [entry(uuid="1")])
    assert await other.load(KEY) is None
    assert await other.list_sessions(KEY["project_key"]) == []


# A database that is slow, hangs or fails -----------------------------------------------------------------------------


class Faulty:
    """A history that does not take appends while it is told not to; reads go through."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.fault: Callable[[], Awaitable[None]] | None = None
        self.appends = 0

    async def append(self, key: HistoryKey, items: Any, *, fold: Any = None) -> None:
        self.appends += 1
        if self.fault is not None:
            await self.fault()
        await self._history.append(key, items, fold=fold)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)


async def full() -> None:
    raise StoreError("The disk of the store takes no more: free some space.")


async def hangs() -> None:
    while True:  # as a driver's thread that nothing interrupts
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
            if STUCK.is_set():
                return


STUCK = asyncio.Event()


@pytest.fixture
async def faulty(make: Make) -> Faulty:
    STUCK.clear()
    return Faulty((await make())._history)


@pytest.mark.parametrize("fault", [full, hangs])
async def test_a_result_never_waits_for_a_database_that_fails(faulty: Faulty, make: Make, fault: Any) -> None:
    store = await make(cast(History, faulty), bound=0.1)
    await store.append(KEY, [entry(uuid="0")])
    faulty.fault = fault
    began = time.monotonic()
    for n in range(1, 6):
        await store.append(KEY, [entry(uuid=str(n)), entry(type="mark", n=n)])
    assert time.monotonic() - began < 3.0
    with pytest.raises(StoreLocked, match="is not all stored yet"):
        await store.load(KEY)
    faulty.fault = None
    STUCK.set()
    marks = [each for n in range(1, 6) for each in (entry(uuid=str(n)), entry(type="mark", n=n))]
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(StoreLocked):
                assert await store.load(KEY) == [entry(uuid="0"), *marks]
                break
    await store.append(KEY, [entry(uuid="6")])
    assert (await store.load(KEY) or [])[-1] == entry(uuid="6")
    assert faulty.appends <= 20


async def test_an_append_that_came_through_after_all_is_stored_once(faulty: Faulty, make: Make) -> None:
    """Slow, not failing: what was given up may still arrive, and is stored again from the disk."""
    store = await make(cast(History, faulty), bound=0.05)

    async def slow() -> None:
        faulty.fault = None
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.2)

    faulty.fault = slow
    batch = [entry(uuid="1"), entry(type="mark")]
    await store.append(KEY, batch)
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(StoreLocked):
                assert await store.load(KEY) == batch
                break


async def test_what_a_dead_process_left_on_disk_is_stored_by_the_next(faulty: Faulty, make: Make) -> None:
    first = await make(cast(History, faulty), spool="shared", bound=0.05)
    faulty.fault = full
    await first.append(KEY, [entry(uuid="1")])
    await first.append(KEY, [entry(uuid="2")])
    await first.close()
    faulty.fault = None
    second = await make(cast(History, faulty), spool="shared")
    assert await second.load(KEY) == [entry(uuid="1"), entry(uuid="2")]
    assert not list(second._spool.waiting())


async def test_what_was_left_comes_before_what_is_new(faulty: Faulty, make: Make) -> None:
    first = await make(cast(History, faulty), spool="shared", bound=0.05)
    faulty.fault = full
    await first.append(KEY, [entry(uuid="1")])
    await first.close()
    faulty.fault = None
    second = await make(cast(History, faulty), spool="shared")
    await second.append(KEY, [entry(uuid="2")])
    assert await second.load(KEY) == [entry(uuid="1"), entry(uuid="2")]


async def test_a_file_on_disk_that_cannot_be_read_is_put_aside(faulty: Faulty, make: Make, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "00000000000000000000000000.json").write_bytes(b'{"key": 1')
    store = await make(cast(History, faulty), spool="shared")
    await store.append(KEY, [entry(uuid="1")])
    assert await store.load(KEY) == [entry(uuid="1")]
    assert [path.suffix for path in (tmp_path / "shared").iterdir()] == [".damaged"]


async def test_an_append_that_is_cancelled_leaves_nothing_half_done(make: Make) -> None:
    store = await make()
    batch = [entry(uuid=str(n)) for n in range(50)]
    for step in range(8):
        key: SessionKey = {**KEY, "session_id": f"cancelled-{step}"}
        async with asyncio.TaskGroup() as tasks:
            append = tasks.create_task(store.append(key, batch))
            for _ in range(step * 2):
                await asyncio.sleep(0)
            append.cancel()
        await store.append(KEY, [entry(uuid=f"after {step}")])
        assert await store.load(key) in (None, batch)
    assert len(await store.load(KEY) or []) == 8
