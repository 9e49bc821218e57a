"""Turns of the native agent: what it is told, does, remembers and counts."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.model import Say, last_said, text_of
from support.native import turn
from support.processes import ends

from coder_nb.backends.base import Asked, ForkOf
from coder_nb.backends.events import (
    AnyEvent,
    Done,
    PermissionAsked,
    PlanUpdate,
    TextDelta,
    ToolUpdate,
    UsageReported,
    UserSaid,
)
from coder_nb.backends.history import HistoryItem, HistoryKey
from coder_nb.backends.native.memory import NOT_DONE
from coder_nb.backends.native.session import NativeSession
from coder_nb.core.entries import Attachment, PlanItem, Tokens
from coder_nb.errors import AgentNotLoggedIn

pytestmark = pytest.mark.anyio


def said(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def done(events: list[AnyEvent]) -> Done:
    assert isinstance(events[-1], Done)
    return events[-1]


def users(request: dict[str, Any]) -> list[str]:
    return [text_of(message) for message in request["messages"] if message["role"] == "user"]


def plain(request: dict[str, Any]) -> Say:
    return Say((f"heard {last_said(request)}",))


def calling(*calls: tuple[str, dict[str, Any] | str]) -> Any:
    """Makes the calls in answer to a prompt, then says what came of them."""

    def script(request: dict[str, Any]) -> Say:
        results = []
        for message in reversed(request["messages"]):
            if message["role"] != "tool":
                break
            results.insert(0, text_of(message))
        return Say(("; ".join(results),)) if results else Say((), calls)

    return script


def written(file: Path) -> int:
    """The number in a file, as soon as there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        time.sleep(0.01)
    raise AssertionError(f"nothing was written to {file}")


async def test_it_is_told_its_task_its_directory_and_the_projects_rules(world: Any) -> None:
    async with world(plain) as here, here.opened() as session:
        (here.cwd / "AGENTS.md").write_text("Write tests first.\n")
        await turn(session, "hello", "plan")
        system = text_of(here.model.asked[0]["messages"][0])
        assert here.model.asked[0]["messages"][0]["role"] == "system"
        assert str(here.cwd) in system
        assert "Write tests first." in system
        assert "You may only read now" in system


async def test_rules_that_lead_out_of_the_worktree_are_not_read(world: Any, tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_text("not for a model")
    async with world(plain) as here, here.opened() as session:
        (here.cwd / "AGENTS.md").symlink_to(tmp_path / "private.txt")
        await turn(session, "hello")
        assert "not for a model" not in json.dumps(here.model.asked)


async def test_a_file_is_read_edited_and_shown_as_a_diff(world: Any) -> None:
    edit = {"path": "a.txt", "old": "two", "new": "TWO"}
    async with world(calling(("read_file", {"path": "a.txt"}), ("edit_file", edit))) as here, here.opened() as session:
        events = await turn(session, "go", option="once")
        assert said(events) == "1\tone\n2\ttwo\n3\tthree; a.txt is written."
        assert (here.cwd / "a.txt").read_text() == "one\nTWO\nthree\n"
        (asked,) = [event for event in events if isinstance(event, PermissionAsked)]
        assert [(diff.path, diff.new) for diff in asked.diffs] == [("a.txt", "one\nTWO\nthree\n")]
        assert asked.tool_kind == "edit"
        statuses = [e.status for e in events if isinstance(e, ToolUpdate) and e.call_id == asked.call_id and e.status]
        assert statuses == ["pending", "in_progress", "completed"]


async def test_what_was_allowed_is_asked_again_as_what_holds_longer_is_a_rule_of_ours(world: Any) -> None:
    async with world(calling(("shell", {"command": "echo hi"}))) as here, here.opened() as session:
        for prompt in ("go", "again"):
            (asked,) = [e for e in await turn(session, prompt, option="once") if isinstance(e, PermissionAsked)]
            assert [option.kind for option in asked.options] == ["allow_once", "reject_once"]


async def test_a_refusal_is_told_to_the_model_and_nothing_is_done(world: Any) -> None:
    async with world(calling(("shell", {"command": "touch made.txt"}))) as here, here.opened() as session:
        assert said(await turn(session, "go", option=None)) == "The user refused this."
        assert not (here.cwd / "made.txt").exists()


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (("no_such_tool", {}), "There is no tool 'no_such_tool'"),
        (("read_file", '{"path": '), "The arguments of read_file are not understood"),
        (("read_file", {"path": "/etc/passwd"}), "outside of the working directory"),
        (("read_file", {"path": "absent.txt"}), "There is no file absent.txt."),
        (("edit_file", {"path": "a.txt", "old": "o", "new": "0"}), "is in a.txt 2 times"),
    ],
)
async def test_a_call_that_cannot_be_done_is_explained_to_the_model(world: Any, call: Any, answer: str) -> None:
    async with world(calling(call)) as here, here.opened() as session:
        events = await turn(session, "go", option="once")
        assert answer in said(events)
        assert done(events).end == "completed"
        assert not any(isinstance(event, PermissionAsked) for event in events)
        assert [e.status for e in events if isinstance(e, ToolUpdate) and e.status][-1] == "failed"


