"""Claude's real program, prompted as users do: what it may, what it remembers, what it costs, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import matrix
from support.anthropic_model import Request, Say, notified, results, said
from support.claude import World, done_of, text_of, turn, usage_of

from coder_nb.backends.base import Asked, ForkOf, McpServer
from coder_nb.backends.events import (
    AnyEvent,
    CommandsChanged,
    Done,
    Noticed,
    PermissionAsked,
    ReasoningDelta,
    SelfStarted,
    TextDelta,
    ToolUpdate,
    UserSaid,
)
from coder_nb.core.entries import Attachment

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
Make = Callable[..., Any]
LONG = pytest.mark.skipif("CODER_NB_TEST_LONG" not in os.environ, reason="long tier: `scripts/test --long`")


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def id_of(events: list[AnyEvent]) -> str:
    """The id by which Claude knows the user's message of a turn."""
    (message,) = [event.native_id for event in events if isinstance(event, UserSaid)]
    assert message is not None
    return message


@matrix.publishes
async def test_ten_turns_cost_what_the_model_says_with_a_stop_a_resume_and_a_fork(world: World) -> None:
    told: list[AnyEvent] = []
    async with world.opened() as session:
        pid, native_id = session.pid, session.native_id
        first = await turn(session, "remember one")
        second = await turn(session, "write made.txt hello", mode="accept_edits")
        assert [e.text for e in second if isinstance(e, ReasoningDelta)] == ["A plan."]
        assert (world.cwd / "made.txt").read_text() == "hello"
        can = await matrix.found(world.backend, "claude", session, world.cwd, usage_of(second))
        matrix.hold("own", "claude", can)
        told += [*first, *second, *await turn(session, "remember two"), *await turn(session, "hello")]
        stopped: list[AnyEvent] = []
        async for event in session.prompt(Asked(text="endless", user_text="")):
            stopped.append(event)
            if isinstance(event, TextDelta) and event.text == "w3 ":
                await session.cancel()
        assert done_of(stopped).end == "cancelled"
        (cut,) = usage_of(stopped)
        assert (cut.tokens.input, cut.tokens.cache_read, cut.tokens.cache_write) == (100, 300, 20)
        told += await turn(session, "hello again")
        assert (session.pid, session.native_id) == (pid, native_id)
    async with world.opened(native_id=native_id) as session:
        assert (session.resumed, session.native_id) == ("resumed", native_id)
        again = await turn(session, "recall")
        assert text_of(again) == "I remember: one, two."
        told += [*again, *await turn(session, "run true")]
    async with world.opened(fork=ForkOf(native_id=native_id, at=id_of(first))) as session:
        assert session.resumed == "forked"
        assert session.native_id not in (None, native_id)
        forked = await turn(session, "recall")
        assert text_of(forked) == "I remember: one."
        told += forked
    async with world.opened(native_id=native_id) as session:
        last = await turn(session, "recall")
        assert text_of(last) == "I remember: one, two.", "the fork left it as it was"
        told += last
    spent = [event.tokens for event in usage_of(told)]
    sums = [sum(getattr(tokens, name) for tokens in spent) for name in ("input", "cache_read", "cache_write", "output")]
    assert sums == [sum(part) for part in zip(*world.model.counted, strict=True)]
    assert sum(event.cost_nanousd or 0 for event in usage_of(told)) == 560_000 * len(world.model.counted)
    assert {event.model for event in usage_of(told)} == {"claude-sonnet-5"}


@LONG
async def test_it_goes_on_from_the_store_alone_and_from_another_directory(make_world: Make, world: World) -> None:
    async with world.opened() as session:
        await turn(session, "remember one")
        native_id = session.native_id
    shutil.rmtree(world.home)
    moved = world.root / "elsewhere"
    moved.mkdir()
    other = await make_world()
    async with other.opened(native_id=native_id, cwd=moved) as session:
        assert (session.resumed, session.native_id) == ("resumed", native_id)
        assert text_of(await turn(session, "recall")) == "I remember: one."
    entries = await other.backend.store.load({"project_key": "any", "session_id": native_id})
    ids = [entry["uuid"] for entry in entries if "uuid" in entry]
    assert len(ids) == len(set(ids))


async def test_it_goes_back_to_a_message_and_begins_anew(world: World) -> None:
    async with world.opened() as session:
        await turn(session, "remember one")
        second = await turn(session, "remember two")
        await turn(session, "remember three")
        native_id = session.native_id
        assert not await session.rewind("00000000-0000-4000-8000-000000000000")
        assert await session.rewind(id_of(second))
        assert session.native_id == native_id
        assert text_of(await turn(session, "recall")) == "I remember: one, two."
        events = await turn(session, "/clear")
        assert any(isinstance(event, Noticed) and event.code == "cleared" for event in events)
        assert (done_of(events).end, usage_of(events)) == ("completed", [])
        recalled = await turn(session, "recall")
        assert text_of(recalled) == "I remember: nothing."
        assert session.native_id != native_id
        assert [usage.tokens.input for usage in usage_of(recalled)] == [100]
        assert await session.rewind(None)
        assert text_of(await turn(session, "recall")) == "I remember: nothing."


