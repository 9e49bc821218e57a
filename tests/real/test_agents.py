"""Each real agent on the ACP backend, driven by a scripted model on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from support import matrix
from support.stage import LIMIT, LONG, NEWER, Stage, end_of, past_the_first_minute, staged, text_of, there, usage_of

from coder_nb.backends.acp.wire import Framer
from coder_nb.backends.base import AgentSession, Asked, ForkOf
from coder_nb.backends.events import (
    AnyEvent,
    Done,
    PermissionAsked,
    QuestionAsked,
    RawReceived,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
    UsageReported,
    UserSaid,
)
from coder_nb.core.tools import normal_name
from coder_nb.ids import new_id
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import Model, says, writes
from coder_nb.warm.process import Keeper

pytestmark = pytest.mark.anyio
SLOW = "one two three four five six seven eight nine ten " * 20


@pytest.fixture(params=[*real_agents.AGENTS, *(pytest.param(name, marks=LONG) for name in NEWER)])
def agent(request: pytest.FixtureRequest) -> str:
    """Every agent; those of whom one turn is enough every time are driven through all the rest in the long tier."""
    return there(request.param)


@pytest.fixture(params=[pytest.param(name, marks=[LONG] * (name != "goose")) for name in real_agents.OVER_ACP])
def goose_or_any(request: pytest.FixtureRequest) -> str:
    """The fastest one, and all of them in the long tier."""
    return there(request.param)


@pytest.fixture(params=real_agents.OVER_ACP)
def every_agent(request: pytest.FixtureRequest) -> str:
    return there(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path


@matrix.publishes
async def test_it_writes_with_its_own_tool_and_takes_a_second_turn_in_the_same_process(
    every_agent: str, root: Path
) -> None:
    agent = every_agent
    file = root / "work" / "hello.txt"
    fixtures = [
        *writes(agent, "make hello", file, "hi\n", tokens=((1201, 31), (1302, 12))),
        *says(agent, "and again", "Here I am.", tokens=(1403, 13)),
    ]
    async with staged(agent, root, fixtures) as stage, stage.opened("bypass") as session:
        pid, native_id = session.pid, session.native_id
        first = await stage.turn(session, "make hello", "bypass", allow=True)
        assert end_of(first) == ("completed", True)
        assert file.read_text() == "hi\n"
        assert text_of(first) == "Writing it.Done."
        assert "".join(e.text for e in first if isinstance(e, ReasoningDelta)).strip("*\n") == "Plan."
        tools = [e for e in first if isinstance(e, ToolUpdate)]
        names = {normal_name(e.original_name) for e in tools if e.original_name}
        assert names == ({"file_write"} if agent != "codex" else set()), "codex names no tool"
        assert [e.status for e in tools if e.status][-1] == "completed"
        assert {e.tool_kind for e in tools if e.tool_kind} == {"edit"}
        second = await stage.turn(session, "and again", "bypass")
        assert text_of(second) == "Here I am."
        assert (session.pid, session.native_id) == (pid, native_id)
        _hold_usage_to_the_journal(stage, [*usage_of(first)], [*usage_of(second)])
        _hold_cost_to_the_price(stage, first, second)
        assert {e.type for e in (*first, *second) if isinstance(e, RawReceived)} == set()
        matrix.hold("acp", agent, await _found(stage, session, [*usage_of(first)]))


async def _found(stage: Stage, session: AgentSession, first: list[Counts]) -> dict[str, Any]:
    """What the session was found to be able to do, in the words of the matrix."""
    if matrix.published()["acp"].get(stage.agent, {}).get("commands") and not session.capabilities.commands:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stage.knows_commands.wait(), 20)
    can, probe = session.capabilities, await stage.backend.probe(stage.agent)
    frames = [frame for frame in Framer().feed(bytes(stage.wire.heard)) if isinstance(frame, dict)]
    answers = [frame.get("result") or {} for frame in frames]
    options = [option for answer in answers for option in answer.get("configOptions") or ()]
    return {
        **{name: getattr(can, name) for name in ("load", "list", "fork", "close", "images", "files", "steer")},
        "version": probe.version,
        "resume": bool(can.resume or can.load),
        "modes": [mode.id for mode in can.modes],
        "models": bool(can.models),
        "efforts": bool(can.efforts),
        "options": sorted({o["id"] for o in options if o.get("category") not in ("mode", "model")}),
        "commands": bool(can.commands),
        "tokens": "last answer" if first == [TOLD] else {0: "–", 2: "each answer"}.get(len(first), "sum"),
        "cost": bool(can.cost),
        "memory": matrix.memory(session.pid),
        "through_us": any(str(frame.get("method")).startswith("fs/write") for frame in frames),
    }


Counts = tuple[int | None, int | None]
WRITTEN, TOLD, AGAIN, BACKGROUND = (1201, 31), (1302, 12), (1403, 13), (77, 7)
REPORTED: dict[str, tuple[list[Counts], list[Counts]]] = {
    "opencode": ([TOLD], [AGAIN]),
    "goose": ([TOLD], [AGAIN]),
    "qwen": ([WRITTEN, TOLD], [AGAIN]),
    "gemini": ([(1201 + 1302, 31 + 12)], [AGAIN]),
    "codex": ([], []),
}
"""What each agent reports of the two turns. All else that the model was asked is nowhere on the agent's wire."""


