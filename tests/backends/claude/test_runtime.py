"""Claude in the whole runtime: with other agents in one chat, after a restart, and by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from support.anthropic_model import AnthropicModel, Request, Say, anthropic_model, notified, prompts, results, said
from support.model import Say as Answer
from support.model import scripted_model, text_of
from support.place import Person, Place

from coder_nb.core.entries import Reasoning, TurnStarted, Usage
from coder_nb.runtime import Runtime

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def script(request: Request) -> Say:
    """Says what it was asked, remembers, and may be told to delegate."""
    words = said(request)
    if notified(request):
        return Say(("It is done.",))
    if results(request):
        return Say(("It is under way.",))
    if words == "the job":
        return Say(("I am the sub-agent.",), pause=0.1)
    if words.endswith("delegate"):
        call = {"description": "a job", "prompt": "the job", "subagent_type": "general-purpose"}
        return Say((), (("Agent", call),))
    if words.endswith("recall"):
        return Say(("I know: ", " | ".join(prompts(request))))
    return Say(("You said: ", words[-60:]), thinking="A plan.")


class Stage:
    """A place with Claude and the native agent, each over a model of its own."""

    def __init__(self, place: Place, claude: AnthropicModel, native: Any) -> None:
        self.place, self.claude, self.native = place, claude, native
        env = {
            "ANTHROPIC_BASE_URL": claude.url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        self.agents = {
            "claude": {"enabled": True, "env": env},
            "native": {"model": "openai/scripted", "base_url": native.url},
        }

    async def runtime(self) -> Runtime:
        return await self.place.runtime(agents=self.agents, start_timeout=60.0, cancel_grace=5.0)


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (tmp_path / "home").mkdir()
    async with AsyncExitStack() as stack:
        claude = await stack.enter_async_context(anthropic_model(script))
        native = await stack.enter_async_context(
            scripted_model(lambda request: Answer((f"native heard: {text_of(request['messages'][-1])[-5:]}",)))
        )
        place = Place(tmp_path / "place")
        stack.push_async_callback(place.close)
        yield Stage(place, claude, native)


async def test_two_turns_a_switch_and_a_restart_keep_one_native_session(stage: Stage) -> None:
    person = await stage.place.person(await stage.runtime())
    first = await person.prompt("one", agent="claude")
    (before,) = await person.runtime.agent_sessions(person.session.id)
    second = await person.prompt("two", agent="claude")
    (after,) = await person.runtime.agent_sessions(person.session.id)
    assert (before.native_id, before.pid) == (after.native_id, after.pid)
    assert [first.end, second.end] == ["completed", "completed"]
    assert [e.body.text for e in await person.entries(second.id) if isinstance(e.body, Reasoning)] == ["A plan."]
    tree = await person.worktree()

    await person.prompt("three", agent="native")
    assert "You said: one" in str(stage.native.asked[-1]), "it was told what Claude had said"
    back = await person.prompt("recall", agent="claude")
    known = await person.said(back.id)
    assert known.startswith("I know: one | two | Since your last turn")
    assert "native heard: three" in known
    sessions = {each.agent: each for each in await person.runtime.agent_sessions(person.session.id)}
    assert (sessions["claude"].native_id, sessions["claude"].pid) == (before.native_id, before.pid)
    assert await person.worktree() == tree

    await person.runtime.close()
    later = Person(await stage.runtime(), person.session, person.chat)
    again = await later.prompt("recall", agent="claude")
    assert (await later.said(again.id)).startswith("I know: one | two | Since your last turn")
    sessions = {each.agent: each for each in await later.runtime.agent_sessions(later.session.id)}
    assert sessions["claude"].native_id == before.native_id
    assert sessions["claude"].pid != before.pid
    spent = [e.body for e in await later.entries() if isinstance(e.body, Usage) and e.agent == "claude"]
    assert sum(usage.tokens.output or 0 for usage in spent) == 25 * len(stage.claude.counted)
    messages = [e for e in await later.entries() if e.kind == "user_message" and e.agent == "claude"]
    assert all(message.native_id for message in messages)


async def test_what_a_task_in_the_background_brings_is_a_turn_of_origin_agent(stage: Stage) -> None:
    person = await stage.place.person(await stage.runtime())
    mine = await person.prompt("delegate", agent="claude", mode="bypass")
    assert await person.said(mine.id) == "It is under way."
    own = await person.until(lambda turns: next((t for t in turns if t.prompt_id is None and t.end), None))
    assert (own.end, await person.said(own.id)) == ("completed", "It is done.")
    (started,) = [e.body for e in await person.entries(own.id) if isinstance(e.body, TurnStarted)]
    assert started.origin == "agent"
    assert (await person.prompt("hello", agent="claude")).end == "completed"


async def test_many_first_prompts_start_one_process(stage: Stage) -> None:
    person = await stage.place.person(await stage.runtime())
    started: list[str] = []
    keeper = person.runtime._keeper
    spawn = keeper.spawn

    async def counted(argv: Any, **more: Any) -> Any:
        started.append(argv[0])
        return await spawn(argv, **more)

    keeper.spawn = counted  # type: ignore[method-assign]  # it counts, and is the same
    ids = await asyncio.gather(*(person.send(f"prompt {number}", agent="claude") for number in range(50)))
    for prompt_id in ids[:3]:
        assert (await person.ended(prompt_id)).end == "completed"
    for prompt_id in ids[3:]:
        await person.runtime.withdraw(person.chat.id, prompt_id)
    assert len(started) == 1