async def test_its_commands_see_none_of_the_users_keys(world: Any) -> None:
    async with world(calling(("shell", {"command": "env"}))) as here, here.opened() as session:
        output = said(await turn(session, "go", option="once"))
        assert "PATH=" in output
        assert "sk-secret-key" not in output


async def test_a_plan_is_shown(world: Any) -> None:
    items = [{"text": "look", "status": "completed"}, {"text": "change", "status": "in progress"}]
    async with world(calling(("plan", {"items": items}))) as here, here.opened() as session:
        (plan,) = [event for event in await turn(session, "go") if isinstance(event, PlanUpdate)]
        assert plan.items == (PlanItem("look", "completed"), PlanItem("change", "pending"))


async def test_a_stop_keeps_what_was_said_also_in_the_memory(world: Any) -> None:
    def script(request: dict[str, Any]) -> Say:
        return Say(("I was ", "saying"), hang=True) if last_said(request) == "talk" else plain(request)

    async with world(script) as here, here.opened() as session:
        stopped: list[AnyEvent] = []
        async for event in session.prompt(Asked(text="talk", user_text="talk")):
            stopped.append(event)
            if said(stopped) == "I was saying":
                await session.cancel()
        assert done(stopped).end == "cancelled"
        await turn(session, "and?")
        assert [(m["role"], text_of(m)) for m in here.model.asked[-1]["messages"][1:]] == [
            ("user", "talk"),
            ("assistant", "I was saying"),
            ("user", "and?"),
        ]


async def test_a_stop_ends_a_command_and_the_next_turn_knows(world: Any) -> None:
    command = {"command": "sleep 60 & echo $! > pid; wait"}
    script = calling(("shell", command), ("read_file", {"path": "a.txt"}))
    async with world(script) as here, here.opened() as session:
        events: list[AnyEvent] = []
        async for event in session.prompt(Asked(text="go", user_text="go")):
            events.append(event)
            if isinstance(event, PermissionAsked):
                await session.answer(event.request_id, "once")
            if isinstance(event, ToolUpdate) and event.status == "in_progress":
                pid = await asyncio.to_thread(written, here.cwd / "pid")
                await session.cancel()
        assert done(events).end == "cancelled"
        assert await ends(pid)
        events = await turn(session, "what now", option="no")
        tools = [text_of(message) for message in here.model.asked[1]["messages"] if message["role"] == "tool"]
        assert tools == ["The user stopped the turn before this was done."] * 2


async def test_what_the_user_adds_reaches_the_running_turn(world: Any) -> None:
    def script(request: dict[str, Any]) -> Say:
        return Say(("working",), hang=False) if users(request) == ["go"] else plain(request)

    async with world(script) as here, here.opened() as session:
        assert not await session.steer("nothing runs")
        events: list[AnyEvent] = []
        async for event in session.prompt(Asked(text="go", user_text="go")):
            events.append(event)
            if isinstance(event, UserSaid):
                assert await session.steer("also this")
        assert done(events).end == "completed"
        assert said(events) == "workingheard also this"
        assert users(here.model.asked[-1]) == ["go", "also this"]
        assert not any("nothing runs" in json.dumps(request) for request in here.model.asked)


async def test_what_was_added_too_late_for_its_turn_is_told_in_the_next(world: Any) -> None:
    def script(request: dict[str, Any]) -> Say:
        return Say(("begun",), hang=True) if last_said(request) == "hang" else plain(request)

    async with world(script) as here, here.opened() as session:
        async for event in session.prompt(Asked(text="hang", user_text="hang")):
            if isinstance(event, TextDelta):
                assert await session.steer("also this")
                await session.cancel()
                assert not await session.steer("too late")
        await turn(session, "next")
        assert users(here.model.asked[-1])[:3] == ["hang", "also this", "next"]


async def test_a_stop_before_the_work_has_begun_ends_the_turn(world: Any) -> None:
    async with world(plain) as here, here.opened() as session:
        for _ in range(3):
            events = session.prompt(Asked(text="one", user_text="one"))
            first = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            await session.cancel()
            async with asyncio.timeout(60):
                told = [await first] + [event async for event in events]
            assert done(told).end == "cancelled"
        assert said(await turn(session, "two")) == "heard two"


