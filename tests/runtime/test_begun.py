"""Turns that an agent begins by itself: recorded, in their place among the user's, stoppable, and never told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import pytest
from support.place import DEADLINE, Person, Place

from coder_nb.backends.base import AgentSession, Asked, Capabilities, Opening, Plain, Probe, Untold
from coder_nb.backends.events import AnyEvent, Done, PermissionAsked, SelfStarted, TextDelta
from coder_nb.core.entries import Notice, PermissionOption, TurnStarted, UserMessage
from coder_nb.runtime.begun import BEGUN_CHARS

pytestmark = pytest.mark.anyio
YES = PermissionOption(id="yes", label="Yes", kind="allow_once")


class Restless(Plain):
    """An agent session that repeats its prompts, and says between them what a test has it say."""

    native_id, capabilities, pid, alive = "native", Capabilities(), None, True
    resumed: Literal["new"] = "new"

    def __init__(self, say: Callable[[AnyEvent], None]) -> None:
        self.say = say
        self.asked: list[str] = []
        self.cancelled = 0
        self.answered: list[tuple[str, str | None]] = []
        self.has_answer = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        self.asked.append(asked.text)
        await self.hold.wait()
        yield TextDelta(text=asked.user_text)
        yield Done(end="completed")

    async def answer(self, request_id: str, option_id: str | None) -> None:
        self.answered.append((request_id, option_id))
        self.has_answer.set()

    async def cancel(self) -> None:
        self.cancelled += 1
        self.say(Done(end="cancelled"))

    async def close(self) -> None:
        return None


class Restlessness(Untold):
    """A backend of such sessions."""

    def __init__(self) -> None:
        self.sessions: list[Restless] = []

    async def probe(self, agent: str) -> Probe:
        return Probe(available=True)

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        self.sessions.append(Restless(idle_events))
        return self.sessions[-1]

    async def close(self) -> None:
        return None


async def begin(place: Place) -> tuple[Person, Restless]:
    """A person whose agent has taken one turn."""
    person = await place.person()
    backend = Restlessness()
    person.runtime._agents._backends["acp"] = backend
    assert (await person.prompt("first")).end == "completed"
    return person, backend.sessions[0]


async def own_turn(person: Person, number: int = 1) -> Any:
    def nth(turns: Any) -> Any:
        own = [turn for turn in turns if turn.prompt_id is None and turn.end]
        return own[number - 1] if len(own) >= number else None

    return await person.until(nth)


async def test_what_an_agent_begins_by_itself_is_a_turn_of_origin_agent(place: Place) -> None:
    person, agent = await begin(place)
    for event in (
        SelfStarted(reason="a task"),
        TextDelta(text="The task "),
        TextDelta(text="is done."),
        Done(end="completed"),
    ):
        agent.say(event)
    turn = await own_turn(person)
    assert (turn.end, turn.agent, turn.prompt_id) == ("completed", "scripted", None)
    assert await person.said(turn.id) == "The task is done."
    kinds = [entry.kind for entry in await person.entries(turn.id)]
    assert kinds[0] == "turn_started"
    assert kinds[-1] == "turn_ended"
    (started,) = [e.body for e in await person.entries(turn.id) if isinstance(e.body, TurnStarted)]
    assert started.origin == "agent"
    assert not any(isinstance(entry.body, UserMessage) for entry in await person.entries(turn.id))
    assert (await person.state()).run_status == "idle"
    assert agent.asked == ["first"]


async def test_its_place_is_after_the_turn_that_runs(place: Place) -> None:
    person, agent = await begin(place)
    agent.hold.clear()
    prompt_id = await person.send("second")
    await person.shown("user_message", "second")
    for event in (SelfStarted(), TextDelta(text="by myself"), Done(end="completed")):
        agent.say(event)
    agent.hold.set()
    mine = await person.ended(prompt_id)
    own = await own_turn(person)
    assert await person.said(mine.id) == "second"
    assert await person.said(own.id) == "by myself"
    assert own.started_at >= mine.ended_at


async def test_a_prompt_waits_for_it_and_it_can_be_stopped(place: Place) -> None:
    person, agent = await begin(place)
    agent.say(SelfStarted())
    agent.say(TextDelta(text="for ever"))
    await person.shown("text", "for ever")
    prompt_id = await person.send("next")
    assert await person.runtime.stop(person.chat.id)
    own = await own_turn(person)
    assert (own.end, agent.cancelled) == ("cancelled", 1)
    await person.runtime.go_on(person.chat.id)
    assert (await person.ended(prompt_id)).end == "completed"


async def test_it_asks_by_the_mode_of_the_turn_before(place: Place) -> None:
    person, agent = await begin(place)
    await person.prompt("second", mode="bypass")
    agent.say(SelfStarted())
    agent.say(PermissionAsked(request_id="r", tool="Bash", tool_kind="execute", options=(YES,)))
    async with asyncio.timeout(DEADLINE):
        await agent.has_answer.wait()
    agent.say(Done(end="completed"))
    await own_turn(person)
    assert agent.answered == [("r", "yes")]


async def test_what_comes_after_its_end_is_no_part_of_anything(place: Place) -> None:
    person, agent = await begin(place)
    for event in (SelfStarted(), Done(end="completed"), TextDelta(text="late"), SelfStarted(), Done(end="failed")):
        agent.say(event)
    first, second = await own_turn(person, 1), await own_turn(person, 2)
    assert (first.end, second.end) == ("completed", "failed")
    assert not any("late" in str(entry.body) for entry in await person.entries())


async def test_others_words_reach_the_agent_although_it_spoke_by_itself_since(place: Place) -> None:
    person, agent = await begin(place)
    await person.prompt("for the other one", agent="other")
    other = person.runtime._agents._backends["acp"].sessions[1]  # type: ignore[attr-defined]  # as put there
    assert "first" in other.asked[0]
    for event in (SelfStarted(), TextDelta(text="by myself"), Done(end="completed")):
        agent.say(event)
    await own_turn(person)
    await person.prompt("third")
    assert "for the other one" in agent.asked[1]
    assert "by myself" not in agent.asked[1]
    assert not any(
        isinstance(entry.body, Notice) and entry.body.code == "memory_rebuilt" for entry in await person.entries()
    )


async def test_what_it_says_before_its_place_has_come_is_bounded_and_the_turn_says_so(
    place: Place,
) -> None:
    person, agent = await begin(place)
    agent.hold.clear()
    prompt_id = await person.send("second")
    await person.shown("user_message", "second")
    agent.say(SelfStarted())
    for _ in range(30):
        agent.say(TextDelta(text="x" * (BEGUN_CHARS // 10)))
    agent.say(PermissionAsked(request_id="r", tool="Bash", tool_kind="execute", options=(YES,)))
    await person.runtime.attend(person.chat.id, who="ann")
    agent.hold.set()
    await person.ended(prompt_id)
    await person.asking("browser")
    agent.say(TextDelta(text="y" * BEGUN_CHARS))
    agent.say(Done(end="completed"))
    own = await own_turn(person)
    said = await person.said(own.id)
    assert (said.count("x"), said.count("y")) == (9 * (BEGUN_CHARS // 10), BEGUN_CHARS)
    told = [entry.body for entry in await person.entries(own.id) if isinstance(entry.body, Notice)]
    assert [notice.code for notice in told] == ["left_out"]