async def test_each_deed_is_asked_about_and_nothing_is_written_into_the_project(world: World) -> None:
    def asked(events: list[AnyEvent]) -> int:
        return sum(isinstance(event, PermissionAsked) for event in events)

    async with world.opened(env={"NOTEBOOK": "yes"}) as session:
        denied = await turn(session, "run touch made.txt", option="reject")
        assert asked(denied) == 1
        assert not (world.cwd / "made.txt").exists()
        (call,) = {e.call_id: e for e in denied if isinstance(e, ToolUpdate)}.values()
        assert (call.status, call.exit_code) == ("failed", None)
        assert asked(await turn(session, "write one.txt 1")) == 1
        assert asked(await turn(session, "write two.txt 2", option="reject")) == 1
        assert asked(await turn(session, "run env > seen.txt")) == 1
        seen = (world.cwd / "seen.txt").read_text()
        assert "NOTEBOOK=yes" in seen
        assert "canary" not in seen
        assert asked(await turn(session, "write planned.txt no", mode="plan", option="reject")) == 1
        assert session.mode == "plan"
        assert asked(await turn(session, "run touch x", mode="bypass")) == 1, "the answer is ours in every mode"
        assert session.mode == "default"
    assert not (world.cwd / ".claude").exists()
    assert not (world.cwd / "planned.txt").exists()
    assert any(isinstance(event, CommandsChanged) and event.commands for event in world.idle)


@LONG
async def test_it_thinks_as_much_as_a_prompt_says_and_remembers_what_was_before(world: World) -> None:
    async with world.opened() as session:
        levels = session.capabilities.efforts["default"]
        assert {"low", "high"} <= set(levels)
        first, native_id = session.pid, session.native_id
        await turn(session, "remember the teapot")
        assert done_of(await turn(session, "recall", effort="high")).end == "completed"
        assert world.model.asked[-1]["output_config"]["effort"] == "high"
        assert "teapot" in str(world.model.asked[-1]["messages"])
        assert (session.pid != first, session.native_id) == (True, native_id)
        refused = done_of(await turn(session, "hello", effort="huge"))
        assert (refused.end, refused.code, refused.alive) == ("failed", "invalid_option", True)
        assert refused.message.endswith(", ".join(levels) + ".")


@LONG
async def test_models_are_changed_and_errors_of_the_model_leave_the_session_as_it_is(world: World) -> None:
    async with world.opened() as session:
        await turn(session, "hello", model="claude-opus-5-5")
        assert world.model.asked[-1]["model"] == "claude-opus-5-5"
        await turn(session, "hello")
        assert world.model.asked[-1]["model"] == "claude-sonnet-5"
        refused = done_of(await turn(session, "fail 400"))
        assert (refused.end, refused.code, refused.alive) == ("failed", "agent_failed", True)
        assert "it fails: 400" in refused.message
        assert refused.message.endswith("rompt again.")
        assert done_of(await turn(session, "hello")).end == "completed"


@LONG
async def test_images_and_long_prompts_arrive_whole(world: World) -> None:
    async with world.opened() as session:
        image = Attachment(name="plot.png", mime_type="image/png", data=PIXEL)
        await turn(session, "what is this", attachments=(image,))
        blocks = [b for m in world.model.asked[-1]["messages"] if isinstance(m["content"], list) for b in m["content"]]
        assert [block["source"]["media_type"] for block in blocks if block["type"] == "image"] == ["image/png"]
        long = "x" * 1_200_000
        assert done_of(await turn(session, long)).end == "completed"
        assert said(world.model.asked[-1]).endswith(long)


def delegating(world: World, request: Request) -> Say:
    """One sub-agent, that takes its time."""
    words = said(request)
    if notified(request):
        return Say(("It is done.",))
    if results(request):
        return Say(("It is under way.",))
    if words.startswith("the job"):
        return Say(("I am ", "the sub-agent."), pause=0.2)
    if "delegate" in words:
        call = {"description": "a job", "prompt": "the job", "subagent_type": "general-purpose"}
        return Say((), (("Agent", call),))
    return Say(("It is done.",))


