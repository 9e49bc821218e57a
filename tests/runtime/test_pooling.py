"""What somebody sees of the warm agents, and does to one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.place import DEADLINE, Person, Place

from coder_nb.core.health import AgentLog, LiveAgent
from coder_nb.ids import new_id

pytestmark = pytest.mark.anyio


async def live(person: Person, found: Callable[[LiveAgent], bool]) -> LiveAgent:
    """The one warm agent, as soon as it is as wanted."""
    async with asyncio.timeout(DEADLINE):
        while True:
            for one in await person.runtime.pool():
                if found(one):
                    return one
            await asyncio.sleep(0.02)  # it is looked at from time to time, and nothing tells when


async def test_what_is_warm_says_whose_it_is_and_what_it_is_about(place: Place) -> None:
    person = await place.person()
    assert await person.runtime.pool() == ()
    await person.prompt("say one")
    (one,) = await person.runtime.pool()
    assert (one.key, one.agent, one.state) == (f"{person.chat.id}.scripted", "scripted", "idle")
    assert (one.chat_id, one.session_id, one.title) == (person.chat.id, person.session.id, "say one")
    assert one.pid
    assert (one.restarts, one.why) == (0, "")
    assert one.started_at is not None
    assert one.memory is not None, "it is measured for whoever asks first"
    assert one.memory > 1_000_000


async def test_a_busy_agent_is_not_ended_and_an_idle_one_goes_on_where_it_was(place: Place) -> None:
    person = await place.person()
    running = await person.send("say on; hang")
    await person.shown("text", "on")
    (one,) = await person.runtime.pool()
    assert one.state == "busy"
    assert not await person.runtime.evict(one.key)
    assert not await person.runtime.restart(one.key)
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    assert await person.runtime.evict(one.key)
    assert await person.runtime.pool() == ()
    assert not await person.runtime.evict(one.key)
    turn = await person.prompt("recall")
    assert "say on; hang" in await person.said(turn.id)
    (again,) = await person.runtime.pool()
    assert again.pid != one.pid


async def test_one_that_is_started_anew_is_another_process_with_the_same_memory(place: Place) -> None:
    person = await place.person()
    await person.prompt("say the first thing")
    (before,) = await person.runtime.pool()
    assert await person.runtime.restart(before.key)
    (after,) = await person.runtime.pool()
    assert (after.key, after.state) == (before.key, "idle")
    assert after.pid != before.pid
    turn = await person.prompt("recall")
    assert "say the first thing" in await person.said(turn.id)
    assert not await person.runtime.restart(f"{new_id()}.scripted")


async def test_one_that_crashed_says_why_and_its_log_has_its_last_words(place: Place) -> None:
    person = await place.person()
    turn = await person.prompt("stderr 200; die 3")
    assert turn.end == "failed"
    one = await live(person, lambda found: found.restarts == 1 and found.state == "idle")
    assert "exit code 3" in one.why
    log = await person.runtime.agent_log(one.key)
    happened = {happening.word: happening.text for happening in log.happenings}
    assert list(happened)[:4] == ["prompt_accepted", "turn_started", "agent_started", "agent_crashed"]
    assert f"end=failed code={turn.code}" in happened["turn_ended"]
    assert "the script says so" in (log.stderr or one.why)


async def test_the_log_of_one_that_was_ended_is_there_and_that_of_nobody_is_empty(place: Place) -> None:
    person = await place.person()
    await person.prompt("say one")
    (one,) = await person.runtime.pool()
    await person.runtime.evict(one.key)
    log = await person.runtime.agent_log(one.key)
    assert "agent_started" in [happening.word for happening in log.happenings]
    assert await person.runtime.agent_log("nobody.at-all") == AgentLog(key="nobody.at-all")
    assert not await person.runtime.evict("nobody.at-all")
