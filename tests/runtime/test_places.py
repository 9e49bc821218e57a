"""More turns than may run at the same time: they wait, first come first served, and everyone sees where."""

from __future__ import annotations

import asyncio

import pytest
from support.place import DEADLINE, Person, Place, aclosing_stream

pytestmark = pytest.mark.anyio


async def chats(person: Person, count: int) -> list[Person]:
    made = []
    for number in range(count):
        session = await person.runtime.open_session(str(person.repository), name=f"session {number}")
        made.append(Person(person.runtime, session, await person.runtime.open_chat(session.id)))
    return made


async def place_of(person: Person, wanted: int | None) -> None:
    """Returns when a reader of the chat is told of that place."""
    async with asyncio.timeout(DEADLINE), aclosing_stream(person) as frames:
        async for frame in frames:
            if getattr(frame, "chat", None) is not None and frame.chat.place == wanted:
                return


async def test_turns_wait_for_their_place_and_their_readers_see_it_move(place: Place) -> None:
    person = await place.person(max_running=1)
    first, second, third = await chats(person, 3)
    running = await first.send("say on; hang")
    await first.shown("text", "on")
    waiting = await second.send("say two")
    await place_of(second, 1)
    last = await third.send("say three; hang")
    await place_of(third, 2)
    assert (await first.state()).place is None
    await first.runtime.stop(first.chat.id)
    assert (await first.ended(running)).end == "cancelled"
    assert (await second.ended(waiting)).end == "completed"
    await third.shown("text", "three")
    began = {
        turn.prompt_id: turn.started_at for one in (second, third) for turn in await one.runtime.turns(one.chat.id)
    }
    assert began[waiting] <= began[last]
    await third.runtime.stop(third.chat.id)
    await third.ended(last)


async def test_a_prompt_that_is_withdrawn_while_it_waits_for_its_place_is_not_run(place: Place) -> None:
    person = await place.person(max_running=1)
    first, second = await chats(person, 2)
    running = await first.send("say on; hang")
    await first.shown("text", "on")
    waiting = await second.send("say two")
    await place_of(second, 1)
    assert await second.runtime.withdraw(second.chat.id, waiting)
    await first.runtime.stop(first.chat.id)
    await first.ended(running)
    assert (await second.prompt("say three")).end == "completed"
    assert await second.ends() == ["completed"]


async def test_a_stop_of_what_waits_for_its_place_holds_it_until_the_user_goes_on(place: Place) -> None:
    person = await place.person(max_running=1)
    first, *others = await chats(person, 4)
    running = await first.send("say on; hang")
    await first.shown("text", "on")
    waiting = []
    for at, other in enumerate(others, 1):
        waiting.append(await other.send("say late"))
        await place_of(other, at)
    stopped, last = others[:-1], others[-1]
    await asyncio.gather(*(one.runtime.stop(one.chat.id) for one in stopped for _ in range(2)))
    for one in stopped:
        assert not await one.runtime.stop(one.chat.id), "there is nothing to stop any more"
        assert (await one.state()).attention.why == "held"
    await first.runtime.stop(first.chat.id)
    await first.ended(running)
    assert (await last.ended(waiting[-1])).end == "completed"
    assert [await one.runtime.turns(one.chat.id) for one in stopped] == [()] * 2
    for one in stopped:
        await one.runtime.go_on(one.chat.id)
    assert [(await one.ended(sent)).end for one, sent in zip(stopped, waiting, strict=False)] == ["completed"] * 2


async def test_a_chat_that_is_deleted_while_it_waits_for_its_place_keeps_nobody_from_theirs(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    person = await place.person(max_running=1)
    first, second = await chats(person, 2)
    beside = Person(second.runtime, second.session, await second.runtime.open_chat(second.session.id, name="beside"))
    running = await first.send("say on; hang")
    await first.shown("text", "on")
    await second.send("say two")
    await place_of(second, 1)
    waiting = await beside.send("say three")
    await second.runtime.delete_chat(second.chat.id)
    await first.runtime.stop(first.chat.id)
    await first.ended(running)
    assert (await beside.ended(waiting)).end == "completed"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
