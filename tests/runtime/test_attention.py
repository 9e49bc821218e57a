"""Each chat says what it is doing, to every reader, whoever runs it; and what ended unseen until somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from support.place import DEADLINE, Person, Place, aclosing_stream, make_repository

from coder_nb.core.attention import Attention, ChatAttention
from coder_nb.core.sessions import ChatInfo
from coder_nb.core.stream import Hello, StateFrame
from coder_nb.errors import NotFound
from coder_nb.ids import new_id
from coder_nb.runtime import Runtime
from coder_nb.runtime.attention import Lookout
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent

pytestmark = pytest.mark.anyio


async def until(person: Person, wanted: Callable[[ChatInfo], bool]) -> ChatInfo:
    """The chat as a reader is told of it, as soon as it is so."""
    async with asyncio.timeout(DEADLINE), aclosing_stream(person) as frames:
        async for frame in frames:
            if isinstance(frame, Hello | StateFrame) and wanted(frame.chat):
                return frame.chat
    raise AssertionError("the stream ended")


def doing(state: str, why: str = "") -> Callable[[ChatInfo], bool]:
    return lambda chat: chat.attention is not None and (chat.attention.state, chat.attention.why) == (state, why)


async def test_a_turn_is_told_as_starting_working_waiting_and_finished_until_it_is_seen(place: Place) -> None:
    person = await place.person(permission_grace=DEADLINE)
    assert (await person.state()).attention == Attention("idle")
    told: list[str] = []

    async def read() -> None:
        async with aclosing_stream(person) as frames:
            async for frame in frames:
                if isinstance(frame, StateFrame) and frame.chat.attention is not None:
                    word = f"{frame.chat.attention.state} {frame.chat.attention.why}".strip()
                    told.extend([word] if told[-1:] != [word] else [])
                    if word == "finished":
                        return

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        group.create_task(read())
        sent = await person.send("say one; ask Something; say two")
        waiting = await until(person, doing("waiting", "permission"))
        (row,) = await person.runtime.attention()
        assert (row.state, row.why, row.agent, row.turn_id) == ("waiting", "permission", "scripted", waiting.turn_id)
        asked = await person.shown("permission")
        assert row.since == asked.ts
        await person.runtime.answer(person.chat.id, asked.body.request_id, "yes", by="ann")  # type: ignore[union-attr]
        turn = await person.ended(sent)
    way = iter(["idle", "starting", "working", "waiting permission", "working", "finished"])
    assert all(word in way for word in told), told  # each in its order; what is over in no time may be passed over
    assert {"waiting permission", "finished"} <= set(told)
    (row,) = await person.runtime.attention()
    assert (row.state, row.since, row.path, row.chat) == ("finished", turn.ended_at, person.session.path, "main")
    state = await person.state()
    assert not await person.runtime.seen(person.chat.id, 1), "that was before it ended"
    assert await person.runtime.seen(person.chat.id, state.rev)
    assert (await until(person, doing("idle"))).unseen is False
    assert (await person.runtime.attention())[0].state == "idle"
    with pytest.raises(NotFound):
        await person.runtime.seen(new_id(), 1)


async def test_what_failed_and_what_is_held_wants_its_user_more_than_what_is_done(place: Place) -> None:
    runtime = await place.runtime()
    people = {
        name: await place.person(runtime, path=make_repository(place.root / name)) for name in ("a", "b", "c", "d")
    }
    await people["a"].prompt("say done")
    await people["b"].prompt("fail It broke.")
    first = await people["c"].send("hang")
    await people["c"].send("say later")
    await until(people["c"], doing("working"))
    await runtime.stop(people["c"].chat.id)
    await people["c"].ended(first)
    rows = await runtime.attention()
    assert [(row.chat_id, row.state, row.why) for row in rows] == [
        (people["c"].chat.id, "waiting", "held"),
        (people["b"].chat.id, "failed", ""),
        (people["a"].chat.id, "finished", ""),
        (people["d"].chat.id, "idle", ""),
    ]
    assert "It broke." in str(rows[1].error)
    await runtime.close_chat(people["d"].chat.id)
    assert people["d"].chat.id not in {row.chat_id for row in await runtime.attention()}


async def test_a_chat_that_waits_for_a_slot_says_where_it_stands(place: Place) -> None:
    runtime = await place.runtime(max_running=1)
    one, two, three = [
        await place.person(runtime, path=make_repository(place.root / name)) for name in ("one", "two", "three")
    ]
    first = await one.send("hang")
    await until(one, doing("working"))
    second, third = await two.send("say two"), await three.send("say three")
    await until(three, lambda chat: chat.attention == Attention("starting", "slot", 2))
    rows = {row.chat_id: row for row in await runtime.attention()}
    assert (rows[two.chat.id].why, rows[two.chat.id].place) == ("slot", 1)
    await runtime.stop(one.chat.id)
    for person, sent in ((one, first), (two, second), (three, third)):
        await person.ended(sent)


async def test_a_chat_says_that_it_waits_for_another_one_of_its_session(place: Place) -> None:
    one = await place.person()
    two, three = [
        Person(one.runtime, one.session, await one.runtime.open_chat(one.session.id, new=True)) for _ in range(2)
    ]
    first = await one.send("hang")
    await until(one, doing("working"))
    second, third = await two.send("hang"), await three.send("say three")
    for person in (two, three):
        await until(person, doing("starting", "session"))
    rows = {row.chat_id: (row.state, row.why) for row in await one.runtime.attention()}
    assert rows[two.chat.id] == rows[three.chat.id] == ("starting", "session")
    await one.runtime.stop(one.chat.id)
    await one.ended(first)
    await until(two, doing("working"))
    again = await one.send("say one")
    for person in (one, three):
        await until(person, doing("starting", "session"))
    await one.runtime.stop(two.chat.id)
    for person, sent in ((two, second), (three, third), (one, again)):
        await person.ended(sent)
    assert {row.why for row in await one.runtime.attention()} == {""}


async def test_a_chat_that_came_before_the_turn_it_waits_for_is_told_when_that_begins(place: Place) -> None:
    one = await place.person()
    two = Person(one.runtime, one.session, await one.runtime.open_chat(one.session.id, new=True))
    first = await one.send("hang")
    second = await two.send("say two")
    await until(one, doing("working"))
    await until(two, doing("starting", "session"))
    await one.runtime.stop(one.chat.id)
    for person, sent in ((one, first), (two, second)):
        await person.ended(sent)


async def test_another_process_is_told_the_same_and_may_say_that_it_was_seen(place: Place) -> None:
    person = await place.person(permission_grace=DEADLINE)
    other = await place.runtime("another process")
    elsewhere = Person(other, person.session, person.chat)
    sent = await person.send("ask Something")
    assert (await until(elsewhere, doing("waiting", "permission"))).runner is not None
    assert [(row.state, row.why) for row in await other.attention()] == [("waiting", "permission")]
    asked = await person.shown("permission")
    await person.runtime.answer(person.chat.id, asked.body.request_id, None, by="ann")  # type: ignore[union-attr]
    await person.ended(sent)
    finished = await until(elsewhere, doing("finished"))
    assert await other.seen(person.chat.id, finished.rev)
    await until(person, doing("idle"))


async def test_what_was_running_when_its_process_died_is_news(place: Place) -> None:
    first = await place.runtime()
    person = await place.person(first)
    await person.send("hang")
    await until(person, doing("working"))
    await first.close()
    again = Person(await place.runtime(), person.session, person.chat)
    assert (await until(again, doing("finished"))).unseen


async def test_whoever_wants_to_hear_of_changes_is_told_each_once(place: Place) -> None:
    told: asyncio.Queue[ChatAttention] = asyncio.Queue()
    settings = Settings(database=str(place.root / "store.sqlite"), agents={"scripted": scripted_agent.entry()})
    runtime = await Runtime.open(settings, label="a test", told=told.put_nowait)
    async with asyncio.timeout(DEADLINE), contextlib.AsyncExitStack() as closing:
        closing.push_async_callback(runtime.close)
        person = await place.person(runtime)
        sent = await person.send("say one")
        heard: list[str] = []
        while heard[-1:] != ["finished"]:
            heard.append((await told.get()).state)
        turn = await person.ended(sent)
        assert heard[-2:] in (["working", "finished"], ["starting", "finished"]), heard
        assert all(one != other for one, other in zip(heard, heard[1:], strict=False)), heard
        assert turn.end == "completed"
        await runtime.seen(person.chat.id, (await person.state()).rev)
        seen = await told.get()
        assert (seen.chat_id, seen.state, seen.why) == (person.chat.id, "idle", "")
        assert told.empty()


async def test_what_goes_wrong_with_one_chat_keeps_no_other_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    told: asyncio.Queue[ChatAttention] = asyncio.Queue()

    async def look(chat_id: str) -> ChatAttention:
        if chat_id == "broken":
            raise ValueError("a fault of ours")
        return ChatAttention(chat_id=chat_id, session_id="s", path="/p", session="main", chat="main", state="working")

    lookout = Lookout(look, told.put_nowait)
    running = asyncio.create_task(lookout.run())
    for chat_id in ("broken", "well"):
        lookout.changed(chat_id)
    try:
        async with asyncio.timeout(DEADLINE):
            assert (await told.get()).chat_id == "well"
            lookout.changed("later")
            assert (await told.get()).chat_id == "later"
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert "cannot be told" in caplog.text
