"""What every store promises, as numbered contracts: run them on yours with `check_all`.

Each contract is given an empty store and the `Owner` that stands for the process it runs in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.changes import Change
from coder_nb.core.entries import (
    Cell,
    Chunk,
    Entry,
    Page,
    Tokens,
    Usage,
)
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo, SessionInfo, TurnInfo
from coder_nb.core.usage import UsageRow
from coder_nb.errors import Conflict, LeaseLost, NotFound, QueueFull, RunElsewhere
from coder_nb.ids import new_id
from coder_nb.store.base import Batch, Lease, Owner, RunState, Store
from coder_nb.testing import (
    copies_conformance,
    history_conformance,
    log_conformance,
    rules_conformance,
    standings_conformance,
)
from coder_nb.testing.contracts import PATH, Contract, begin, refuses, text


async def c01_a_session_is_got_or_created(store: Store, here: Owner) -> None:
    first = await store.catalog.open_session("ann", PATH, name="main", new=False, session_id="s1", now=5)
    assert first == SessionInfo(id="s1", owner="ann", path=PATH, name="main", created_at=5)
    assert await store.catalog.open_session("ann", PATH, name="main", new=False, session_id="s2", now=6) == first
    third = await store.catalog.open_session("ann", PATH, name="main", new=True, session_id="s3", now=7)
    fourth = await store.catalog.open_session("ann", PATH, name="main", new=True, session_id="s4", now=8)
    other = await store.catalog.open_session("bob", PATH, name="main", new=False, session_id="s5", now=9)
    assert [third.name, fourth.name, other.name] == ["main-2", "main-3", "main"]
    assert await store.catalog.sessions() == (first, third, fourth, other)
    assert await store.catalog.get_session("s3") == third
    await refuses(NotFound, store.catalog.get_session("s2"))


async def c02_a_chat_is_got_or_created(store: Store, here: Owner) -> None:
    await store.catalog.open_session("ann", PATH, name="main", new=False, session_id="s1", now=5)
    first = await store.catalog.open_chat("s1", name="main", new=False, chat_id="c1", now=6)
    assert first == ChatInfo(id="c1", session_id="s1", created_at=6)
    assert await store.catalog.open_chat("s1", name="main", new=False, chat_id="c2", now=7) == first
    second = await store.catalog.open_chat("s1", name="main", new=True, chat_id="c3", now=8)
    assert second.name == "main-2"
    assert await store.catalog.chats("s1") == (first, second)
    assert (await store.catalog.get_session("s1")).chats == ("c1", "c3")
    ids = [f"t{number}" for number in range(10)]
    asking = (store.catalog.open_chat("s1", name="talk", new=False, chat_id=each, now=9) for each in ids)
    assert len({chat.id for chat in await asyncio.gather(*asking)}) == 1, "who asks for one chat at once gets one"
    await refuses(NotFound, store.catalog.open_chat("s9", name="main", new=False, chat_id="c4", now=9))
    await refuses(NotFound, store.catalog.get_chat("c4"))


async def c03_only_the_current_lease_writes(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    other, _ = await begin(store, here, "/elsewhere")
    old = msgspec.structs.replace(lease, generation=lease.generation - 1)
    stranger = msgspec.structs.replace(lease, owner=msgspec.structs.replace(here, runtime_id="stranger"))
    session_id = (await store.catalog.get_chat(chat_id)).session_id
    change = Change(id="ch", session_id=session_id, chat_id=chat_id, turn_id="t", path="a", operation="edit")
    info = AgentSessionInfo(chat_id=chat_id, agent="a", backend="acp", status="warm")
    for wrong in (old, stranger, other):
        await refuses(LeaseLost, store.log.commit(wrong, chat_id, Batch(entries=(text(chat_id, "x"),))))
        await refuses(LeaseLost, store.inbox.accept(wrong, chat_id, Prompt(id="p", text="x"), limit=9))
        await refuses(LeaseLost, store.inbox.withdraw(wrong, chat_id, "p"))
        await refuses(LeaseLost, store.changes.record(wrong, [change]))
        await refuses(LeaseLost, store.agents.put(wrong, info))
        await refuses(LeaseLost, store.trees.record(wrong, session_id, path="/w", branch="b", base_commit="c"))
    await refuses(NotFound, store.log.commit(lease, "nowhere", Batch()))
    assert await store.log.read(chat_id) == Page()
    assert (await store.catalog.get_chat(chat_id)).queued == ()
    assert await store.changes.of_chat(chat_id) == ()
    assert await store.agents.of_session(session_id) == ()


async def c04_the_run_state_changes_where_it_is_told_to(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    await store.inbox.accept(lease, chat_id, Prompt(id="p1", text="one"), limit=9)
    started = RunState(run_status="running", turn_id="t1", inbox_cursor="p1", held=True, error="oh", title="First")
    await store.log.commit(lease, chat_id, Batch(state=started))
    chat = await store.catalog.get_chat(chat_id)
    assert chat == msgspec.structs.replace(
        chat,
        run_status="running",
        turn_id="t1",
        inbox_cursor="p1",
        held=True,
        error="oh",
        title="First",
        queued=(),
        rev=1,
    )
    assert (await store.catalog.get_session(chat.session_id)).title == "First"
    await store.log.commit(lease, chat_id, Batch(state=RunState(title="Second")))
    assert await store.catalog.get_chat(chat_id) == msgspec.structs.replace(chat, rev=2)
    cleared = RunState(run_status="idle", clear_turn=True, clear_error=True, held=False)
    await store.log.commit(lease, chat_id, Batch(state=cleared))
    assert await store.catalog.get_chat(chat_id) == msgspec.structs.replace(
        chat, rev=3, run_status="idle", turn_id=None, error=None, held=False, unseen=True
    )


async def c05_a_prompt_is_accepted_once_and_forever(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    one = Prompt(id="p1", text="one \ud800", agent="a", cell=Cell(cell_id="x"), answers=("stdin",), created_at=4)
    two, three = Prompt(id="p2", text="two"), Prompt(id="p3", text="three")
    assert [await store.inbox.accept(lease, chat_id, p, limit=2) for p in (one, two, one)] == [True, True, False]
    assert await store.inbox.waiting(chat_id) == (msgspec.structs.replace(one, text="one \ufffd"), two)
    await refuses(QueueFull, store.inbox.accept(lease, chat_id, three, limit=2))
    await store.log.commit(lease, chat_id, Batch(state=RunState(inbox_cursor="p1")))
    assert await store.inbox.accept(lease, chat_id, one, limit=2) is False
    assert await store.inbox.withdraw(lease, chat_id, "p1") is False
    assert await store.inbox.accept(lease, chat_id, three, limit=2) is True
    assert (await store.catalog.get_chat(chat_id)).queued == (two, three)
    assert [await store.inbox.withdraw(lease, chat_id, "p2") for _ in range(2)] == [True, False]
    assert await store.inbox.accept(lease, chat_id, two, limit=2) is False
    await refuses(Conflict, store.log.commit(lease, chat_id, Batch(state=RunState(inbox_cursor="p2"))))
    assert await store.inbox.waiting(chat_id) == (three,)


async def c06_a_later_change_of_a_file_supersedes_the_pending_one(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    session_id = (await store.catalog.get_chat(chat_id)).session_id

    def change(key: str, path: str) -> Change:
        return Change(
            id=key, session_id=session_id, chat_id=chat_id, turn_id="t", path=path, operation="edit", agent="a"
        )

    await store.changes.record(lease, [change("1", "a.py"), change("2", "b.py")])
    await store.changes.decide(lease, {"2": ("applied", "")}, now=7)
    applied = msgspec.structs.replace(change("2", "b.py"), status="applied", decided_at=7)
    await store.changes.record(lease, [change("3", "a.py"), change("4", "b.py")])
    await store.changes.record(lease, [change("3", "a.py")])
    assert await store.changes.of_chat(chat_id) == (applied, change("3", "a.py"), change("4", "b.py"))
    assert (await store.changes.get("1")).status == "superseded"
    await store.changes.decide(lease, {"3": ("conflict", "moved on"), "4": ("rejected", "")}, now=8)
    stuck = msgspec.structs.replace(change("3", "a.py"), status="conflict", note="moved on", decided_at=8)
    assert await store.changes.pending(session_id) == (stuck,)
    await refuses(NotFound, store.changes.decide(lease, {"3": ("applied", ""), "9": ("applied", "")}, now=9))
    assert await store.changes.get("3") == stuck
    await refuses(NotFound, store.changes.get("9"))
    rest = msgspec.structs.replace(change("3", "a.py"), new_blob="n", note="half of it")
    done = msgspec.structs.replace(change("5", "a.py"), status="applied", decided_at=9)
    await store.changes.revise(lease, [done, rest])
    assert await store.changes.pending(session_id) == (rest,)
    assert (await store.changes.of_chat(chat_id))[-1] == done


async def c07_one_living_process_holds_a_lease(store: Store, here: Owner) -> None:
    other = msgspec.structs.replace(here, runtime_id="other", label="the server on port 1")
    first = await store.leases.acquire(PATH, other, ttl=60)
    assert await store.leases.acquire(PATH, other, ttl=60) == first
    assert await store.leases.holder(PATH) == other
    assert "the server on port 1" in (await refuses(RunElsewhere, store.leases.acquire(PATH, here, ttl=60))).message
    assert (await store.leases.acquire("/elsewhere", here, ttl=60)).generation == 1
    await store.leases.release(first)
    await store.leases.release(first)
    assert await store.leases.holder(PATH) is None
    second = await store.leases.acquire(PATH, here, ttl=60)
    assert second.generation == first.generation + 1
    await refuses(LeaseLost, store.leases.renew(first, ttl=60))
    await store.leases.release(first)
    assert await store.leases.holder(PATH) == here
    await store.leases.renew(second, ttl=60)


async def c08_a_lease_expires_or_dies_with_its_process(store: Store, here: Owner) -> None:
    far = msgspec.structs.replace(here, runtime_id="far", host="another", label="far")
    first = await store.leases.acquire(PATH, far, ttl=0)
    assert await store.leases.holder(PATH) is None
    await store.leases.renew(first, ttl=60)
    await refuses(RunElsewhere, store.leases.acquire(PATH, here, ttl=60))
    await store.leases.renew(first, ttl=0)
    second = await store.leases.acquire(PATH, msgspec.structs.replace(here, pid_started=here.pid_started - 60), ttl=60)
    assert await store.leases.holder(PATH) is None
    third = await store.leases.acquire(PATH, msgspec.structs.replace(here, runtime_id="next"), ttl=60)
    assert [first.generation, second.generation, third.generation] == [1, 2, 3]
    await refuses(LeaseLost, store.leases.renew(second, ttl=60))


async def c09_agent_sessions_and_the_worktree_are_kept(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    session_id = (await store.catalog.get_chat(chat_id)).session_id
    cold = AgentSessionInfo(chat_id=chat_id, agent="a", backend="acp", status="cold", native_id="n", host="h", pid=3)
    assert await store.agents.get(chat_id, "a") is None
    await store.agents.put(lease, msgspec.structs.replace(cold, status="warm"))
    await store.agents.put(lease, cold)
    assert await store.agents.get(chat_id, "a") == cold
    assert await store.agents.of_session(session_id) == (cold,)
    for commit in ("one", "two"):
        await store.trees.record(lease, session_id, path="/w", branch="b", base_commit=commit)
    session = await store.catalog.get_session(session_id)
    assert (session.worktree, session.branch, session.base_commit, session.host) == ("/w", "b", "two", here.host)


async def c10_usage_is_what_the_entries_say(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    known = Usage(tokens=Tokens(input=3, cache_read=0), model="m", cost_nanousd=5, cost_source="reported")
    replayed = Usage(counted=False)
    entries = tuple(
        Entry(id=new_id(), chat_id=chat_id, body=body, turn_id="t", agent="a", ts=2) for body in (known, replayed)
    )
    await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "x"), *entries)))
    session_id = (await store.catalog.get_chat(chat_id)).session_id

    def row(entry: Entry, tokens: Tokens, **more: object) -> UsageRow:
        where = {"entry_id": entry.id, "chat_id": chat_id, "session_id": session_id, "turn_id": "t"}
        return msgspec.convert(
            {**where, "agent": "a", "ts": 2, "tokens": msgspec.to_builtins(tokens), **more}, UsageRow
        )

    first = row(entries[0], known.tokens, model="m", cost_nanousd=5, cost_source="reported")
    assert await store.turns.usage(chat_id) == (first, row(entries[1], Tokens(), counted=False))
    assert await store.turns.usage() == await store.turns.usage(chat_id)


async def c11_what_is_archived_is_put_away_and_opened_again(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    session_id = (await store.catalog.get_chat(chat_id)).session_id
    await store.catalog.archive_session(lease, session_id, at=7)
    await store.catalog.archive_chat(lease, chat_id, at=8)
    assert [session.archived_at for session in await store.catalog.sessions()] == [7]
    assert [chat.archived_at for chat in await store.catalog.chats(session_id)] == [8]
    opened = await store.catalog.open_session("ann", PATH, name="main", new=False, session_id=new_id(), now=9)
    assert (opened.id, opened.archived_at) == (session_id, None)
    chat = await store.catalog.open_chat(session_id, name="main", new=False, chat_id=new_id(), now=9)
    assert (chat.id, chat.archived_at) == (chat_id, None)


async def c12_deleting_a_chat_ends_what_is_its_own(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    session_id = (await store.catalog.get_chat(chat_id)).session_id
    other = (await store.catalog.open_chat(session_id, name="other", new=True, chat_id=new_id(), now=2)).id
    for each in (chat_id, other):
        await _fill(store, lease, session_id, each)
    await store.catalog.delete_chat(lease, chat_id)
    await refuses(NotFound, store.catalog.get_chat(chat_id))
    await refuses(NotFound, store.log.read(chat_id))
    await refuses(NotFound, store.catalog.delete_chat(lease, chat_id))
    assert [info.chat_id for info in await store.agents.of_session(session_id)] == [other]
    assert [change.chat_id for change in await store.changes.pending(session_id)] == [other]
    assert (await store.turns.of_chat(chat_id), await store.turns.usage(chat_id)) == ((), ())
    assert (await store.log.tail(other, 9)).rev == 1
    session = await store.catalog.get_session(session_id)
    assert (session.chats, session.worktree) == ((other,), "/w")
    stranger = msgspec.structs.replace(lease, generation=lease.generation - 1)
    await refuses(LeaseLost, store.catalog.delete_chat(stranger, other))
    await refuses(LeaseLost, store.catalog.delete_session(stranger, session_id))


async def c13_deleting_a_session_leaves_the_others(store: Store, here: Owner) -> None:
    lease, chat_id = await begin(store, here)
    session_id = (await store.catalog.get_chat(chat_id)).session_id
    await _fill(store, lease, session_id, chat_id)
    kept = await store.catalog.open_session("ann", PATH, name="kept", new=True, session_id=new_id(), now=2)
    await store.catalog.delete_session(lease, session_id)
    await refuses(NotFound, store.catalog.get_session(session_id))
    await refuses(NotFound, store.catalog.get_chat(chat_id))
    await refuses(NotFound, store.catalog.delete_session(lease, session_id))
    assert await store.catalog.sessions() == (kept,)
    assert await store.turns.usage() == ()
    again = await store.catalog.open_session("ann", PATH, name="main", new=False, session_id=new_id(), now=3)
    assert again.id != session_id
    assert again.worktree is None


async def _fill(store: Store, lease: Lease, session_id: str, chat_id: str) -> None:
    """Something of everything that a chat may have."""
    growing = text(chat_id, "", open=True)
    usage = Entry(id=new_id(), chat_id=chat_id, body=Usage(tokens=Tokens(input=1)))
    turn = TurnInfo(id=new_id(), chat_id=chat_id, prompt_id="p", agent="a", state="running", started_at=1)
    chunk = Chunk(entry_id=growing.id, offset=0, text="so far")
    await store.log.commit(lease, chat_id, Batch(entries=(growing, usage), chunks=(chunk,), turn=turn))
    await store.inbox.accept(lease, chat_id, Prompt(id=new_id(), text="next"), limit=9)
    info = AgentSessionInfo(chat_id=chat_id, agent="a", backend="acp", status="warm")
    await store.agents.put(lease, info)
    change = Change(
        id=new_id(), session_id=session_id, chat_id=chat_id, turn_id=turn.id, path=chat_id, operation="edit"
    )
    await store.changes.record(lease, [change])
    await store.trees.record(lease, session_id, path="/w", branch="b", base_commit="c")


CONTRACTS: tuple[Contract, ...] = (
    *(contract for name, contract in sorted(globals().items()) if name[:1] == "c" and name[1:3].isdigit()),
    *log_conformance.CONTRACTS,
    *history_conformance.CONTRACTS,
    *copies_conformance.CONTRACTS,
    *standings_conformance.CONTRACTS,
    *rules_conformance.CONTRACTS,
)
"""All of them, in their order."""


async def check_all(make_store: Callable[[], Awaitable[Store]], here: Owner) -> None:
    """Runs every contract, each on an empty store of its own; the first that is broken raises `AssertionError`."""
    for contract in CONTRACTS:
        store = await make_store()
        try:
            await contract(store, here)
        finally:
            await store.close()
