"""What every store promises of kept histories, as numbered contracts; part of `store_conformance`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from coder_nb.backends.history import HistoryItem, HistoryKey
from coder_nb.store.base import Owner, Store

MAIN = HistoryKey(project="-home-user-project", session="s1")
PART = HistoryKey(project=MAIN.project, session=MAIN.session, part="subagents/agent-1")


def items(*ids: str | None) -> list[HistoryItem]:
    """An item for each id, which tells them apart."""
    return [HistoryItem(data=b'{"n": "%s"}' % str(each).encode(), id=each) for each in ids]


def datas(found: Sequence[HistoryItem]) -> list[bytes]:
    """What items hold."""
    return [item.data for item in found]


def counted(last: bytes | None, new: Sequence[HistoryItem]) -> bytes:
    """A summary that counts the items."""
    return str(int(last or b"0") + len(new)).encode()


async def h01_items_come_back_in_their_order(store: Store, here: Owner) -> None:
    assert await store.history.load(MAIN) is None
    await store.history.append(MAIN, items("b", "a"))
    await store.history.append(MAIN, items("z", None, "c"))
    assert await store.history.load(MAIN) == datas(items("b", "a", "z", None, "c"))


async def h02_appending_nothing_makes_no_history(store: Store, here: Owner) -> None:
    await store.history.append(MAIN, [], fold=counted)
    assert await store.history.load(MAIN) is None
    assert await store.history.sessions(MAIN.project) == []
    assert await store.history.summaries(MAIN.project) == []


async def h03_a_known_id_is_stored_once(store: Store, here: Owner) -> None:
    """A batch that is sent again, one that overlaps, and one that repeats itself."""
    await store.history.append(MAIN, items("a", "b"))
    await store.history.append(MAIN, items("a", "b"))
    await store.history.append(MAIN, items("b", "c", "c", "d"))
    assert await store.history.load(MAIN) == datas(items("a", "b", "c", "d"))
    await store.history.append(PART, items("a"))
    assert await store.history.load(PART) == datas(items("a"))


async def h04_items_without_an_id_are_all_kept(store: Store, here: Owner) -> None:
    await store.history.append(MAIN, items(None, "a", None))
    await store.history.append(MAIN, items(None, "a", None))
    assert await store.history.load(MAIN) == datas(items(None, "a", None, None, None))


async def h05_bytes_come_back_as_they_were(store: Store, here: Owner) -> None:
    odd = [
        b'{"text": "\\ud83d \\u0000 \\ude00"}',
        b"123456789012345678901234567890",
        b"\x00\xff\xfe",
        b"",
        b"x" * 300_000,
    ]
    await store.history.append(MAIN, [HistoryItem(data=data) for data in odd])
    assert await store.history.load(MAIN) == odd


async def h06_parts_stand_beside_the_main_one(store: Store, here: Owner) -> None:
    await store.history.append(PART, items("a"))
    assert await store.history.sessions(MAIN.project) == []
    assert await store.history.load(MAIN) is None
    await store.history.append(MAIN, items("m"), fold=counted)
    assert await store.history.parts(MAIN.project, MAIN.session) == [PART.part]
    assert await store.history.parts(MAIN.project, "s2") == []
    ((session, written),) = await store.history.sessions(MAIN.project)
    await asyncio.sleep(0.005)  # its clock counts milliseconds
    await store.history.append(PART, items("b"))
    assert await store.history.sessions(MAIN.project) == [(session, written)]
    assert await store.history.summaries(MAIN.project) == [(session, written, b"1")]


async def h07_projects_know_nothing_of_each_other(store: Store, here: Owner) -> None:
    other = HistoryKey(project="-elsewhere", session=MAIN.session)
    await store.history.append(MAIN, items("a"), fold=counted)
    await store.history.append(other, items("b", "c"), fold=counted)
    assert await store.history.load(other) == datas(items("b", "c"))
    assert [name for name, _ in await store.history.sessions(MAIN.project)] == [MAIN.session]
    await store.history.delete(other)
    assert await store.history.load(MAIN) == datas(items("a"))
    assert [row[2] for row in await store.history.summaries(MAIN.project)] == [b"1"]


async def h08_times_are_whole_milliseconds_and_never_go_back(store: Store, here: Owner) -> None:
    before = time.time_ns() // 1_000_000
    times = []
    for number in range(5):
        await store.history.append(MAIN, items(str(number)), fold=counted)
        ((_, written),) = await store.history.sessions(MAIN.project)
        assert type(written) is int
        assert [row[1] for row in await store.history.summaries(MAIN.project)] == [written]
        times.append(written)
    assert times == sorted(times)
    assert before - 60_000 < times[0] < before + 60_000


async def h09_the_summary_is_folded_from_what_is_new(store: Store, here: Owner) -> None:
    """So that a batch which is sent again, or late, cannot turn it back."""
    await store.history.append(MAIN, items("a", "b"), fold=counted)
    await store.history.append(MAIN, items("a", "b"), fold=counted)
    await store.history.append(MAIN, items("b", "c", None), fold=counted)
    await store.history.append(MAIN, items("d"))
    assert [row[2] for row in await store.history.summaries(MAIN.project)] == [b"4"]


async def h10_concurrent_appends_stay_whole_and_each_is_summarised(store: Store, here: Owner) -> None:
    async def append(writer: int) -> None:
        for batch in range(5):
            ids = [f"{writer}.{batch}.{item}" for item in range(4)]
            await store.history.append(MAIN, items(*ids), fold=counted)

    await asyncio.gather(*(append(writer) for writer in range(8)))
    found = await store.history.load(MAIN) or []
    assert len(found) == len(set(found)) == 160
    batches = [found[at : at + 4] for at in range(0, 160, 4)]
    assert all(len({data.rsplit(b".", 1)[0] for data in batch}) == 1 for batch in batches)
    assert [row[2] for row in await store.history.summaries(MAIN.project)] == [b"160"]


async def h11_an_append_that_is_cancelled_happens_whole_or_not_at_all(store: Store, here: Owner) -> None:
    whole = items(*(str(number) for number in range(50)))
    for step in range(12):
        key = HistoryKey(project=MAIN.project, session=f"cancelled-{step}")
        async with asyncio.TaskGroup() as tasks:
            append = tasks.create_task(store.history.append(key, whole, fold=counted))
            for _ in range(step):
                await asyncio.sleep(0)
            append.cancel()
        found = await store.history.load(key)
        assert found in (None, datas(whole))
        assert len(await store.history.summaries(MAIN.project)) == len(await store.history.sessions(MAIN.project))
    await store.history.append(MAIN, whole)
    assert await store.history.load(MAIN) == datas(whole)


async def h12_a_fold_that_fails_stores_nothing(store: Store, here: Owner) -> None:
    def fails(last: bytes | None, new: Sequence[HistoryItem]) -> bytes:
        raise KeyError("type")

    try:
        await store.history.append(MAIN, items("a"), fold=fails)
    except KeyError:
        assert await store.history.load(MAIN) is None
    else:
        raise AssertionError("the fold's error was swallowed")


async def h13_deleting_takes_what_belongs_to_it(store: Store, here: Owner) -> None:
    other = HistoryKey(project=MAIN.project, session="s2")
    await store.history.delete(MAIN)
    for key in (MAIN, PART, other):
        await store.history.append(key, items("a"), fold=counted)
    await store.history.delete(PART)
    assert await store.history.load(PART) is None
    assert await store.history.load(MAIN) == datas(items("a"))
    await store.history.append(PART, items("a"))
    await store.history.delete(MAIN)
    assert await store.history.load(MAIN) is None
    assert await store.history.load(PART) is None
    assert await store.history.parts(MAIN.project, MAIN.session) == []
    assert [name for name, _ in await store.history.sessions(MAIN.project)] == ["s2"]
    assert await store.history.load(other) == datas(items("a"))


CONTRACTS: tuple[Callable[[Store, Owner], Awaitable[None]], ...] = tuple(
    contract for name, contract in sorted(globals().items()) if name[:1] == "h" and name[1:3].isdigit()
)
"""All of them, in their order."""