async def test_a_task_in_the_background_ends_in_a_turn_of_its_own(make_world: Make) -> None:
    world = await make_world(lambda request: delegating(world, request))
    async with world.opened() as session:
        first = await turn(session, "delegate")
        assert text_of(first) == "It is under way."
        async with asyncio.timeout(20):
            await world.heard(Done)
        kinds = [type(event) for event in world.idle]
        own = world.idle[kinds.index(SelfStarted) :]
        assert text_of(own) == "It is done."
        assert isinstance(own[-1], Done)
        assert any(isinstance(event, Noticed) and event.code == "background_task" for event in world.idle)
        spent = usage_of(first) + usage_of(world.idle)
        assert sum(usage.tokens.output or 0 for usage in spent) == 25 * len(world.model.counted) == 100
        assert text_of(await turn(session, "and now")) == "It is done."


@LONG
async def test_a_slow_store_holds_no_result_back(world: World) -> None:
    store = world.backend.store
    store._bound = 0.3

    class Hanging:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.history, name)

        async def append(self, *given: Any, **more: Any) -> None:
            await asyncio.Event().wait()

    async with world.opened() as session:
        await turn(session, "remember one")
        kept, store._history = store._history, Hanging()  # type: ignore[assignment]  # it stands in for one
        began = time.monotonic()
        assert done_of(await turn(session, "remember two")).end == "completed"
        assert time.monotonic() - began < 5.0
        store._history, store._bound = kept, 5.0
        native_id = session.native_id
    async with world.opened(native_id=native_id) as session:
        assert text_of(await turn(session, "recall")) == "I remember: one, two."


@LONG
async def test_nothing_that_it_has_started_outlives_it(world: World) -> None:
    async with world.opened() as session:
        await turn(session, "run setsid sleep 300 & echo $! > pid.txt", option="once")
        pid = int((world.cwd / "pid.txt").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_message_that_comes_while_it_works_is_taken_in(world: World) -> None:
    slow = Say(tuple(f"s{number} " for number in range(12)), pause=0.05)
    usual = world.usual
    world.model.answer = lambda request: slow if said(request) == "slow" else usual(request)
    async with world.opened() as session:
        assert not await session.steer("too early")
        events: list[AnyEvent] = []
        async for event in session.prompt(Asked(text="slow", user_text="slow")):
            events.append(event)
            if isinstance(event, TextDelta) and event.text == "s2 ":
                assert await session.steer("remember seven")
        assert "You said this: remember seven" in text_of(events)
        stopped: list[AnyEvent] = []
        async for event in session.prompt(Asked(text="endless", user_text="")):
            stopped.append(event)
            if isinstance(event, TextDelta) and event.text == "w2 ":
                assert await session.steer("remember eight")
                await session.cancel()
        assert done_of(stopped).end == "cancelled"
        assert session.alive
        assert text_of(await turn(session, "hello")) == "You said this: hello"


@LONG
async def test_one_that_does_not_answer_a_stop_is_given_up(make_world: Make) -> None:
    world = await make_world(cancel_grace=1.0, health_timeout=0.3)
    async with world.opened() as session:
        events: list[AnyEvent] = []
        async for event in session.prompt(Asked(text="endless", user_text="")):
            events.append(event)
            if isinstance(event, TextDelta) and event.text == "w2 ":
                assert session.pid is not None
                os.kill(session.pid, signal.SIGSTOP)
                await session.cancel()
        assert (done_of(events).end, done_of(events).alive, session.alive) == ("cancelled", False, False)


@LONG
async def test_a_mode_that_others_set_is_found_out(make_world: Make) -> None:
    world = await make_world()
    async with world.opened() as session:
        session._mode = "plan"  # as if it had been set, and Claude had not taken it
        done = done_of(await turn(session, "hello", mode="plan"))
        assert done.end == "failed"
        assert "runs in the mode 'default'" in done.message
        assert "then prompt again" in done.message


@LONG
async def test_the_users_own_mcp_servers_are_there(world: World) -> None:
    program = world.root / "server.py"
    program.write_text(
        "from mcp.server import MCPServer\n"
        "server = MCPServer('loud')\n"
        "@server.tool()\n"
        "def shout(words: str) -> str:\n"
        "    return words.upper()\n"
        "server.run()\n"
    )
    call = Say((), (("mcp__loud__shout", {"words": "hello"}),))
    usual = world.usual
    world.model.answer = lambda request: call if said(request) == "shout" and not results(request) else usual(request)
    server = McpServer(name="loud", command=(sys.executable, str(program)))
    async with world.opened(mcp_servers=(server,)) as session:
        events = await turn(session, "shout")
        (asked,) = [event for event in events if isinstance(event, PermissionAsked)]
        assert (asked.tool, asked.tool_kind) == ("mcp__loud__shout", "other")
        assert "HELLO" in text_of(events)
