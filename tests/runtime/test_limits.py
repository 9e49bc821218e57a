"""What one chat may take: at the bound it goes, beyond it whoever asked is told what to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.place import DEADLINE, Place

from coder_nb import errors
from coder_nb.backends import events
from coder_nb.core.entries import Chunk, Entry, Notice, Text, ToolCall
from coder_nb.core.stream import Hello
from coder_nb.runtime.feed import Feed
from coder_nb.runtime.recorder import AHEAD, MANY, Recorder
from coder_nb.runtime.writer import Writer
from coder_nb.store.base import Committed

pytestmark = pytest.mark.anyio


def recorder(**given: Any) -> Recorder:
    ids = (f"id{number}" for number in range(10**6))
    return Recorder(chat_id="c", turn_id="t", agent="a", epoch="e", now=lambda: 0, new_id=lambda: next(ids), **given)


def taken(made: Recorder) -> list[Entry]:
    made.close_text()
    return list(made.take()[0])


# Prompts and queues ---------------------------------------------------------------------------------------------------


async def test_a_prompt_at_the_limit_is_taken_and_one_beyond_it_is_refused(place: Place) -> None:
    person = await place.person(prompt_limit=100)
    turn = await person.prompt("say " + "é" * 48)
    assert turn.end == "completed"
    with pytest.raises(errors.PromptTooLong, match=r"101 bytes and the limit is 100: put the material into a file"):
        await person.send("say " + "é" * 48 + "x")


async def test_a_name_at_the_limit_is_taken_and_one_beyond_it_or_none_is_refused(place: Place) -> None:
    person = await place.person()
    runtime, session, longest = person.runtime, person.session, "é" * 200
    chat = await runtime.open_chat(session.id, name=longest)
    another = await runtime.open_chat(session.id, name=longest, new=True)
    fork = await runtime.fork(chat.id)
    assert [each.name for each in (chat, another, fork)] == [longest, "é" * 198 + "-2", "é" * 198 + "-3"]
    assert (await runtime.open_chat(session.id, name=another.name)).id == another.id
    assert (await runtime.open_session(session.path, name=longest)).name == longest
    unfit: Any
    for unfit in (longest + "x", None):
        for opening in (
            runtime.open_chat(session.id, name=unfit),
            runtime.open_session(session.path, name=unfit),
            runtime.fork(chat.id, name=longest + "x"),
        ):
            with pytest.raises(errors.BadRequest, match="at most 200 characters: give a shorter one"):
                await opening


async def test_so_many_prompts_wait_and_one_more_is_refused_until_there_is_room(place: Place) -> None:
    person = await place.person(max_queued=3)
    running = await person.send("say on; hang")
    await person.shown("text", "on")
    waiting = [await person.send(f"say {number}") for number in range(3)]
    with pytest.raises(errors.QueueFull, match="3 prompts .* wait, withdraw some, or stop it"):
        await person.send("say one more")
    assert [prompt.id for prompt in (await person.state()).queued] == waiting
    assert await person.runtime.withdraw(person.chat.id, waiting[-1])
    await person.send("say now there is room")
    await person.runtime.stop(person.chat.id)
    assert (await person.ended(running)).end == "cancelled"


# Entries --------------------------------------------------------------------------------------------------------------


def test_text_at_the_limit_is_one_entry_and_a_character_more_goes_on_in_another() -> None:
    whole = recorder(longest=10)
    whole.on(events.TextDelta(text="0123456789"))
    assert [entry.body for entry in taken(whole)] == [Text("0123456789")]
    more = recorder(longest=10)
    for text in ("01234", "56789", "x"):
        more.on(events.TextDelta(text=text))
    assert [entry.body for entry in taken(more)] == [Text("0123456789"), Text("x")]
    flood = recorder(longest=10)
    flood.on(events.TextDelta(text="abcdefghij" * 10 + "k"))
    assert "".join(entry.body.text for entry in taken(flood)) == "abcdefghij" * 10 + "k"  # type: ignore[union-attr]


def test_the_output_of_a_tool_at_the_limit_is_whole_and_beyond_it_its_middle_is_left_out() -> None:
    made = recorder(longest=100)
    for call, size in (("at", 100), ("beyond", 101)):
        made.on(events.ToolUpdate(call_id=call, original_name="bash", status="completed", content="x" * size))
    at, beyond = (entry.body.content for entry in taken(made) if isinstance(entry.body, ToolCall))
    assert at == "x" * 100
    assert beyond == f"{'x' * 50}\n… 1 characters were left out here (`entry_limit`) …\n{'x' * 50}"


async def test_a_turn_may_make_so_many_entries_and_one_that_makes_more_is_stopped(place: Place) -> None:
    person = await place.person(max_entries=60)
    fine = await person.prompt("; ".join(f"think {n}; say {n}" for n in range(8)))
    assert fine.end == "completed"
    turn = await person.prompt("; ".join(f"think {n}; say {n}" for n in range(500)) + "; hang")
    assert (turn.end, turn.code) == ("limited", "entry_limit")
    assert turn.message.endswith("the most that one may (`max_entries`): prompt again to go on.")
    entries = await person.entries(turn.id)
    assert [e.body.code for e in entries if isinstance(e.body, Notice)] == ["entry_limit"]
    assert (await person.prompt("say on")).end == "completed"


# A store that is slower than the agent --------------------------------------------------------------------------------


class SlowLog:
    """Takes what is committed, when it is let."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.text: dict[int, str] = {}
        self.committed = 0

    async def commit(self, lease: Any, chat_id: str, batch: Any) -> Committed:
        await self.opened.wait()
        self.committed += 1
        self.text |= {chunk.offset: chunk.text for chunk in batch.chunks if isinstance(chunk, Chunk)}
        return Committed(rev=self.committed, positions=tuple(range(1, len(batch.entries) + 1)))