def _hold_usage_to_the_journal(stage: Stage, first: list[Counts], second: list[Counts]) -> None:
    used = [call.tokens for call in stage.model.journal()]
    if stage.agent == "claude-acp":  # which reports what it asks in the background too, whenever it does so
        known = sum(given or 0 for given, _ in (*first, *second)) - 1201 - 1302 - 1403
        assert known % 77 == 0
        assert known // 77 <= used.count(BACKGROUND)
    else:
        assert (first, second) == REPORTED[stage.agent]
    assert [tokens for tokens in used if tokens != BACKGROUND] == [WRITTEN, TOLD, AGAIN]
    wire = stage.wire.heard.decode("utf-8", "replace")
    for given, _ in {WRITTEN, TOLD, AGAIN, BACKGROUND}:
        if stage.agent not in ("claude-acp", "gemini") and not re.search(rf"\b{given}\b", str(REPORTED[stage.agent])):
            counted = re.sub(r'"used":\d+', "", wire)  # how full the context is, and no count of a turn
            assert not re.search(rf"\b{given}\b", counted), f"{given} tokens are on the wire, and were not reported"


def _hold_cost_to_the_price(stage: Stage, first: list[AnyEvent], second: list[AnyEvent]) -> None:
    costs = [e.cost_nanousd for e in (*first, *second) if isinstance(e, UsageReported)]
    price = {"opencode": (3000, 15000), "claude-acp": (4000, 20000)}.get(stage.agent)
    if price is None:
        assert set(costs) <= {None}
        return
    calls = (WRITTEN, TOLD, BACKGROUND, AGAIN)
    written, told, background, again = (given * price[0] + out * price[1] for given, out in calls)
    over = [cost - known for cost, known in zip(costs, (written + told, again), strict=True)]
    assert all(cost % background == 0 for cost in over) if stage.agent == "claude-acp" else over == [0, 0]


OWN_RULES = {
    "qwen": (".qwen/settings.json", '{"tools": {"approvalMode": "yolo"}}'),
    "gemini": (".gemini/settings.json", '{"general": {"defaultApprovalMode": "auto_edit"}}'),
    "codex": (".codex/config.toml", 'approval_policy = "never"\nsandbox_mode = "danger-full-access"\n'),
    "claude-acp": (".claude/settings.json", '{"permissions": {"defaultMode": "acceptEdits"}}'),
}
"""What a user may have set, so that nothing is asked."""


@pytest.mark.parametrize("answer", [False, True], ids=["denied", "allowed"])
async def test_it_asks_before_it_writes_and_the_answer_decides(agent: str, root: Path, answer: bool) -> None:
    file = root / "work" / "hello.txt"
    fields = {}  # and the user's own rules, that allow everything, do not win over the mode
    if agent == "opencode":
        config = root / "home" / ".config" / "opencode" / "opencode.json"
        config.parent.mkdir(parents=True)
        rules = '{"edit": "allow", "bash": "allow"}'
        config.write_text(f'{{"permission": {rules}, "agent": {{"build": {{"permission": {rules}}}}}}}')
    elif agent == "goose":
        fields = {"GOOSE_MODE": "auto"}
    else:
        name, text = OWN_RULES[agent]
        config = root / "home" / name
        config.parent.mkdir(parents=True)
        config.write_text(text)
    fixtures = writes(agent, "make hello", file, "hi\n")
    async with staged(agent, root, fixtures, **fields) as stage, stage.opened("ask") as session:
        events = await stage.turn(session, "make hello", "ask", allow=answer)
        asked = [e for e in events if isinstance(e, PermissionAsked)]
        names = [(normal_name(a.tool, a.tool_kind), a.tool_kind) for a in asked]
        assert names == [("file_edit" if agent == "codex" else "file_write", "edit")]
        assert all(a.input or a.diffs for a in asked)
        assert file.exists() is answer
        statuses = [e.status for e in events if isinstance(e, ToolUpdate) and e.status]
        assert statuses[-1] == ("completed" if answer else "failed")
        ended = "cancelled" if agent == "codex" and not answer else "completed"  # codex takes a no for a stop
        assert end_of(events) == (ended, True)


