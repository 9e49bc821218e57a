"""The time of day jumps in mid-turn, by a machine's sleep or by a person: nothing is evicted, lost or negative."""

from __future__ import annotations

from typing import Any

import pytest
from support.place import DEADLINE, Person

from coder_nb.core.entries import Permission, TurnEnded
from coder_nb.runtime import Runtime
from coder_nb.runtime.context import Context

pytestmark = pytest.mark.anyio
HOUR = 3_600_000


def jump(runtime: Runtime, milliseconds: int) -> None:
    """The time of day jumps, for all that the runtime sees of it."""
    runtime._context.now = lambda: Context.now() + milliseconds  # type: ignore[method-assign]


async def bodies(person: Person, kind: type[Any]) -> list[Any]:
    return [entry.body for entry in await person.entries() if isinstance(entry.body, kind)]


@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR])
async def test_a_jump_in_mid_turn_changes_no_duration_and_evicts_nobody(place: Any, by: int) -> None:
    person = await place.person(permission_grace=DEADLINE)
    pid = await person.said((await person.prompt("pid")).id)
    prompt = await person.send("ask rm; say done", mode="ask")
    asked = (await person.shown("permission")).body
    jump(person.runtime, by)
    assert await person.runtime.answer(person.chat.id, asked.request_id, asked.options[0].id, by="a test")
    turn = await person.ended(prompt)
    assert turn.ended_at >= turn.started_at
    assert [0 <= ended.duration_ms < HOUR for ended in await bodies(person, TurnEnded)] == [True, True]
    assert [0 <= each.waited_ms < HOUR for each in await bodies(person, Permission)] == [True]
    later = await person.prompt("pid")
    assert await person.said(later.id) == pid
    assert [each.id for each in await person.runtime.turns(person.chat.id)][-2:] == [turn.id, later.id]


@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR])
async def test_what_is_recovered_after_a_jump_has_no_negative_duration(place: Any, by: int) -> None:
    person = await place.person()
    await person.send("say begun; hang")
    await person.shown("text", "begun")
    jump(person.runtime, by)
    await person.runtime.close()
    again = await place.person()
    [turn] = await again.runtime.turns(again.chat.id)
    assert turn.state == "interrupted"
    assert turn.ended_at >= turn.started_at
    assert all(ended.duration_ms >= 0 for ended in await bodies(again, TurnEnded))
