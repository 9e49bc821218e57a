"""What every store promises of a chat's log; part of `store_conformance`."""

from __future__ import annotations

import msgspec

from coder_nb.core.codec import decode_body
from coder_nb.core.entries import (
    Chunk,
    Entry,
    Page,
    Plan,
    PlanItem,
    StoredBody,
    Text,
    ToolCall,
    Unknown,
)
from coder_nb.core.sessions import TurnInfo
from coder_nb.errors import NotFound
from coder_nb.ids import new_id
from coder_nb.store.base import ENCODED, Batch, Owner, RunState, Store
from coder_nb.testing.contracts import PATH, Contract, begin, fold, read_all, refuses, text


async def l01_positions_stay_and_revisions_grow(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    call = Entry(id=new_id(), chat_id=chat_id, body=ToolCall(name="terminal"), turn_id="t", agent="a", ts=3, open=True)
    words = text(chat_id, "words", parent=call.id)
    assert (await store.log.commit(lease, chat_id, Batch(entries=(call, words)))).positions == (1, 2)
    done = msgspec.structs.replace(call, pos=1, open=False, body=ToolCall(name="terminal", status="completed"))
    later = text(chat_id, "later")
    committed = await store.log.commit(lease, chat_id, Batch(entries=(done, later)))
    assert (committed.rev, committed.positions, committed.ids) == (2, (1, 3), (call.id, later.id))
    replace = msgspec.structs.replace
    at_last = (replace(done, rev=2), replace(words, pos=2, rev=1), replace(later, pos=3, rev=2))
    assert await store.log.tail(chat_id, 10) == Page(entries=at_last, rev=2)
    assert await store.log.tail(chat_id, 2) == Page(entries=at_last[1:], rev=2)
    assert await store.log.before(chat_id, 3, limit=1) == Page(entries=at_last[1:2], rev=2)
    assert await store.log.read(chat_id, after=1) == Page(entries=(at_last[0], at_last[2]), rev=2)
    assert await store.log.read(chat_id, after=2) == Page(rev=2)
    await refuses(NotFound, store.log.read("nowhere"))


async def l02_a_page_never_splits_a_revision(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    for size in (1, 3, 2, 1):
        await store.log.commit(lease, chat_id, Batch(entries=tuple(text(chat_id, str(n)) for n in range(size))))
    pages = await read_all(store, chat_id, limit=2)
    assert [(len(page.entries), page.rev, page.more) for page in pages] == [(4, 2, True), (2, 3, True), (1, 4, False)]


async def l03_reading_from_any_cursor_folds_to_the_whole(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    growing = text(chat_id, "", open=True)
    await store.log.commit(lease, chat_id, Batch(entries=(growing,)))
    for offset, part in ((0, "Grüße, "), (7, "👋 "), (9, "world")):
        chunk = Chunk(entry_id=growing.id, offset=offset, text=part)
        await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, part),), chunks=(chunk,)))
    (whole,) = await read_all(store, chat_id)
    assert (whole.entries[0].body, whole.chunks) == (Text(text="Grüße, 👋 world"), ())
    for cursor in range(whole.rev + 1):
        known = [await store.log.read(chat_id, limit=1)] if cursor else []
        while known and known[-1].rev < cursor:
            known.append(await store.log.read(chat_id, after=known[-1].rev, limit=1))
        for limit in (1, 2, 500):
            assert fold(known + await read_all(store, chat_id, after=cursor, limit=limit)) == fold([whole])


