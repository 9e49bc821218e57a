"""Each real agent on the ACP backend, driven by a scripted model on loopback."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.base import (
    AgentSession,
    AnyEvent,
    Asked,
    Done,
    Opening,
    PermissionAsked,
    RawReceived,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
    UsageReported,
)
from coder_nb.backends.registry import registry
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.tools import normal_name
from coder_nb.ids import new_id
from coder_nb.pool.process import Keeper
from coder_nb.settings import Settings
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import Model, Tap, otherwise, says, scripted_model, writes

pytestmark = pytest.mark.anyio
LIMIT = 90.0
SLOW = "one two three four five six seven eight nine ten " * 20


@pytest.fixture(params=real_agents.AGENTS)
def agent(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    for needed in (name, "llmock", "node"):
        try:
            real_agents.program(needed)
        except real_agents.Missing as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
    return name


class Stage:
    """One agent, its model, its folder, and what it says."""

    def __init__(self, agent: str, root: Path, model: Model, keeper: Keeper, fields: dict[str, Any]) -> None:
        self.agent = agent
        self.model = model
        self.cwd = root / "work"
        self.wire = Tap(keeper)
        self.idle: list[AnyEvent] = []
        entry = real_agents.entry(agent, model.url)
        entry["env"] |= fields
        settings = Settings(agents={agent: entry}, start_timeout=60.0, cancel_grace=10.0, stop_grace=2.0)
        env = real_agents.environ(root / "home")
        self.backend = AcpBackend(settings, registry(settings.agents), self.wire, environ=env)

    @asynccontextmanager
    async def opened(self, mode: PermissionMode, native_id: str | None = None) -> AsyncIterator[AgentSession]:
        opening = Opening(agent=self.agent, chat_id="c", cwd=self.cwd, mode=mode, native_id=native_id)
        session = await self.backend.open(opening, idle_events=self.idle.append)
        try:
            yield session
        finally:
            await session.close()

    async def turn(
        self, session: AgentSession, text: str, mode: PermissionMode, *, allow: bool | None = None
    ) -> list[AnyEvent]:
        """A whole turn; permissions are answered as said, and there are none where nothing is said."""
        events: list[AnyEvent] = []
        async with asyncio.timeout(LIMIT):
            async for event in session.prompt(Asked(text=text, user_text=text, mode=mode)):
                events.append(event)
                if isinstance(event, PermissionAsked):
                    assert allow is not None, event
                    kind = "allow_once" if allow else "reject_once"
                    await session.answer(event.request_id, next(o.id for o in event.options if o.kind == kind))
        assert isinstance(events[-1], Done)
        return events


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path


@asynccontextmanager
async def staged(agent: str, root: Path, fixtures: Sequence[dict[str, Any]], **fields: Any) -> AsyncIterator[Stage]:
    keeper = Keeper(new_id())
    try:
        with scripted_model(root / "model", [*fixtures, *otherwise()]) as model:
            yield Stage(agent, root, model, keeper, fields)
    finally:
        await keeper.close(2.0)


def text_of(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end_of(events: list[AnyEvent]) -> Any:
    last = events[-1]
    return (last.end, last.alive) if isinstance(last, Done) else last


def usage_of(events: list[AnyEvent]) -> Iterator[tuple[int | None, int | None]]:
    return ((e.tokens.input, e.tokens.output) for e in events if isinstance(e, UsageReported))


async def test_it_writes_with_its_own_tool_and_takes_a_second_turn_in_the_same_process(agent: str, root: Path) -> None:
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
        assert "".join(e.text for e in first if isinstance(e, ReasoningDelta)) == "Plan."
        tools = [e for e in first if isinstance(e, ToolUpdate)]
        assert {normal_name(e.original_name) for e in tools if e.original_name} == {"file_write"}
        assert [e.status for e in tools if e.status][-1] == "completed"
        assert {e.tool_kind for e in tools if e.tool_kind} == {"edit"}
        second = await stage.turn(session, "and again", "bypass")
        assert text_of(second) == "Here I am."
        assert (session.pid, session.native_id) == (pid, native_id)
        said = [*usage_of(first), *usage_of(second)]
        _hold_usage_to_the_journal(stage, said)
        _hold_cost_to_the_price(stage, first, second)
        assert {e.type for e in (*first, *second) if isinstance(e, RawReceived)} == set()


def _hold_usage_to_the_journal(stage: Stage, said: list[tuple[int | None, int | None]]) -> None:
    """What is reported was used; what was used and is not reported is nowhere on the agent's wire."""
    used = [call.tokens for call in stage.model.journal()]
    for tokens in said:
        used.remove(tokens)  # type: ignore[arg-type]  # not in the list: a failure, as None is
    wire = stage.wire.heard.decode("utf-8", "replace")
    for given, out in used:
        assert (given, out) not in [(1302, 12), (1403, 13)], "the last answer of a turn is reported by every agent"
        assert not re.search(rf"\b{given}\b", wire), f"{given} tokens are on the wire, and were not reported"
    if stage.agent == "qwen":
        assert (1201, 31) not in used, "qwen reports each answer"


def _hold_cost_to_the_price(stage: Stage, first: list[AnyEvent], second: list[AnyEvent]) -> None:
    costs = [e.cost_nanousd for e in (*first, *second) if isinstance(e, UsageReported)]
    if stage.agent != "opencode":
        assert set(costs) == {None}
        return
    price = real_agents.PRICE
    one, two, three = (round(1000 * (given * price["input"] + out * price["output"])) for given, out in (
        (1201, 31), (1302, 12), (1403, 13)
    ))  # fmt: skip
    assert costs == [one + two, three]


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
        config = root / "home" / ".qwen" / "settings.json"
        config.parent.mkdir(parents=True)
        config.write_text('{"tools": {"approvalMode": "yolo"}}')
    fixtures = writes(agent, "make hello", file, "hi\n")
    async with staged(agent, root, fixtures, **fields) as stage, stage.opened("ask") as session:
        events = await stage.turn(session, "make hello", "ask", allow=answer)
        asked = [e for e in events if isinstance(e, PermissionAsked)]
        assert [(normal_name(a.tool), a.tool_kind) for a in asked] == [("file_write", "edit")]
        assert all(a.input for a in asked)
        assert file.exists() is answer
        statuses = [e.status for e in events if isinstance(e, ToolUpdate) and e.status]
        assert statuses[-1] == ("completed" if answer else "failed")
        assert end_of(events) == ("completed", True)


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
        assert [*usage_of(await stage.turn(session, "hello", "ask"))] == [(1201, 31)]
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
        async with stage.opened("ask", native_id) as session:
            assert (session.resumed, session.native_id) == ("resumed", native_id)
            events = await stage.turn(session, "what was it", "ask")
            assert text_of(events) == "It was plums."
            costs = [e.cost_nanousd for e in events if isinstance(e, UsageReported)]
            assert set(costs) <= {None, 900 * 3000 + 20 * 15000}, "what was spent before is not counted again"
        last = [str(call.request) for call in stage.model.journal() if "what was it" in str(call.request)]
        assert any("Plums it is." in request for request in last)


async def test_a_probe_tells_its_version(agent: str, root: Path) -> None:
    keeper = Keeper(new_id())
    stage = Stage(agent, root, Model(url="http://127.0.0.1:9"), keeper, {})
    probe = await stage.backend.probe(agent)
    await keeper.close(1.0)
    assert probe.available, probe
    assert probe.version
