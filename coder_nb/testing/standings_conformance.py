"""What a store promises of where chats stand: what is looked at to say what they are doing."""

from __future__ import annotations

from msgspec.structs import replace

from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.entries import AnyBody, Entry, Permission, Question
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import TurnInfo
from coder_nb.errors import NotFound
from coder_nb.ids import new_id
from coder_nb.store.base import Batch, Lease, Owner, RunState, Store
from coder_nb.testing.contracts import Contract, refuses

_PATH = "/work/project"
_END = RunState(run_status="idle", clear_turn=True)


async def _begin(store: Store, here: Owner) -> tuple[Lease, str]:
    session = await store.catalog.open_session("ann", _PATH, name="main", new=False, session_id=new_id(), now=1)
    chat = await store.catalog.open_chat(session.id, name="main", new=False, chat_id=new_id(), now=2)
    return await store.leases.acquire(_PATH, here, ttl=60), chat.id


def _turn(chat_id: str) -> TurnInfo:
    return TurnInfo(id=new_id(), chat_id=chat_id, prompt_id="p", agent="a", state="running", started_at=5)


async def _take_a_turn(store: Store, lease: Lease, chat_id: str) -> int:
    """A whole turn; the revision at which it ended."""
    turn = _turn(chat_id)
    running = RunState(run_status="running", turn_id=turn.id, starting=True)
    await store.log.commit(lease, chat_id, Batch(turn=turn, state=running))
    ended = replace(turn, state="completed", end="completed", ended_at=9)
    return (await store.log.commit(lease, chat_id, Batch(turn=ended, state=_END))).rev


async def d1_a_chat_stands_where_its_turn_does(store: Store, here: Owner) -> None:
    lease, chat_id = await _begin(store, here)
    fresh = await store.standings.of(chat_id)
    assert (fresh.path, fresh.session, fresh.name, fresh.turn_id, fresh.agent) == (_PATH, "main", "main", None, None)
    assert (fresh.starting, fresh.asks, fresh.queued, fresh.held) == (False, None, 0, False)
    assert (fresh.failed, fresh.unseen) == (False, False)
    await store.inbox.accept(lease, chat_id, Prompt(id=new_id(), text="next"), limit=9)
    turn = _turn(chat_id)
    running = RunState(run_status="running", turn_id=turn.id, starting=True)
    await store.log.commit(lease, chat_id, Batch(turn=turn, state=running))
    begun = await store.standings.of(chat_id)
    assert (begun.turn_id, begun.agent, begun.started_at, begun.ended_at) == (turn.id, "a", 5, None)
    assert begun.starting
    assert begun.queued == 1
    await store.log.commit(lease, chat_id, Batch(state=RunState(starting=False)))
    assert not (await store.standings.of(chat_id)).starting
    assert not (await store.catalog.get_chat(chat_id)).starting
    failed = RunState(run_status="error", error="It broke.", clear_turn=True, held=True)
    ended = replace(turn, state="failed", end="failed", ended_at=9)
    await store.log.commit(lease, chat_id, Batch(turn=ended, state=failed))
    (over,) = await store.standings.every()
    assert (over.failed, over.error, over.held, over.unseen, over.ended_at) == (True, "It broke.", True, True, 9)


async def d2_what_an_agent_asks_is_known_while_it_is_open(store: Store, here: Owner) -> None:
    lease, chat_id = await _begin(store, here)
    bodies: tuple[AnyBody, ...] = (Question(request_id="q", text="Which?"), Permission(request_id="p"))
    entries = tuple(
        Entry(id=new_id(), chat_id=chat_id, body=body, ts=at, open=True) for at, body in enumerate(bodies, 7)
    )
    done = await store.log.commit(lease, chat_id, Batch(entries=entries))
    for entry, pos, kind in zip(entries, done.positions, ("question", "permission"), strict=True):
        standing = await store.standings.of(chat_id)
        assert (standing.asks, standing.asked_at) == (kind, entry.ts)
        assert (await store.catalog.get_chat(chat_id)).asks == kind
        await store.log.commit(lease, chat_id, Batch(entries=(replace(entry, pos=pos, open=False),)))
    assert (await store.standings.of(chat_id)).asks is None
    assert (await store.catalog.get_chat(chat_id)).asks is None


async def d3_what_ended_is_unseen_until_somebody_has_looked_as_far(store: Store, here: Owner) -> None:
    lease, chat_id = await _begin(store, here)
    assert not await store.standings.seen(chat_id, 99)
    first = await _take_a_turn(store, lease, chat_id)
    second = await _take_a_turn(store, lease, chat_id)
    assert (await store.catalog.get_chat(chat_id)).unseen
    assert not await store.standings.seen(chat_id, first)
    assert (await store.standings.of(chat_id)).unseen
    assert await store.standings.seen(chat_id, second)
    assert not (await store.standings.of(chat_id)).unseen
    assert not await store.standings.seen(chat_id, second)
    await _take_a_turn(store, lease, chat_id)
    assert await store.standings.seen(chat_id, 2**60)
    await _take_a_turn(store, lease, chat_id)
    assert (await store.catalog.get_chat(chat_id)).unseen, "nobody can have seen what comes"


async def d4_whoever_looks_need_not_run_it(store: Store, here: Owner) -> None:
    lease, chat_id = await _begin(store, here)
    rev = await _take_a_turn(store, lease, chat_id)
    await store.leases.release(lease)
    assert await store.standings.seen(chat_id, rev)
    await refuses(NotFound, store.standings.seen(new_id(), 1))


async def d5_what_was_put_away_is_no_more_among_them(store: Store, here: Owner) -> None:
    lease, chat_id = await _begin(store, here)
    session_id = (await store.standings.of(chat_id)).session_id
    other = await store.catalog.open_chat(session_id, name="other", new=False, chat_id=new_id(), now=3)
    assert [standing.chat_id for standing in await store.standings.every()] == [chat_id, other.id]
    await store.catalog.archive_chat(lease, other.id, at=4)
    assert [standing.chat_id for standing in await store.standings.every()] == [chat_id]
    await store.catalog.archive_session(lease, session_id, at=5)
    assert await store.standings.every() == ()
    assert (await store.standings.of(chat_id)).name == "main"


async def d6_what_each_agent_said_last_is_found_wherever_that_was(store: Store, here: Owner) -> None:
    lease, chat_id = await _begin(store, here)
    session_id = (await store.standings.of(chat_id)).session_id
    other = await store.catalog.open_chat(session_id, name="other", new=False, chat_id=new_id(), now=3)
    for chat, agent, at in ((chat_id, "a", 5), (other.id, "a", 9), (chat_id, "b", 2), (other.id, "c", None)):
        info = AgentSessionInfo(chat_id=chat, agent=agent, backend="acp", status="cold", last_active_at=at)
        await store.agents.put(lease, info)
    found = {info.agent: info.chat_id for info in await store.agents.latest()}
    assert found == {"a": other.id, "b": chat_id}


CONTRACTS: tuple[Contract, ...] = (
    d1_a_chat_stands_where_its_turn_does,
    d2_what_an_agent_asks_is_known_while_it_is_open,
    d3_what_ended_is_unseen_until_somebody_has_looked_as_far,
    d4_whoever_looks_need_not_run_it,
    d5_what_was_put_away_is_no_more_among_them,
    d6_what_each_agent_said_last_is_found_wherever_that_was,
)
"""All of them, in their order."""
