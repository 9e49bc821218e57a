"""Budgets, through the whole runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

import pytest
from support.place import Person, Place

from coder_nb.backends.base import AgentSession, Asked, Capabilities, Opening, Plain, Probe, Untold
from coder_nb.backends.events import AnyEvent, Done, TextDelta, UsageReported
from coder_nb.core.entries import Notice

pytestmark = pytest.mark.anyio


class Spender(Plain):
    """An agent session that tells what it has cost while it goes on working."""

    native_id, capabilities, pid, alive = "native", Capabilities(), None, True
    resumed: Literal["new"] = "new"

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.prompts = 0

    async def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        self.prompts += 1
        self.stopped.clear()
        yield UsageReported(cost_nanousd=round(float(asked.user_text) * 1e9), cost_source="reported")
        yield TextDelta(text="On and on.")
        await self.stopped.wait()
        yield Done(end="cancelled")

    async def answer(self, request_id: str, option_id: str | None) -> None:
        return None

    async def cancel(self) -> None:
        self.stopped.set()

    async def close(self) -> None:
        return None


class Spenders(Untold):
    def __init__(self) -> None:
        self.session = Spender()

    async def probe(self, agent: str) -> Probe:
        return Probe(available=True)

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        return self.session

    async def close(self) -> None:
        return None


async def notices(person: Person) -> list[str]:
    return [e.body.text for e in await person.entries() if isinstance(e.body, Notice) and e.body.code == "budget"]


async def test_a_budget_that_is_reached_is_said_once_and_the_work_goes_on(place: Place) -> None:
    person = await place.person(budget_chat=1.0)
    for cost in ("0.6", "0.6", "0.6"):
        assert (await person.prompt(f"cost {cost}; say on")).end == "completed"
    [text] = await notices(person)
    assert text.startswith("This chat has cost $1.20, and the budget is $1.00. Turns go on")


async def test_a_turn_is_stopped_where_it_is_set_so_and_none_begins_beyond_it(place: Place) -> None:
    person = await place.person(budget_day=1.0, budget_stops=True)
    backend = Spenders()
    person.runtime._agents._backends["acp"] = backend
    turn = await person.prompt("1.5")
    assert (turn.end, turn.code) == ("limited", "budget")
    assert turn.message.endswith("No turn goes on beyond it: the setting `budget_day` is the limit.")
    again = await person.prompt("0.1")
    assert (again.end, again.code, backend.session.prompts) == ("limited", "budget", 1)


async def test_a_turn_that_was_complete_before_its_cost_was_told_is_complete(place: Place) -> None:
    person = await place.person(budget_chat=1.0, budget_stops=True)
    assert (await person.prompt("cost 1.5; say all")).end == "completed"
    assert (await person.prompt("say no more")).end == "limited"
