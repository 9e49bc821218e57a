"""A runtime that closes: what runs may end, nothing begins, then the agents end, and the store closes last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.place import DEADLINE
from support.processes import carrying

from coder_nb import errors

pytestmark = pytest.mark.anyio


async def test_a_turn_that_ends_within_the_grace_is_complete(place: Any) -> None:
    person = await place.person(drain_grace=DEADLINE)
    await person.send("say begun; stream 10 50")
    await person.shown("text", "begun")
    await person.runtime.close()
    again = await place.person()
    [turn] = await again.runtime.turns(again.chat.id)
    assert turn.end == "completed"


async def test_while_it_drains_nothing_new_is_taken_and_everything_may_be_read(place: Any) -> None:
    person = await place.person(drain_grace=DEADLINE)
    running = await person.send("ask rm; say done", mode="ask", agent="scripted")
    await person.runtime.attend(person.chat.id, who="a test")
    waiting = await person.send("say later")
    asked = (await person.shown("permission")).body
    closing = asyncio.create_task(person.runtime.close())
    await asyncio.sleep(0)
    assert (await person.runtime.health()).status == "draining"
    for begin in (person.send("say too late"), person.runtime.go_on(person.chat.id)):
        with pytest.raises(errors.Conflict, match=r"The server is stopping: start it again, then try again\."):
            await begin
    assert [queued.id for queued in (await person.state()).queued] == [waiting]
    assert await person.runtime.answer(person.chat.id, asked.request_id, asked.options[0].id, by="a test")
    await closing
    again = await place.person()
    [turn] = await again.runtime.turns(again.chat.id)
    assert (turn.prompt_id, turn.end) == (running, "completed")
    assert [queued.id for queued in (await again.state()).queued] == [waiting]


async def test_the_turns_end_before_the_agents_and_the_agents_before_the_store(place: Any) -> None:
    person = await place.person()
    await person.send("say begun; hang")
    await person.shown("text", "begun")
    runtime, order = person.runtime, []

    def noting(name: str, close: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
        async def noted(*args: Any) -> None:
            order.append((name, (await runtime.turns(person.chat.id))[0].end, len(carrying(runtime.runtime_id)) > 0))
            await close(*args)

        return noted

    for owner, name in ((runtime._pool, "agents"), (runtime._host.leases, "release_all"), (runtime._store, "store")):
        close = "release_all" if name == "release_all" else "close"
        setattr(owner, close, noting(name, getattr(owner, close)))
    await runtime.close()
    assert order == [
        ("agents", "interrupted", True),
        ("release_all", "interrupted", False),
        ("store", "interrupted", False),
    ]


async def test_who_does_not_end_within_the_grace_is_interrupted_and_what_waits_is_held(place: Any) -> None:
    person = await place.person(drain_grace=0.05)
    hanging = await person.send("say begun; hang")
    await person.shown("text", "begun")
    waiting = await person.send("say later")
    await person.runtime.close()
    again = await place.person()
    [turn] = await again.runtime.turns(again.chat.id)
    assert (turn.prompt_id, turn.end) == (hanging, "interrupted")
    state = await again.state()
    assert (state.held, [queued.id for queued in state.queued]) == (True, [waiting])
    await again.runtime.go_on(again.chat.id)
    assert (await again.ended(waiting)).end == "completed"


async def test_who_waits_for_a_directory_as_the_drain_begins_gets_no_worker(place: Any) -> None:
    person = await place.person()
    host = person.runtime._host
    settling, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(lease: Any) -> None:
        settling.set()
        await may_go_on.wait()

    host.leases._taken = slow
    waiting = asyncio.create_task(host.worker(person.session.id))
    await settling.wait()
    await host.drain(0, grace=0)
    may_go_on.set()
    with pytest.raises(errors.Conflict, match="start it again, then try again"):
        await waiting
    assert person.session.id not in host.runners


async def test_what_agents_share_is_closed_also_where_the_sessions_take_all_of_their_time(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person()
    closed = []

    async def deaf() -> None:
        await asyncio.Event().wait()

    async def noted() -> None:
        closed.append("agents")

    monkeypatch.setattr("coder_nb.runtime.runtime.DISPOSE", 0.05)
    monkeypatch.setattr(person.runtime._pool, "close", deaf)
    monkeypatch.setattr(person.runtime._agents, "close", noted)
    await person.runtime.close()
    assert closed == ["agents"]