async def test_an_agent_that_says_more_than_the_store_takes_waits_and_nothing_is_lost() -> None:
    made, log = recorder(longest=10**9), SlowLog()
    writer = Writer(log, None, made, Feed(), interval=0.001)  # type: ignore[arg-type]
    running = asyncio.create_task(writer.run())
    said = 0
    while not made.ahead:
        made.on(events.TextDelta(text="x" * 1000))
        said += 1000
        writer.touch()
    assert AHEAD < said <= AHEAD + 1000
    waiting = asyncio.create_task(writer.caught_up())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done, "it waits for the store"
    log.opened.set()
    await asyncio.wait_for(waiting, DEADLINE)
    assert not made.ahead
    assert sum(map(len, log.text.values())) == said
    writer.stop()
    await running
    await asyncio.wait_for(writer.caught_up(), DEADLINE)


def test_many_changed_entries_that_wait_are_too_many_too() -> None:
    made = recorder()
    for number in range(MANY):
        made.on(events.Noticed(text=str(number)))
    assert not made.ahead
    made.on(events.Noticed(text="one more"))
    assert made.ahead


async def test_a_flood_of_an_agent_arrives_whole_at_all_who_listen_while_one_is_frozen(place: Place) -> None:
    person = await place.person()
    frozen = person.runtime.stream(person.chat.id)
    assert isinstance(await anext(aiter(frozen)), Hello)
    turn = await person.prompt("stream 20000 0")
    assert turn.end == "completed"
    assert (await person.said(turn.id)).split() == [f"word{number}" for number in range(20_000)]
    await frozen.aclose()  # type: ignore[attr-defined]


# Readers --------------------------------------------------------------------------------------------------------------


async def test_so_many_may_read_and_one_more_is_told_until_another_has_left(place: Place) -> None:
    person = await place.person(max_readers=2)
    readers = [person.runtime.stream(person.chat.id) for _ in range(3)]
    for reader in readers[:2]:
        assert isinstance(await anext(aiter(reader)), Hello)
    with pytest.raises(errors.TooManyReaders, match=r"`max_readers`\): close some, then try again\."):
        await anext(aiter(readers[2]))
    await readers[0].aclose()  # type: ignore[attr-defined]
    again = person.runtime.stream(person.chat.id)
    assert isinstance(await anext(aiter(again)), Hello)
    for reader in (readers[1], again):
        await reader.aclose()  # type: ignore[attr-defined]


async def test_what_is_told_to_a_running_turn_has_the_limit_of_a_prompt(place: Place) -> None:
    person = await place.person(prompt_limit=100)
    await person.send("say on; hang")
    await person.shown("text", "on")
    assert await person.runtime.steer(person.chat.id, "x" * 100) in (True, False)
    with pytest.raises(errors.PromptTooLong, match="101 bytes and the limit is 100"):
        await person.runtime.steer(person.chat.id, "x" * 101)
    await person.runtime.stop(person.chat.id)