async def test_a_stop_in_mid_stream_ends_the_turn_and_the_same_process_goes_on(agent: str, root: Path) -> None:
    fixtures = [*says(agent, "slowly", SLOW, latency=100, chunk=4), *says(agent, "quickly", "Here I am.")]
    async with staged(agent, root, fixtures) as stage, stage.opened("ask") as session:
        pid = session.pid
        events: list[AnyEvent] = []
        async with asyncio.timeout(LIMIT):
            async for event in session.prompt(Asked(text="slowly", user_text="slowly")):
                events.append(event)
                if isinstance(event, TextDelta):
                    await session.cancel()
        assert end_of(events) == ("cancelled", True)
        assert len(text_of(events)) < len(SLOW)
        again = await stage.turn(session, "quickly", "ask")
        assert text_of(again) == "Here I am."
        assert session.pid == pid


async def test_a_turn_without_an_answer_of_the_model_counts_nothing_again(agent: str, root: Path) -> None:
    refused = {"error": {"message": "no more of this", "type": "invalid_request_error"}, "status": 400}
    fixtures: list[dict[str, Any]] = says(agent, "hello", "Hi there.", tokens=(1201, 31))
    fixtures.append({"match": {"userMessage": "break"}, "response": refused})
    async with staged(agent, root, fixtures) as stage, stage.opened("ask") as session:
        said = [*usage_of(await stage.turn(session, "hello", "ask"))]
        assert said == ([(1201, 31)] if agent != "codex" else []) or agent == "claude-acp"
        events = await stage.turn(session, "break", "ask")
        assert [*usage_of(events)] == []
        done = events[-1]
        assert isinstance(done, Done)
        assert "no more of this" in (done.message or text_of(events))
        assert done.alive


async def test_after_a_kill_the_native_session_is_resumed_with_its_memory(agent: str, root: Path) -> None:
    fixtures = [*says(agent, "remember plums", "Plums it is."), *says(agent, "what was it", "It was plums.")]
    async with staged(agent, root, fixtures) as stage:
        async with stage.opened("ask") as session:
            await stage.turn(session, "remember plums", "ask")
            assert session.pid
            os.kill(session.pid, signal.SIGKILL)
            native_id = session.native_id
        past_the_first_minute(root / "home")
        async with stage.opened("ask", native_id) as session:
            assert (session.resumed, session.native_id) == ("resumed", native_id)
            events = await stage.turn(session, "what was it", "ask")
            assert text_of(events) == "It was plums."
            costs = [e.cost_nanousd for e in events if isinstance(e, UsageReported)]
            once = {None, 900 * 3000 + 20 * 15000, 900 * 4000 + 20 * 20000}
            assert set(costs) <= once, "what was spent before is not counted again"
        last = [str(call.request) for call in stage.model.journal() if "what was it" in str(call.request)]
        assert any("Plums it is." in request for request in last)


async def test_a_probe_tells_its_version_and_leaves_the_home_alone(agent: str, root: Path) -> None:
    keeper = Keeper(new_id())
    stage = Stage(agent, root, Model(url="http://127.0.0.1:9"), keeper, {})
    probe = await stage.backend.probe(agent)
    await keeper.close(1.0)
    assert probe.available, probe
    assert probe.version
    assert [*(root / "home").rglob("*")] == []


@LONG
async def test_a_native_session_is_listed_and_its_history_told(every_agent: str, root: Path) -> None:
    agent, file = every_agent, root / "work" / "hello.txt"
    fixtures = [*writes(agent, "make hello", file, "hi\n"), *says(agent, "and again", "Here I am.")]
    async with staged(agent, root, fixtures) as stage:
        async with stage.opened("bypass") as session:
            await stage.turn(session, "make hello", "bypass", allow=True)
            await stage.turn(session, "and again", "bypass")
            native_id, can = str(session.native_id), session.capabilities
        past_the_first_minute(root / "home")
        listed = await stage.backend.native_sessions(agent, stage.cwd)
        assert (native_id in {one.native_id for one in listed}) is bool(can.list)
        told = [event async for event in stage.backend.told(agent, native_id, stage.cwd)]
    asked = [event.text for event in told if isinstance(event, UserSaid)]
    assert asked == ["make hello", "and again"]
    assert text_of(told) == "Writing it.Done.Here I am."
    assert any(isinstance(event, ToolUpdate) for event in told)
    assert not any(isinstance(event, UsageReported) and event.counted for event in told)


