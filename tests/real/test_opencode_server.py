"""opencode by its own server, driven by a scripted model on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from support import matrix

from coder_nb.backends.base import AgentSession, Asked, ForkOf, Opening
from coder_nb.backends.events import (
    AnyEvent,
    CommandsChanged,
    Done,
    PermissionAsked,
    PlanUpdate,
    RawReceived,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
    UsageReported,
    UserSaid,
)
from coder_nb.backends.opencode.backend import OpencodeBackend
from coder_nb.backends.registry import registry
from coder_nb.core.entries import Attachment
from coder_nb.core.tools import normal_name
from coder_nb.errors import NotFound
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.testing import real_agents
from coder_nb.testing.backend_conformance import CHECKS, Subject, run_backend_conformance
from coder_nb.testing.real_agents import Model, otherwise, says, scripted_model, writes
from coder_nb.warm.process import Keeper

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LONG = pytest.mark.skipif("CODER_NB_TEST_LONG" not in os.environ, reason="long tier: `scripts/test --long`")
LIMIT = 60.0
SLOW = "one two three four five six seven eight nine ten " * 20


@pytest.fixture(autouse=True)
def _programs() -> None:
    for needed in ("opencode", "llmock", "node"):
        try:
            real_agents.program(needed)
        except real_agents.Missing as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))


class Stage:
    """A server, its model, its folders, and what it says between turns."""

    def __init__(self, root: Path, model: Model, keeper: Keeper, fields: dict[str, Any]) -> None:
        self.root = root
        self.model = model
        self.idle: list[AnyEvent] = []
        entry = real_agents.entry("opencode", model.url) | {"backend": "opencode"} | fields
        settings = Settings(agents={"opencode": entry}, start_timeout=60.0, cancel_grace=10.0, stop_grace=2.0)
        env = real_agents.environ(root / "home")
        self.backend = OpencodeBackend(settings, registry(settings.agents), keeper, environ=env)

    def opening(self, **fields: Any) -> Opening:
        cwd = fields.pop("cwd", self.root / "work")
        cwd.mkdir(exist_ok=True)
        return Opening(agent="opencode", chat_id="c", cwd=cwd, **fields)

    @asynccontextmanager
    async def opened(self, **fields: Any) -> AsyncIterator[AgentSession]:
        session = await self.backend.open(self.opening(**fields), idle_events=self.idle.append)
        try:
            yield session
        finally:
            await session.close()

    @property
    def pid(self) -> int:
        (server,) = self.backend.servers.values()
        return server.pid


@asynccontextmanager
async def staged(root: Path, fixtures: Sequence[dict[str, Any]], **fields: Any) -> AsyncIterator[Stage]:
    keeper = Keeper(new_id())
    with scripted_model(root / "model", [*fixtures, *otherwise()]) as model:
        stage = Stage(root, model, keeper, fields)
        try:
            yield stage
        finally:
            await stage.backend.close()
            await keeper.close(2.0)


async def turn(session: AgentSession, text: str, *, allow: str | None = None, **fields: Any) -> list[AnyEvent]:
    """A whole turn; permissions are answered as said, and there are none where nothing is said."""
    events: list[AnyEvent] = []
    async with asyncio.timeout(LIMIT):
        async for event in session.prompt(Asked(text=text, user_text=text, **fields)):
            events.append(event)
            if isinstance(event, PermissionAsked):
                assert allow is not None, event
                await session.answer(event.request_id, allow)
    return events


def text_of(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end_of(events: list[AnyEvent]) -> Any:
    last = events[-1]
    return (last.end, last.alive) if isinstance(last, Done) else last


def usage_of(events: list[AnyEvent]) -> list[tuple[int | None, int | None]]:
    return [(e.tokens.input, e.tokens.output) for e in events if isinstance(e, UsageReported)]


@matrix.publishes
async def test_two_turns_on_one_native_session_are_told_once_and_counted_to_the_token(tmp_path: Path) -> None:
    file = tmp_path / "work" / "hello.txt"
    fixtures = [
        *writes("opencode", "make hello", file, "hi\n", tokens=((1201, 31), (1302, 12))),
        *says("opencode", "and again", "Here I am.", tokens=(1403, 13)),
    ]
    async with staged(tmp_path, fixtures) as stage, stage.opened() as session:
        native_id, pid = session.native_id, stage.pid
        first = await turn(session, "make hello", allow="once")
        assert end_of(first) == ("completed", True)
        assert file.read_text() == "hi\n"
        assert text_of(first) == "Writing it.Done."
        assert "".join(e.text for e in first if isinstance(e, ReasoningDelta)) == "Plan."
        tools = [e for e in first if isinstance(e, ToolUpdate)]
        assert {normal_name(e.original_name) for e in tools if e.original_name} == {"file_write"}
        assert [e.status for e in tools if e.status][-1] == "completed"
        (asked,) = (e for e in first if isinstance(e, PermissionAsked))
        assert (normal_name(asked.tool), asked.tool_kind) == ("file_write", "edit")
        assert [(d.path, d.old, d.new) for d in asked.diffs] == [(str(file), None, "hi\n")]
        second = await turn(session, "and again", model="scripted-model")
        assert text_of(second) == "Here I am."
        assert (session.native_id, stage.pid) == (native_id, pid)
        _hold_usage_to_the_journal(stage.model, [*first, *second])
        assert [e for e in (*first, *second, *stage.idle) if isinstance(e, RawReceived)] == []
        assert not [event for event in stage.idle if not isinstance(event, CommandsChanged)]
        await _hold_the_server_to_be_ours_alone(pid)
        cwd, answers = tmp_path / "work", usage_of(first)
        can = await matrix.found(stage.backend, "opencode", session, cwd, answers, pid=stage.pid)
        matrix.hold("own", "opencode", can)


async def _hold_the_server_to_be_ours_alone(pid: int) -> None:
    """It listens on this machine only, and answers nobody who has no password, which no list of processes shows."""
    server = psutil.Process(pid)
    family = [server, *server.children(recursive=True)]
    listens = [one.laddr for each in family for one in each.net_connections("tcp") if one.status == "LISTEN"]
    assert {address.ip for address in listens} == {"127.0.0.1"}
    async with httpx.AsyncClient() as stranger:
        answers = [await stranger.get(f"http://127.0.0.1:{address.port}/session") for address in listens]
    assert [answer.status_code for answer in answers] == [401]
    password = server.environ()["OPENCODE_SERVER_PASSWORD"]
    assert len(password) >= 32
    assert not any(password in word for each in family for word in each.cmdline())


def _hold_usage_to_the_journal(model: Model, events: list[AnyEvent]) -> None:
    used = [call.tokens for call in model.journal()]
    assert usage_of(events) == used == [(1201, 31), (1302, 12), (1403, 13)]
    price = real_agents.PRICE
    costs = [round(1000 * (given * price["input"] + out * price["output"])) for given, out in used]
    assert [e.cost_nanousd for e in events if isinstance(e, UsageReported)] == costs
    assert {e.context_size for e in events if isinstance(e, UsageReported)} == {100_000}


async def test_a_denied_permission_leaves_no_file_and_an_allowed_one_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "work" / "hello.txt"
    fixtures = writes("opencode", "make hello", file, "hi\n")
    async with staged(tmp_path, fixtures) as stage, stage.opened() as session:
        events = await turn(session, "make hello", allow="reject")
        assert not file.exists()
        assert [e.status for e in events if isinstance(e, ToolUpdate) and e.status][-1] == "failed"
        assert end_of(events) == ("completed", True)
        await turn(session, "make hello", allow="once")
        assert file.exists()
        events = await turn(session, "make hello", allow="reject")
        assert [e for e in events if isinstance(e, PermissionAsked)]


@LONG
async def test_a_stop_in_mid_stream_leaves_nothing_for_the_next_prompts(tmp_path: Path) -> None:
    fixtures = [
        *says("opencode", "slowly", SLOW, latency=50, chunk=4),
        *says("opencode", "quickly", "Here I am."),
    ]
    async with staged(tmp_path, fixtures) as stage, stage.opened() as session:
        for _ in range(3):
            events: list[AnyEvent] = []
            async with asyncio.timeout(LIMIT):
                async for event in session.prompt(Asked(text="slowly", user_text="slowly")):
                    events.append(event)
                    if isinstance(event, TextDelta):
                        await session.cancel()
            assert end_of(events) == ("cancelled", True)
            assert len(text_of(events)) < len(SLOW)
            again = await turn(session, "quickly")
            assert (text_of(again), end_of(again)) == ("Here I am.", ("completed", True))


@LONG
async def test_two_chats_at_once_have_one_server_and_hear_only_their_own(tmp_path: Path) -> None:
    words = {name: f"{name} speaks of {name} " * 10 for name in ("apples", "plums")}
    fixtures = [one for n, t in words.items() for one in says("opencode", n, t, latency=20, chunk=7)]
    async with staged(tmp_path, fixtures) as stage:
        opened = [stage.backend.open(stage.opening(cwd=tmp_path / n), idle_events=stage.idle.append) for n in words]
        sessions = await asyncio.gather(*opened)
        assert stage.pid
        told = await asyncio.gather(*(turn(s, name) for s, name in zip(sessions, words, strict=True)))
        assert [text_of(events) for events in told] == list(words.values())
        assert [usage_of(events) for events in told] == [[(900, 20)]] * 2
        for session in sessions:
            await session.close()


@LONG
async def test_a_killed_server_fails_the_turn_and_the_next_one_remembers(tmp_path: Path) -> None:
    fixtures = [
        *says("opencode", "remember plums", "Plums it is."),
        *says("opencode", "slowly", SLOW, latency=50, chunk=4),
        *says("opencode", "what was it", "It was plums."),
    ]
    async with staged(tmp_path, fixtures) as stage:
        async with stage.opened() as session:
            native_id = session.native_id
            await turn(session, "remember plums")
            events: list[AnyEvent] = []
            async with asyncio.timeout(LIMIT):
                async for event in session.prompt(Asked(text="slowly", user_text="slowly")):
                    if isinstance(event, TextDelta) and not text_of(events):
                        os.kill(stage.pid, signal.SIGKILL)
                    events.append(event)
            assert end_of(events) == ("failed", False)
            assert not session.alive
        async with stage.opened(native_id=native_id) as session:
            assert (session.resumed, session.native_id) == ("resumed", native_id)
            assert text_of(await turn(session, "what was it")) == "It was plums."
        last = [str(call.request) for call in stage.model.journal() if "what was it" in str(call.request)]
        assert any("Plums it is." in request for request in last)


@LONG
async def test_what_the_model_refuses_or_nobody_has_fails_the_turn_and_not_the_session(tmp_path: Path) -> None:
    refused = {"error": {"message": "no more of this", "type": "invalid_request_error"}, "status": 400}
    fixtures: list[dict[str, Any]] = [
        {"match": {"userMessage": "break"}, "response": refused},
        *says("opencode", "hello", "Hi."),
    ]
    async with staged(tmp_path, fixtures) as stage, stage.opened() as session:
        done = (await turn(session, "break"))[-1]
        assert isinstance(done, Done)
        assert (done.end, done.alive) == ("failed", True)
        assert "no more of this" in done.message
        done = (await turn(session, "hello", model="no-such-model"))[-1]
        assert isinstance(done, Done)
        assert (done.code, done.alive) == ("invalid_option", True)
        assert text_of(await turn(session, "hello")) == "Hi."


def calls(prompt: str, tool: str, arguments: dict[str, Any], then: str) -> list[dict[str, Any]]:
    """To a prompt: calls a tool, then says something."""
    call = {"name": tool, "arguments": arguments}
    match = {"userMessage": prompt, "toolName": tool}
    return [
        {"match": match | {"hasToolResult": False}, "response": {"toolCalls": [call], "usage": used(50, 5)}},
        {"match": match | {"hasToolResult": True}, "response": {"content": then, "usage": used(60, 6)}},
    ]


def used(given: int, out: int) -> dict[str, int]:
    return {"prompt_tokens": given, "completion_tokens": out, "total_tokens": given + out}


ASKS = {
    "questions": [
        {
            "question": "Which colour?",
            "header": "Colour",
            "options": [{"label": "Red", "description": "warm"}, {"label": "Blue", "description": "cold"}],
        }
    ]
}
TODOS = {"todos": [{"content": "look", "status": "completed", "priority": "high"}]}


async def test_sub_agents_plans_commands_and_files_are_what_they_are(tmp_path: Path) -> None:
    command = tmp_path / "work" / ".opencode" / "command" / "greet.md"
    command.parent.mkdir(parents=True)
    command.write_text("---\ndescription: Greets\n---\nPlease greet $ARGUMENTS kindly.\n")
    (tmp_path / "work" / "notes.txt").write_text("the notes say plums\n")
    task = {"description": "look", "prompt": "look for it", "subagent_type": "general"}
    fixtures = [
        *calls("delegate", "task", task, "It was found."),
        *says("opencode", "look for it", "I found it."),
        *calls("plan it", "todowrite", TODOS, "Planned."),
        *says("opencode", "Please greet all of you kindly.", "Hello, all of you."),
        *says("opencode", "read the notes", "They say plums."),
    ]
    async with staged(tmp_path, fixtures) as stage, stage.opened() as session:
        (listed,) = (event for event in stage.idle if isinstance(event, CommandsChanged))
        assert {"greet": "Greets"}.items() <= {one.name: one.description for one in listed.commands}.items()
        events = await turn(session, "delegate")
        call = next(e.call_id for e in events if isinstance(e, ToolUpdate) and e.original_name == "task")
        assert [e.text for e in events if isinstance(e, TextDelta) and e.parent == call] == ["I found it."]
        assert "".join(e.text for e in events if isinstance(e, TextDelta) and not e.parent) == "It was found."
        assert sorted(usage_of(events)) == [(50, 5), (60, 6), (900, 20)]
        events = await turn(session, "plan it")
        assert [[i.text for i in e.items] for e in events if isinstance(e, PlanUpdate)] == [["look"]]
        assert text_of(await turn(session, "/greet all of you")) == "Hello, all of you."
        notes = (Attachment(name="notes.txt", path="notes.txt"),)
        events = await turn(session, "read the notes", attachments=notes)
        assert text_of(events) == "They say plums."
        assert "the notes say plums" in str(stage.model.journal()[-1].request)
        assert not [e for e in (*events, *stage.idle) if isinstance(e, RawReceived)]


async def test_a_session_is_listed_told_branched_off_and_taken_back(tmp_path: Path) -> None:
    fixtures = [
        *says("opencode", "remember plums", "Plums it is."),
        *says("opencode", "remember pears", "Pears it is."),
        *says("opencode", "what was it", "I know."),
    ]
    async with staged(tmp_path, fixtures) as stage, stage.opened() as session:
        ids = []
        for prompt in ("remember plums", "remember pears"):
            events = await turn(session, prompt)
            ids += [event.native_id for event in events if isinstance(event, UserSaid)]
        assert len(ids) == 2
        native_id = session.native_id
        assert native_id
        cwd = tmp_path / "work"
        (found,) = await stage.backend.native_sessions("opencode", cwd)
        assert (found.native_id, found.cwd) == (native_id, str(cwd))
        told = [event async for event in stage.backend.told("opencode", native_id, cwd)]
        assert [(e.text, e.native_id) for e in told if isinstance(e, UserSaid)] == [
            ("remember plums", ids[0]),
            ("remember pears", ids[1]),
        ]
        assert text_of(told) == "Plums it is.Pears it is."
        assert not any(event.counted for event in told if isinstance(event, UsageReported))
        with pytest.raises(NotFound):
            await anext(stage.backend.told("opencode", "ses_of_nobody", cwd))

        async def remembered(one: AgentSession) -> tuple[bool, bool]:
            await turn(one, "what was it")
            request = str(stage.model.journal()[-1].request)
            return "Plums it is." in request, "Pears it is." in request

        for at, cwd, expected in (
            (None, tmp_path / "work", (True, True)),
            (ids[0], tmp_path / "elsewhere", (True, False)),
        ):
            async with stage.opened(fork=ForkOf(native_id=native_id, at=at), cwd=cwd) as branch:
                assert branch.resumed == "forked"
                assert branch.native_id != native_id
                assert await remembered(branch) == expected
        async with stage.opened(fork=ForkOf(native_id=native_id, at="msg_of_nobody")) as branch:
            assert branch.resumed == "forgotten"
        assert await session.rewind(ids[0])
        assert await session.rewind(ids[1])
        assert await session.rewind(ids[0])
        assert not await session.rewind("msg_of_nobody")
        assert await remembered(session) == (True, False)


async def test_the_contract(tmp_path: Path) -> None:
    file = tmp_path / "work" / "made.txt"
    kill = {"name": "bash", "arguments": {"command": "kill -9 $PPID", "description": "end"}}
    fixtures: list[dict[str, Any]] = [
        *calls("ask me", "question", ASKS, "As you like."),
        *says("opencode", "say it", "one two three four", latency=20, chunk=5),
        *says("opencode", "on and on", SLOW, latency=50, chunk=4),
        *writes("opencode", "write it", file, "hi\n"),
        {"match": {"userMessage": "die", "toolName": "bash"}, "response": {"toolCalls": [kill]}},
        *says("opencode", "remember plums", "Noted."),
        *says("opencode", "what was it", "It was plums."),
    ]
    allow = {"OPENCODE_PERMISSION": {"bash": "allow", "edit": "ask"}}
    modes = {"ask": {"id": "build", "config": allow}}
    async with staged(tmp_path, fixtures, modes=modes) as stage:

        async def subject() -> Subject:
            file.unlink(missing_ok=True)
            return Subject(
                backend=stage.backend,
                opening=stage.opening(),
                close=_nothing,
                text=("say it", "one two three four"),
                endless="on and on",
                asks=("write it", file),
                question=("ask me", ("Blue",), "As you like."),
                crash="die",
                recall=("remember plums", "what was it", "It was plums."),
                idle=stage.idle,
            )

        assert await run_backend_conformance(subject) == len(CHECKS)
        assert not [event for event in stage.idle if not isinstance(event, CommandsChanged)]


async def _nothing() -> None:
    return None