async def test_calls_that_an_endpoint_counts_from_nought_again_are_calls_of_their_own(world: Any) -> None:
    def script(request: dict[str, Any]) -> Say:
        reads = sum(message["role"] == "tool" for message in request["messages"])
        return plain(request) if reads == 2 else Say((), (("read_file", {"path": "a.txt"}),))

    async with world(script) as here, here.opened() as session:
        events = await turn(session, "go")
        assert len({event.call_id for event in events if isinstance(event, ToolUpdate)}) == 2


async def test_it_resumes_with_its_tool_results(world: Any) -> None:
    async with world(calling(("read_file", {"path": "a.txt"}))) as here:
        async with here.opened() as session:
            await turn(session, "look")
            native_id = session.native_id
        async with here.opened(native_id) as session:
            assert session.resumed == "resumed"
            await turn(session, "again")
        roles = [message["role"] for message in here.model.asked[-2]["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
        assert "1\tone" in text_of(here.model.asked[-2]["messages"][3])


async def test_a_call_during_which_we_died_is_answered_before_the_model_is_asked_again(world: Any) -> None:
    async with world(calling(("read_file", {"path": "a.txt"}))) as here:
        async with here.opened() as session:
            await turn(session, "look")
            key = HistoryKey("native", session.native_id)
        del here.history.items[key][2:]  # what was written when we died: the prompt, and the call
        async with here.opened(key.session) as session:
            events = await turn(session, "go on")
        assert done(events).end == "completed"
        messages = here.model.asked[2]["messages"]
        assert [(m["role"], text_of(m)) for m in messages[-2:]] == [("tool", NOT_DONE), ("user", "go on")]


async def test_a_history_that_cannot_be_read_is_forgotten(world: Any) -> None:
    async with world(plain) as here:
        here.history.items[HistoryKey("native", "old")] = [HistoryItem(b'{"kind": "of another version"}')]
        async with here.opened("old") as session:
            assert session.resumed == "forgotten"
            assert done(await turn(session, "hello")).end == "completed"


async def test_a_fork_begins_with_the_turns_up_to_one_and_leaves_the_other_as_it_was(world: Any) -> None:
    async with world(plain) as here:
        async with here.opened() as session:
            first = next(e for e in await turn(session, "one") if isinstance(e, UserSaid)).native_id
            await turn(session, "two")
            native_id = session.native_id or ""
        async with here.opened(fork=ForkOf(native_id, first)) as fork:
            assert fork.resumed == "forked"
            assert fork.native_id != native_id
            await turn(fork, "three")
            assert users(here.model.asked[-1]) == ["one", "three"]
        async with here.opened(fork=ForkOf(native_id)) as fork:
            await turn(fork, "four")
            assert users(here.model.asked[-1]) == ["one", "two", "four"]
        async with here.opened(fork=ForkOf(native_id, "no such message")) as fork:
            assert fork.resumed == "forgotten"
        async with here.opened(native_id) as session:
            await turn(session, "five")
            assert users(here.model.asked[-1]) == ["one", "two", "five"]


async def test_it_goes_back_to_a_turn_and_stays_there_after_a_restart(world: Any) -> None:
    async with world(plain) as here:
        async with here.opened() as session:
            first = next(e for e in await turn(session, "one") if isinstance(e, UserSaid)).native_id
            await turn(session, "two")
            assert not await session.rewind("no such message")
            assert await session.rewind(first)
            native_id = session.native_id
        async with here.opened(native_id) as session:
            await turn(session, "three")
            assert users(here.model.asked[-1]) == ["one", "three"]
            assert await session.rewind(None)
            await turn(session, "four")
            assert users(here.model.asked[-1]) == ["four"]


async def test_each_answer_of_the_model_is_counted_once(world: Any) -> None:
    async with world(calling(("read_file", {"path": "a.txt"}))) as here, here.opened() as session:
        usage = [event for event in await turn(session, "look") if isinstance(event, UsageReported)]
        assert [event.tokens for event in usage] == [Tokens(input=100, output=10)] * len(here.model.said)
        assert {event.model for event in usage} == {"openai/scripted"}


async def test_what_is_not_reported_is_not_known(world: Any) -> None:
    async with world(lambda request: Say(("hi",), usage=None)) as here, here.opened() as session:
        (usage,) = [event for event in await turn(session, "hello") if isinstance(event, UsageReported)]
        assert usage.tokens == Tokens()


async def test_images_and_files_go_with_a_prompt(world: Any) -> None:
    async with world(plain) as here, here.opened() as session:
        attachments = (
            Attachment("plot.png", "image/png", data=b"\x89PNG"),
            Attachment("notes.txt", data=b"some notes"),
            Attachment("a.txt", path="a.txt"),
        )
        await turn(session, "look", attachments=attachments)
        content = here.model.asked[0]["messages"][-1]["content"]
        assert [part["type"] for part in content] == ["text", "text", "image_url", "text", "text"]
        assert "some notes" in content[3]["text"]
        assert "the file a.txt" in content[4]["text"]
        native_id = session.native_id
        async with here.opened(native_id) as again:
            await turn(again, "and now")
            assert here.model.asked[1]["messages"][1] == here.model.asked[0]["messages"][1]


@pytest.mark.parametrize(
    ("say", "end", "code", "words"),
    [
        (Say(("bad key",), status=401), "failed", "agent_not_logged_in", "Correct OPENAI_API_KEY where Jupyter starts"),
        (Say(("no such model",), status=404), "failed", "agent_failed", "no such model. Choose another"),
        (Say(("what?",), status=400), "failed", "agent_failed", "what?"),
        (Say(("half of it",), finish="length"), "limited", "answer_too_long", "prompt again"),
        (Say((), finish="content_filter"), "refused", "refused", "held the answer back"),
    ],
)
async def test_what_a_provider_refuses_is_said_with_its_cure(
    world: Any, say: Say, end: str, code: str, words: str
) -> None:
    async with world(lambda request: say) as here, here.opened() as session:
        last = done(await turn(session, "hello"))
        assert (last.end, last.code, last.alive) == (end, code, True)
        assert words in last.message
        here.model.answer = plain
        assert done(await turn(session, "again")).end == "completed"


async def test_a_model_that_cannot_be_reached_is_said_with_its_address(world: Any) -> None:
    async with world(plain) as here, here.opened() as session:
        pass
    async with here.opened() as session:  # its model is gone
        last = done(await turn(session, "hello"))
        assert (last.end, last.code) == ("failed", "agent_failed")
        assert here.model.url in last.message
        assert "cannot be reached" in last.message
    await here.backend.close()


async def test_a_turn_that_does_not_come_to_an_end_is_limited(world: Any) -> None:
    def script(request: dict[str, Any]) -> Say:
        return Say((), (("read_file", {"path": "a.txt"}),))

    async with world(script) as here, here.opened() as session:
        assert isinstance(session, NativeSession)
        session._steps = 3
        last = done(await turn(session, "go"))
        assert (last.end, last.code) == ("limited", "too_many_steps")
        assert len(here.model.asked) == 3


async def test_another_model_is_asked_where_the_prompt_says_so(world: Any) -> None:
    async with world(plain) as here, here.opened() as session:
        await turn(session, "hello", model="openai/other")
        await turn(session, "hello")
        assert [request["model"] for request in here.model.asked] == ["other", "scripted"]
        last = done(await turn(session, "hello", model="nobody/x"))
        assert (last.end, last.code) == ("failed", "invalid_option")


async def test_half_of_a_surrogate_pair_and_a_nul_harm_nothing(world: Any) -> None:
    async with world(lambda request: Say(("\x00 and \ud83d",))) as here:
        async with here.opened() as session:
            assert done(await turn(session, "hello")).end == "completed"
            native_id = session.native_id
        async with here.opened(native_id) as session:
            assert session.resumed == "resumed"


async def test_without_a_key_it_cannot_be_opened_and_says_what_to_set(world: Any) -> None:
    async with world(plain) as here:
        del here.environ["OPENAI_API_KEY"]
        here.backend._specs["native"] = type(here.backend._specs["native"])(name="native", backend="native")
        probe = await here.backend.probe("native")
        assert not probe.available
        assert probe.reason == "it has no key."
        assert probe.cure.startswith("Set one of ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY")
        with pytest.raises(AgentNotLoggedIn, match="set one of ANTHROPIC_API_KEY"):
            async with here.opened():
                pass


async def test_it_thinks_as_much_as_a_prompt_says_where_its_model_can(world: Any) -> None:
    async with world(plain) as here, here.opened() as session:
        assert session.capabilities.efforts == {}, "nothing is known of a model of one's own"
        refused = done(await turn(session, "Hello.", effort="high"))
        assert (refused.end, refused.code) == ("failed", "invalid_option")
        thinker = "openai-chat/gpt-5.6-terra"
        assert done(await turn(session, "Hello.", effort="high", model=thinker)).end == "completed"
        assert here.model.asked[-1]["reasoning_effort"] == "high"
        assert "it offers minimal, low" in done(await turn(session, "Hello.", effort="huge", model=thinker)).message