@LONG
async def test_claude_asks_by_a_form_and_is_told_more_while_it_works(root: Path) -> None:
    agent = there("claude-acp")
    question = {"question": "Which colour?", "header": "Colour", "multiSelect": False}
    options = [{"label": "Red", "description": "warm"}, {"label": "Blue", "description": "cold"}]
    call = {"name": "AskUserQuestion", "arguments": {"questions": [{**question, "options": options}]}}
    fixtures: list[dict[str, Any]] = [
        {
            "match": {"userMessage": "ask me", "hasToolResult": False},
            "response": {"content": "Hm.", "toolCalls": [call]},
        },
        {"match": {"userMessage": "ask me", "hasToolResult": True}, "response": {"content": "Blue it is."}},
        *says(agent, "slowly", SLOW, latency=100, chunk=4),
        *says(agent, "be quick", "Quick it is."),
    ]
    async with staged(agent, root, fixtures) as stage, stage.opened("ask") as session:
        events: list[AnyEvent] = []
        async with asyncio.timeout(LIMIT):
            async for event in session.prompt(Asked(text="ask me", user_text="ask me")):
                events.append(event)
                if isinstance(event, QuestionAsked):
                    await session.reply(event.request_id, ("Blue",))
                if isinstance(event, PermissionAsked):
                    await session.answer(event.request_id, event.options[0].id)
        (asked,) = [event for event in events if isinstance(event, QuestionAsked)]
        assert (asked.text, [choice.id for choice in asked.choices], asked.custom) == (
            "Which colour?",
            ["Red", "Blue"],
            True,
        )
        assert "Blue" in str(stage.model.journal()[-1].request)
        steered = None
        async with asyncio.timeout(LIMIT):
            async for event in session.prompt(Asked(text="slowly", user_text="slowly")):
                if isinstance(event, TextDelta) and steered is None:
                    steered = await session.steer("be quick")
        assert steered is True
        assert any("be quick" in str(one.request) for one in stage.model.journal())
        assert await session.steer("too late") is False


async def test_ten_turns_with_a_stop_a_kill_and_a_fork_are_counted_as_the_model_counts_them(
    goose_or_any: str, root: Path
) -> None:
    agent = goose_or_any
    spent = [(2000 + 10 * number, 100 + number) for number in range(10)]
    fixtures = [
        f for n, tokens in enumerate(spent) for f in says(agent, f"question {n} of ten", f"Answer {n}.", tokens=tokens)
    ]
    fixtures[:0] = says(agent, "slowly", SLOW, tokens=(3999, 399), latency=100, chunk=4)
    said: list[Counts] = []
    async with staged(agent, root, fixtures) as stage:

        async def ask(session: AgentSession, *numbers: int) -> None:
            for number in numbers:
                events = await stage.turn(session, f"question {number} of ten", "ask")
                assert text_of(events) == f"Answer {number}."
                said.extend(usage_of(events))

        async with stage.opened("ask") as session:
            await ask(session, 0, 1, 2)
            async for event in session.prompt(Asked(text="slowly", user_text="slowly")):
                if isinstance(event, TextDelta):
                    await session.cancel()
                said.extend(usage_of([event]))
            await ask(session, 3, 4)
            native_id, can = str(session.native_id), session.capabilities
            assert session.pid
            os.kill(session.pid, signal.SIGKILL)
        past_the_first_minute(root / "home")
        async with stage.opened("ask", native_id) as session:
            assert session.resumed == "resumed"
            await ask(session, 5, 6)
        async with stage.opened("ask", fork=ForkOf(native_id=native_id)) as session:
            assert session.resumed == ("forked" if can.fork else "forgotten")
            await ask(session, 7, 8, 9)
        used = [call.tokens for call in stage.model.journal()]
    told = [tokens for tokens in used if tokens not in (BACKGROUND, (3999, 399))]
    assert [tokens for tokens in told if tokens in spent] == spent
    _hold_sums(agent, said, spent, used.count(BACKGROUND))


def _hold_sums(agent: str, said: list[Counts], spent: list[tuple[int, int]], background: int) -> None:
    """What is reported is what was used, to the token, less what is listed here as never reported by an agent."""
    if agent == "codex":
        assert said == []
        return
    if (
        agent != "claude-acp"
    ):  # nobody else reports what it asks in the background, or what it asked when it was stopped
        assert said == spent
        return
    over_in = sum(given or 0 for given, _ in said) - sum(given for given, _ in spent)
    over_out = sum(out or 0 for _, out in said) - sum(out for _, out in spent)
    assert (over_in % 77, over_out) == (0, over_in // 77 * 7)
    assert over_in // 77 <= background
