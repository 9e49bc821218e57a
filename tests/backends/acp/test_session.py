"""Faults and fine points of a session over ACP, with a real process at the other end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from coder_nb.backends.base import Asked
from coder_nb.backends.events import (
    AnyEvent,
    CommandsChanged,
    Done,
    ModeChanged,
    Noticed,
    PermissionAsked,
    RawReceived,
    TextDelta,
    ToolUpdate,
    UsageReported,
)
from coder_nb.core.entries import Tokens
from coder_nb.errors import (
    AgentDied,
    AgentFailed,
    AgentNotInstalled,
    AgentNotLoggedIn,
    AgentProtocolError,
    AgentTimeout,
)
from coder_nb.testing import scripted_agent
from coder_nb.testing.backend_conformance import done_of, text_of, turn
from coder_nb.warm import keeper

pytestmark = pytest.mark.anyio


def kinds(events: list[AnyEvent]) -> list[str]:
    """Without the offer of commands, which may come before the first turn or in it."""
    return [type(event).__name__ for event in events if not isinstance(event, CommandsChanged)]


async def take(session: Any, text: str, **fields: Any) -> list[AnyEvent]:
    async with asyncio.timeout(30):
        return [event async for event in session.prompt(Asked(text=text, user_text=text, **fields))]


# What a turn brings ---------------------------------------------------------------------------------------------------


async def test_text_reasoning_plan_and_tools_arrive_as_events(world: Any) -> None:
    session = await world.open(mode="bypass")
    events = await take(session, "think hm; say a; plan x, y; write f.txt hi; run echo out", mode="bypass")
    assert kinds(events) == [
        *("ReasoningDelta", "TextDelta", "PlanUpdate", "ToolUpdate", "ToolUpdate", "ToolUpdate"),
        *("ToolUpdate", "ToolUpdate", "ToolUpdate", "Done"),
    ]
    tools = [e for e in events if isinstance(e, ToolUpdate)]
    assert [t.original_name for t in tools[::3]] == ["write_file", "shell"]
    assert [t.status for t in tools[:3]] == ["pending", "in_progress", "completed"]
    assert [t.meta for t in tools[::3]] == [{"toolName": "write_file"}, {"toolName": "shell"}]
    assert tools[2].diffs is not None
    assert tools[2].diffs[0].new == "hi\n"
    assert tools[5].content == "out\n"
    assert (world.cwd / "f.txt").read_text() == "hi\n"


async def test_commands_offered_at_the_start_are_told_in_or_before_the_first_turn(world: Any) -> None:
    session = await world.open()
    events = await turn(session, "say hi")
    assert sum(isinstance(event, CommandsChanged) for event in (*world.idle, *events)) == 1
    assert session.capabilities.commands is True


async def test_usage_is_reported_once_from_wherever_it_comes(world: Any) -> None:
    session = await world.open(mode="bypass")
    first = [e for e in await turn(session, "cost 0.25; usage 100 20") if isinstance(e, UsageReported)]
    assert [(e.tokens, e.cost_nanousd, e.context_used) for e in first] == [
        (Tokens(input=100, output=20), 250_000_000, 10)
    ]
    second = [
        e for e in await turn(session, "meta 5 6; meta 7 8; usage 12 14; cost 0.5") if isinstance(e, UsageReported)
    ]
    assert [(e.tokens.input, e.tokens.output, e.cost_nanousd) for e in second] == [
        (5, 6, None),
        (7, 8, None),
        (None, None, 500_000_000),
    ]
    assert [e for e in await turn(session, "usage 0 0") if isinstance(e, UsageReported)] == []


async def test_what_was_spent_before_a_resume_is_not_counted_again(world: Any) -> None:
    session = await world.open()
    await turn(session, "cost 1.0")
    native_id = session.native_id
    await session.close()
    again = await world.open(native_id=native_id)
    assert again.resumed == "resumed"
    events = await turn(again, "cost 1.5")  # the agent says the sum of both
    assert [e.cost_nanousd for e in events if isinstance(e, UsageReported)] == []
    events = await turn(again, "cost 0.5")
    assert [e.cost_nanousd for e in events if isinstance(e, UsageReported)] == [500_000_000]


@pytest.mark.parametrize(
    ("reason", "end"),
    [("max_tokens", "limited"), ("max_turn_requests", "limited"), ("refusal", "refused"), ("new_word", "completed")],
)
async def test_stop_reasons_become_ends(world: Any, reason: str, end: str) -> None:
    session = await world.open()
    assert done_of(await turn(session, f"end {reason}")) == Done(end=end, reason=reason)  # type: ignore[arg-type]


async def test_an_error_for_an_answer_fails_the_turn_and_the_session_lives(world: Any) -> None:
    session = await world.open()
    done = done_of(await turn(session, "fail no more quota"))
    assert (done.end, done.code, done.alive) == ("failed", "agent_failed", True)
    assert "no more quota" in done.message
    assert done_of(await turn(session, "say on")).end == "completed"


async def test_what_is_not_known_is_kept_and_stops_nothing(world: Any) -> None:
    session = await world.open()
    events = await turn(
        session, 'update {"sessionUpdate": "from_the_future", "a": 1}; update {"sessionUpdate": "plan"}; say on'
    )
    assert [(e.type, e.data) for e in events if isinstance(e, RawReceived)] == [
        ("from_the_future", {"sessionUpdate": "from_the_future", "a": 1}),
        ("plan", {"sessionUpdate": "plan"}),
    ]
    assert text_of(events) == "on"


async def test_requests_that_are_not_offered_are_refused(world: Any) -> None:
    session = await world.open()
    events = await turn(session, "call mcp/connect; call made/up")
    assert text_of(events).count("error -32601 Method not found") == 2


# Modes and models -----------------------------------------------------------------------------------------------------


async def test_the_mode_is_set_by_us_and_may_change_with_each_prompt(world: Any) -> None:
    session = await world.open(mode="bypass")
    assert not any(isinstance(e, PermissionAsked) for e in await take(session, "write a.txt 1", mode="bypass"))
    asked = []
    async for event in session.prompt(Asked(text="write b.txt 1", user_text="", mode="ask")):
        if isinstance(event, PermissionAsked):
            asked.append(event)
            await session.answer(event.request_id, None)
    assert [(a.tool, a.tool_kind, a.diffs[0].new) for a in asked] == [("write_file", "edit", "1\n")]
    assert (world.cwd / "a.txt").exists()
    assert not (world.cwd / "b.txt").exists()


async def test_a_mode_that_the_agent_left_by_itself_is_set_again_for_the_next_prompt(world: Any) -> None:
    session = await world.open(mode="ask")
    await take(session, 'update {"sessionUpdate": "current_mode_update", "currentModeId": "yolo"}', mode="ask")
    again = await take(session, "say on", mode="ask")
    assert [event.current for event in again if isinstance(event, ModeChanged)] == ["ask"]


async def test_a_mode_that_the_agent_does_not_have_is_an_error_and_never_assumed(world: Any) -> None:
    entry = scripted_agent.entry() | {"modes": {"ask": {"id": "careful"}}}
    with pytest.raises(AgentProtocolError, match=r"no mode 'careful'.*agents\.scripted\.modes"):
        await world.backend(entry).open(world.opening(), idle_events=world.idle.append)


async def test_a_mode_with_other_variables_needs_another_process_and_says_so(world: Any) -> None:
    entry = scripted_agent.entry() | {"modes": {"bypass": {"env": {"FREE": "1"}}}}
    session = await world.backend(entry).open(world.opening(mode="bypass"), idle_events=world.idle.append)
    world.sessions.append(session)
    assert text_of(await take(session, "env FREE", mode="bypass")) == "1"
    done = done_of(await take(session, "env FREE", mode="ask"))
    assert (done.end, done.alive) == ("failed", False)
    assert not session.alive


async def test_a_model_is_chosen_by_id_or_name_and_an_unknown_one_is_named(world: Any) -> None:
    session = await world.open()
    assert text_of(await take(session, "models")) == "small"
    assert text_of(await take(session, "models", model="Large")) == "large"
    done = done_of(await take(session, "models", model="gigantic"))
    assert (done.end, done.code, done.alive) == ("failed", "invalid_option", True)
    assert "small, large" in done.message


async def test_it_thinks_as_much_as_a_prompt_says_and_else_as_it_does_by_itself(world: Any) -> None:
    session = await world.open()
    assert session.capabilities.efforts == {"": ("low", "high")}
    assert text_of(await take(session, "options", effort="high")) == "high"
    assert text_of(await take(session, "options")) == "low"
    done = done_of(await take(session, "options", effort="huge"))
    assert (done.end, done.code, done.alive) == ("failed", "invalid_option", True)
    assert "it offers low, high" in done.message


# Faults ---------------------------------------------------------------------------------------------------------------


async def test_garbage_bad_utf8_and_a_line_of_20_mb_are_survived(world: Any) -> None:
    session = await world.open()
    events = await turn(session, "garbage; badutf8; huge 20000000; stderr 3000000; say on")
    assert [e.data for e in events if isinstance(e, RawReceived)] == [
        "this is no JSON",
        '{"neither": "is this"}',
        "[1, 2]",
        "null",
    ]
    assert (done_of(events).end, session.alive) == ("completed", True), "a request with a list for its id ends nothing"
    text = text_of(events)
    assert text.startswith("a��bxxx")
    assert text.endswith("xon")
    assert len(text) == 4 + 20_000_000 + 2


async def test_half_a_line_at_the_end_is_kept(world: Any) -> None:
    session = await world.open()
    events = await turn(session, "half")
    assert [e.data for e in events if isinstance(e, RawReceived)] == ['{"jsonrpc": "2.0", "method": "session/upd']
    assert (done_of(events).end, done_of(events).code) == ("failed", "agent_died")


async def test_an_agent_killed_in_mid_turn_fails_it_with_the_cause(world: Any) -> None:
    session = await world.open()
    async for event in session.prompt(Asked(text="say begun; hang", user_text="")):
        if isinstance(event, TextDelta):
            assert session.pid
            os.kill(session.pid, signal.SIGKILL)
    assert isinstance(event, Done)
    assert (event.end, event.code, event.alive) == ("failed", "agent_died", False)
    assert event.message == (
        "Scripted stopped working: it was killed (SIGKILL), as the system does when memory runs out. "
        "Prompt again to start it afresh."
    )


async def test_a_crash_after_a_stop_is_still_a_stop(world: Any) -> None:
    session = await world.open()
    async for event in session.prompt(Asked(text="say begun; hang", user_text="")):
        if isinstance(event, TextDelta):
            assert session.pid
            os.kill(session.pid, signal.SIGSTOP)
            await session.cancel()
            os.kill(session.pid, signal.SIGKILL)
    assert event == Done(end="cancelled", alive=False)


async def test_an_agent_that_ignores_a_stop_is_killed_after_its_grace(world: Any) -> None:
    session = await world.open(settings={"cancel_grace": 0.3})
    events: list[AnyEvent] = []
    async for event in session.prompt(Asked(text="say begun; deaf", user_text="")):
        if isinstance(event, TextDelta):
            await session.cancel()
        events.append(event)
    assert kinds(events) == ["TextDelta", "Noticed", "Done"]
    assert ["0.3 s" in event.text for event in events if isinstance(event, Noticed)] == [True]
    assert events[-1] == Done(end="cancelled", code="agent_killed", alive=False)
    assert not session.alive


async def test_a_late_answer_to_a_stopped_prompt_ends_that_one_and_no_other(world: Any) -> None:
    session = await world.open()
    events: list[AnyEvent] = []
    async for event in session.prompt(Asked(text="say begun; late 200", user_text="")):
        if isinstance(event, TextDelta):
            await session.cancel()
        events.append(event)
    assert text_of(events) == "beguntoo late"
    assert done_of(events) == Done(end="cancelled", reason="cancelled")
    assert text_of(await turn(session, "say next")) == "next"


async def test_an_idle_agent_that_answers_nothing_does_not_hold_up_close(world: Any) -> None:
    session = await world.open(settings={"stop_grace": 0.5})
    os.kill(session.pid, signal.SIGSTOP)
    async with asyncio.timeout(30):
        await session.close()


async def test_an_agent_that_cannot_read_does_not_hold_up_stop_or_close(world: Any) -> None:
    session = await world.open(settings={"cancel_grace": 0.3, "stop_grace": 0.5})
    assert session.pid
    running = session.prompt(Asked(text="say begun; hang; " + "x" * 5_000_000, user_text=""))
    started = asyncio.create_task(anext(running))
    os.kill(session.pid, signal.SIGSTOP)
    await asyncio.wait({started}, timeout=0.2)
    before = time.monotonic()
    await session.cancel()
    events = [await started] if started.done() else []
    if not started.done():
        events = [await asyncio.wait_for(started, 5)]
    events += [event async for event in running]
    assert done_of(events).end == "cancelled"
    await session.close()
    assert time.monotonic() - before < 5


# Starting -------------------------------------------------------------------------------------------------------------


async def test_an_agent_that_exits_at_once_is_said_to_and_why(world: Any) -> None:
    with pytest.raises(AgentDied, match=r"exit code 7, saying “Error: the script says so”"):
        await world.open(exit=7)


async def test_an_agent_that_is_not_logged_in_names_the_ways_and_the_cure(world: Any) -> None:
    with pytest.raises(
        AgentNotLoggedIn,
        match=r"not logged in. It offers: The door, A key. To use it here, knock at the door or set SCRIPTED_KEY",
    ):
        await world.open(auth=True)


async def test_an_agent_that_says_nothing_is_given_up_in_time(world: Any) -> None:
    with pytest.raises(AgentTimeout, match=r"`initialize` within 0.5 s"):
        await world.open(silent=True, settings={"start_timeout": 0.5, "start_tries": 1})


async def test_another_version_of_the_protocol_is_named(world: Any) -> None:
    with pytest.raises(AgentProtocolError, match="version 2"):
        await world.open(protocol=2)


async def test_a_program_that_is_not_there_is_named_with_the_cure(world: Any) -> None:
    backend = world.backend({"argv": ["no-such-agent"], "install": "pip install no-such-agent"})
    with pytest.raises(
        AgentNotInstalled, match=r"no program 'no-such-agent'. Install it \(`pip install no-such-agent`"
    ):
        await backend.open(world.opening(), idle_events=world.idle.append)
    probe = await backend.probe("scripted")
    assert (probe.available, probe.reason) == (False, "there is no program 'no-such-agent'.")
    assert probe.cure.startswith("Install it (`pip install no-such-agent`)")


async def test_a_probe_tells_the_version_and_one_that_is_too_old(world: Any) -> None:
    probe = await world.backend().probe("scripted")
    assert (probe.available, probe.version) == (True, "1.0.0")
    old = await world.backend(scripted_agent.entry() | {"min_version": "1.10.0", "install": "get it"}).probe("scripted")
    assert (old.available, old.cure) == (False, "Upgrade it to 1.10.0 or later: `get it`.")


async def test_a_probe_of_a_program_that_hangs_is_bounded(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coder_nb.backends.program._PROBE_TIMEOUT", 0.2)
    entry = scripted_agent.entry() | {"probe": ["-c", "import time; time.sleep(60)"]}
    probe = await world.backend(entry).probe("scripted")
    assert (probe.available, probe.version) == (True, None)


async def test_secrets_of_jupyter_do_not_reach_the_agent(world: Any) -> None:
    backend = world.backend(
        environ={"JUPYTER_TOKEN": "t", "JUPYTERHUB_API_TOKEN": "t", "MY_OWN": "mine", "OTHER": "x"},
        agent_variables=("MY_OWN", "JUPYTER_TOKEN"),
    )
    session = await backend.open(world.opening(), idle_events=world.idle.append)
    world.sessions.append(session)
    events = await turn(session, "env JUPYTER_TOKEN; env JUPYTERHUB_API_TOKEN; env OTHER; env MY_OWN")
    assert text_of(events) == "(not set)" * 3 + "mine"


async def test_an_agents_grandchildren_end_with_it(world: Any) -> None:
    session = await world.open()
    pid = int(text_of(await turn(session, "grandchild")).removeprefix("grandchild "))
    assert keeper.look(pid) is not None
    await session.close()
    assert keeper.look(pid) is None


async def test_a_failed_start_leaves_no_process(world: Any) -> None:
    with pytest.raises(AgentFailed):
        await world.open(silent=True, settings={"start_timeout": 0.3, "start_tries": 1})
    assert world.keeper._processes == {}
