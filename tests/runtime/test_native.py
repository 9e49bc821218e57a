"""The native agent through the whole runtime: worktree, store, several agents in one chat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.model import Say, ScriptedModel, last_said, scripted_model, text_of
from support.place import Person, Place

from coder_nb.core.entries import Notice, Usage, UserMessage
from coder_nb.testing import scripted_agent

pytestmark = pytest.mark.anyio


def users(request: dict[str, Any]) -> list[str]:
    return [text_of(message) for message in request["messages"] if message["role"] == "user"]


def plain(request: dict[str, Any]) -> Say:
    return Say((f"heard {len(users(request))}",), usage=(len(users(request)) * 100, 7))


def writing(request: dict[str, Any]) -> Say:
    if request["messages"][-1]["role"] == "tool":
        return Say(("Written.",), usage=(200, 5))
    return Say((), (("write_file", {"path": "new.txt", "content": "text\n"}),), usage=(100, 20))


@asynccontextmanager
async def staged(place: Place, script: Any, **settings: Any) -> AsyncIterator[tuple[Person, ScriptedModel]]:
    async with scripted_model(script) as model:
        yield await reopened(place, model, **settings), model
        for runtime in place._open:
            await runtime.close()


async def reopened(place: Place, model: ScriptedModel, **settings: Any) -> Person:
    agents = {"native": {"model": "openai/scripted", "base_url": model.url}}
    return await place.person(await place.runtime(agents=agents, **settings))


async def test_it_works_in_the_worktree_and_its_history_is_in_the_store(place: Place) -> None:
    async with staged(place, writing) as (person, model):
        turn = await person.prompt("write it", agent="native", mode="accept_edits")
        assert turn.end == "completed"
        (change,) = await person.runtime.changes(person.chat.id)
        assert (change.path, change.agent) == ("new.txt", "native")
        assert not (person.repository / "new.txt").exists()
        (before,) = await person.runtime.agent_sessions(person.session.id)
        await person.runtime.close()
        model.answer = plain
        person = await reopened(place, model)
        await person.prompt("and now?", agent="native")
        (after,) = await person.runtime.agent_sessions(person.session.id)
        assert after.native_id == before.native_id
        roles = [message["role"] for message in model.asked[-1]["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
        assert not any(e.kind == "notice" for e in await person.entries() if "memory" in str(e.body))


async def test_fifty_first_prompts_at_once_open_one_session(place: Place) -> None:
    async with staged(place, plain) as (person, model):
        sent = await asyncio.gather(*(person.send(f"prompt {n}", agent="native") for n in range(50)))
        first = [prompt.id for prompt in (await person.state()).queued][:5]
        ends = [(await person.ended(prompt)).end for prompt in first]
        assert ends == ["completed"] * len(first)
        for prompt in sent:
            await person.runtime.withdraw(person.chat.id, prompt)
        await person.until(lambda turns: turns[-1] if all(turn.end for turn in turns) else None)
        (info,) = await person.runtime.agent_sessions(person.session.id)
        history = person.runtime._store.history
        assert [session for session, _ in await history.sessions("native")] == [info.native_id]
        assert len(users(model.asked[-1])) == len(model.asked) >= 5


async def test_usage_over_ten_turns_with_a_resume_a_fork_and_a_stop_equals_the_models_journal(place: Place) -> None:
    def script(request: dict[str, Any]) -> Say:
        return Say(("begun",), hang=True) if last_said(request).endswith("hang") else plain(request)

    async with staged(place, script) as (person, model):
        for number in range(4):
            await person.prompt(f"turn {number}", agent="native")
        running = await person.send("hang", agent="native")
        await person.shown("text", "begun")
        await person.runtime.stop(person.chat.id)
        assert (await person.ended(running)).end == "cancelled"
        await person.runtime.close()
        person = await reopened(place, model)
        for number in range(3):
            await person.prompt(f"turn {number}", agent="native")
        fork = Person(person.runtime, person.session, await person.runtime.fork(person.chat.id))
        for number in range(3):
            await fork.prompt(f"fork {number}", agent="native")
        counted = [row for row in await person.runtime.usage() if row.counted and row.agent == "native"]
        journal = [say.usage for say in model.said if not say.hang and say.usage]
        assert sorted((row.tokens.input, row.tokens.output) for row in counted) == sorted(journal)
        assert len(journal) == 10
        assert users(model.asked[-1])[:4] == ["turn 0", "turn 1", "turn 2", "turn 3"], "the fork remembers"


async def test_agents_that_take_turns_in_one_chat_each_see_what_the_other_said(place: Place) -> None:
    async with staged(place, plain) as (person, model):
        await person.prompt("say the number is 7", agent="scripted")
        await person.prompt("which number?", agent="native")
        (asked,) = users(model.asked[-1])
        assert "the user to scripted: say the number is 7\nscripted: the number is 7" in asked
        assert asked.endswith("which number?")
        await person.prompt("say thanks", agent="scripted")
        recalled = await person.prompt("recall", agent="scripted")
        said = await person.said(recalled.id)
        assert "native: heard 1" in said
        assert {info.agent for info in await person.runtime.agent_sessions(person.session.id)} == {"native", "scripted"}


async def test_what_the_user_adds_is_an_entry_of_the_running_turn(place: Place) -> None:
    def script(request: dict[str, Any]) -> Say:
        if request["messages"][-1]["role"] == "tool":
            return plain(request)
        return Say((), (("shell", {"command": "while [ ! -e go ]; do sleep 0.02; done"}),))

    async with staged(place, script) as (person, model):
        assert not await person.runtime.steer(person.chat.id, "nothing runs")
        running = await person.send("wait", agent="native", mode="bypass")
        await person.shown("tool_call", "in_progress")
        assert await person.runtime.steer(person.chat.id, "also this")
        (await person.worktree() / "go").write_text("")
        turn = await person.ended(running)
        assert turn.end == "completed"
        assert users(model.asked[-1]) == ["wait", "also this"]
        said = [e.body.text for e in await person.entries(turn.id) if isinstance(e.body, UserMessage)]
        assert said == ["wait", "also this"]


async def test_an_agent_that_takes_nothing_meanwhile_says_so(place: Place) -> None:
    person = await place.person()
    running = await person.send("think hm; hang")
    await person.shown("reasoning", "hm")
    assert not await person.runtime.steer(person.chat.id, "also this")
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    assert sum(isinstance(e.body, UserMessage) for e in await person.entries()) == 1


async def test_a_stop_is_never_ended_twice_and_the_next_turn_is_its_own(place: Place) -> None:
    def script(request: dict[str, Any]) -> Say:
        return Say(("begun",), hang=True) if last_said(request) == "hang" else plain(request)

    async with staged(place, script) as (person, _):
        for _ in range(3):
            running = await person.send("hang", agent="native")
            await person.until(lambda turns: next((turn for turn in turns if not turn.end), None))
            following = await person.send("next", agent="native")
            await person.runtime.stop(person.chat.id)
            await person.runtime.go_on(person.chat.id)
            assert (await person.ended(running)).end == "cancelled"
            turn = await person.ended(following)
            assert (turn.end, (await person.said(turn.id))[:5]) == ("completed", "heard")
        assert await person.ends() == ["cancelled", "completed"] * 3


async def test_commands_are_known_from_what_agents_told_and_a_command_is_put_behind_nothing(place: Place) -> None:
    person = await place.person(agents={"other": scripted_agent.entry()})
    assert await person.runtime.commands(person.chat.id) == ()
    await person.prompt("say hi")
    (known,) = await person.runtime.commands(person.chat.id)
    assert known.agent == "scripted"
    assert [(command.name, command.hint) for command in known.commands] == [("say", "TEXT")]
    beside = await person.runtime.open_chat(person.session.id, name="beside")
    assert await person.runtime.commands(beside.id) == (known,)
    await person.prompt("say other words", agent="other")
    turn = await person.prompt("/say it")
    assert [e.body.code for e in await person.entries(turn.id) if isinstance(e.body, Notice)] == ["recap_waits"]
    assert await person.said(turn.id) == "You said: /say it"
    await person.prompt("say more")
    turn = await person.prompt("recall")
    assert "other: other words" in await person.said(turn.id)
    await person.runtime.close()
    person = await place.person()
    assert await person.runtime.commands(person.chat.id)


async def test_its_usage_has_a_cost_where_the_price_is_known(place: Place) -> None:
    async with staged(place, plain) as (person, _):
        turn = await person.prompt("hi", agent="native", model="openai/gpt-4o")
        (usage,) = [e.body for e in await person.entries(turn.id) if isinstance(e.body, Usage)]
        assert (usage.tokens.input, usage.tokens.output) == (100, 7)


async def test_what_it_remembers_is_in_the_store_and_goes_to_another_machine_where_anothers_does_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(place, plain) as (person, model):
        await person.prompt("remember plums", agent="native")
        await person.prompt("say plums", agent="scripted")
        before = {info.agent: info.native_id for info in await person.runtime.agent_sessions(person.session.id)}
        await person.runtime.close()
        monkeypatch.setattr("socket.gethostname", lambda: "another-machine")
        person = await reopened(place, model)
        await person.prompt("and now?", agent="native")
        turn = await person.prompt("say apples", agent="scripted")
        after = {info.agent: info.native_id for info in await person.runtime.agent_sessions(person.session.id)}
        assert after["native"] == before["native"]
        assert after["scripted"] != before["scripted"]
        codes = [entry.body.code for entry in await person.entries(turn.id) if isinstance(entry.body, Notice)]
        assert "memory_rebuilt" in codes