async def l04_streamed_text_is_dropped_when_its_entry_ends(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    growing = text(chat_id, "", open=True)
    chunk = Chunk(entry_id=growing.id, offset=0, text="half a th")
    await store.log.commit(lease, chat_id, Batch(entries=(growing,), chunks=(chunk,)))
    assert [(e.id, e.body) for e in await store.log.unclosed(chat_id)] == [(growing.id, Text(text="half a th"))]
    closed = text(chat_id, "half a thought", id=growing.id, pos=1)
    await store.log.commit(lease, chat_id, Batch(entries=(closed,)))
    assert await store.log.unclosed(chat_id) == ()
    late = Chunk(entry_id=growing.id, offset=9, text="ousand")
    await store.log.commit(lease, chat_id, Batch(chunks=(late,)))
    page = await store.log.read(chat_id)
    assert page == Page(entries=(msgspec.structs.replace(closed, rev=2),), rev=3)
    nowhere = Batch(chunks=(Chunk(entry_id="nothing", offset=0, text="x"),))
    await refuses(NotFound, store.log.commit(lease, chat_id, nowhere))


async def l05_what_arrives_twice_is_one_entry(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    first = text(chat_id, "once", native_id="n1", open=True)
    chunk = Chunk(entry_id=first.id, offset=4, text=" upon")
    await store.log.commit(lease, chat_id, Batch(entries=(first, text(chat_id, "other")), chunks=(chunk,)))
    again = text(chat_id, "twice", native_id="n1")
    thrice = msgspec.structs.replace(first, body=Text(text="thrice"), open=False)
    batch = (text(chat_id, "before"), again, thrice, text(chat_id, "after"))
    committed = await store.log.commit(lease, chat_id, Batch(entries=batch))
    assert committed.positions == (3, 1, 1, 4)
    assert committed.ids == (batch[0].id, first.id, first.id, batch[3].id)
    entries = (await store.log.tail(chat_id, 10)).entries
    assert [(entry.id, entry.body) for entry in entries[:1]] == [(first.id, Text(text="thrice"))]
    assert [entry.pos for entry in entries] == [1, 2, 3, 4]
    _, elsewhere = await begin(store, here)
    assert (
        await store.log.commit(lease, elsewhere, Batch(entries=(text(elsewhere, "mine", native_id="n1"),)))
    ).rev == 1


async def l06_a_turn_that_ended_never_changes(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    turn = TurnInfo(id="t1", chat_id=chat_id, prompt_id="p1", agent="a", state="running", started_at=1)
    await store.log.commit(lease, chat_id, Batch(turn=turn))
    assert await store.turns.unfinished(PATH) == (turn,)
    assert await store.turns.unfinished("/elsewhere") == ()
    ended = msgspec.structs.replace(turn, state="cancelled", end="cancelled", ended_at=9, reason="stop", message="m")
    await store.log.commit(lease, chat_id, Batch(turn=ended))
    late = msgspec.structs.replace(turn, state="completed", end="completed", ended_at=10)
    await store.log.commit(lease, chat_id, Batch(turn=late))
    await store.log.commit(lease, chat_id, Batch(turn=turn))
    assert await store.turns.of_chat(chat_id) == (ended,)
    assert await store.turns.unfinished(PATH) == ()


async def l07_a_batch_is_written_whole_or_not_at_all(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    turn = TurnInfo(id="t1", chat_id=chat_id, prompt_id=None, agent="a", state="running", started_at=1)
    unknown = text(chat_id, "x", pos=7)
    batch = Batch(entries=(text(chat_id, "new"), unknown), turn=turn, state=RunState(run_status="running"))
    await refuses(NotFound, store.log.commit(lease, chat_id, batch))
    assert await store.log.read(chat_id) == Page()
    assert await store.turns.of_chat(chat_id) == ()
    assert (await store.catalog.get_chat(chat_id)).run_status == "initializing"


async def l08_rows_come_encoded_and_in_order(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    growing = text(chat_id, "", open=True, native_id="n", agent="a", turn_id="t", ts=4)
    plan = Entry(id=new_id(), chat_id=chat_id, body=Plan(items=(PlanItem(text="x"),)))
    chunk = Chunk(entry_id=growing.id, offset=0, text="so far")
    await store.log.commit(lease, chat_id, Batch(entries=(growing, plan), chunks=(chunk,)))
    rows = [dict(zip(ENCODED, row, strict=True)) for row in await store.log.encoded(chat_id)]
    assert [row["id"] for row in rows] == [growing.id, plan.id]
    assert [decode_body(row["body"]) for row in rows] == [Text(text="so far"), plan.body]
    assert [(row["kind"], row["open"], row["pos"], row["rev"]) for row in rows] == [
        ("text", 1, 1, 1),
        ("plan", 0, 2, 1),
    ]
    await refuses(NotFound, store.log.encoded("nowhere"))


async def l09_what_is_not_understood_is_kept(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    future = Unknown(kind="hologram", data=b'{"kind":"hologram","depth":3}')
    bodies: tuple[StoredBody, ...] = (future, Text(text="nul \0 half \ud800"))
    await store.log.commit(
        lease,
        chat_id,
        Batch(
            entries=tuple(
                Entry(id=new_id(), chat_id=chat_id, body=b, native_id=f"\0{n}\udfff") for n, b in enumerate(bodies)
            )
        ),
    )
    growing = text(chat_id, "", open=True)
    chunk = Chunk(entry_id=growing.id, offset=0, text="nul \0 half \ud800")
    await store.log.commit(lease, chat_id, Batch(entries=(growing,), chunks=(chunk,)))
    read = [entry.body for entry in (await store.log.tail(chat_id, 9)).entries]
    assert read == [future, Text(text="nul \0 half \ufffd"), Text(text="nul \0 half \ud800")]


CONTRACTS: tuple[Contract, ...] = tuple(
    contract for name, contract in sorted(globals().items()) if name[:1] == "l" and name[1:3].isdigit()
)
"""All of them, in their order."""
