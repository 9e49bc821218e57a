"""The time of day jumps in mid-turn, by a machine's sleep or by a person: nothing is evicted, lost or negative."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from support.place import DEADLINE, Person

from coder_nb.core.entries import Permission, TurnEnded
from coder_nb.errors import RunElsewhere

pytestmark = pytest.mark.anyio
HOUR = 3_600_000


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the time of day jump by milliseconds, for everything in this process; as after a machine's sleep, the clock
    that measures goes on where it was."""

    def by(milliseconds: int) -> None:
        seconds, nanoseconds = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: seconds() + milliseconds / 1000)
        monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + milliseconds * 1_000_000)

    return by


async def bodies(person: Person, kind: type[Any]) -> list[Any]:
    return [entry.body for entry in await person.entries() if isinstance(entry.body, kind)]


@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR])
async def test_a_jump_in_mid_turn_changes_no_duration_and_evicts_nobody(place: Any, jump: Any, by: int) -> None:
    person = await place.person(permission_grace=DEADLINE)
    pid = await person.said((await person.prompt("pid")).id)
    prompt = await person.send("ask rm; say done", mode="ask")
    asked = (await person.shown("permission")).body
    jump(by)
    assert await person.runtime.answer(person.chat.id, asked.request_id, asked.options[0].id, by="a test")
    turn = await person.ended(prompt)
    assert turn.ended_at >= turn.started_at
    assert [0 <= ended.duration_ms < HOUR for ended in await bodies(person, TurnEnded)] == [True, True]
    assert [0 <= each.waited_ms < HOUR for each in await bodies(person, Permission)] == [True]
    later = await person.prompt("pid")
    assert await person.said(later.id) == pid
    assert [each.id for each in await person.runtime.turns(person.chat.id)][-2:] == [turn.id, later.id]


@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR])
async def test_what_is_recovered_after_a_jump_has_no_negative_duration(place: Any, jump: Any, by: int) -> None:
    person = await place.person()
    await person.send("say begun; hang")
    await person.shown("text", "begun")
    jump(by)
    await person.runtime.close()
    again = await place.person()
    [turn] = await again.runtime.turns(again.chat.id)
    assert turn.state == "interrupted"
    assert turn.ended_at >= turn.started_at
    assert all(ended.duration_ms >= 0 for ended in await bodies(again, TurnEnded))


@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR])
async def test_a_jump_lets_no_idle_agent_go_and_no_lease_and_starts_nothing_again_earlier(
    place: Any, jump: Any, by: int
) -> None:
    person = await place.person()
    runtime = person.runtime
    before = await person.said((await person.prompt("pid")).id)
    for _ in range(2):
        runtime._context.crashes.note("a.scripted")
    starts_at = runtime._context.crashes.starts_at("a.scripted")
    (told,) = [each for each in await runtime.pool() if each.chat_id == person.chat.id]
    jump(by)
    await runtime._supervisor._check()
    runtime._supervisor._look(time.monotonic())
    await runtime._host.release_idle()
    (live,) = [each for each in await runtime.pool() if each.chat_id == person.chat.id]
    assert (live.state, live.pid, str(live.pid)) == ("idle", told.pid, before)
    assert abs(live.last_active_at - told.last_active_at - by) < HOUR  # it is told by the time of day that is now
    assert runtime._context.crashes.starts_at("a.scripted") == starts_at
    neighbour = await place.person(await place.runtime("a neighbour"))
    with pytest.raises(RunElsewhere):
        await neighbour.prompt("say mine")
    assert await person.said((await person.prompt("pid")).id) == before


@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR])
async def test_a_permission_and_a_queue_wait_through_a_jump_as_they_did(place: Any, jump: Any, by: int) -> None:
    person = await place.person(permission_grace=DEADLINE)
    asking = await person.send("ask rm; say done", mode="ask")
    waiting = await person.send("say next", mode="ask")
    asked = (await person.shown("permission")).body
    jump(by)
    await person.runtime._supervisor._check()
    state = await person.state()
    assert (state.run_status, [prompt.id for prompt in state.queued]) == ("running", [waiting])
    assert await person.runtime.answer(person.chat.id, asked.request_id, asked.options[0].id, by="a test")
    assert [(await person.ended(each)).end for each in (asking, waiting)] == ["completed", "completed"]
