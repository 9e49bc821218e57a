"""When a turn with Claude ends, and whose what is said is: late, missing and foreign ends, told message by message."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from claude_agent_sdk import ResultMessage, StreamEvent, SystemMessage, ToolPermissionContext

from coder_nb.backends.base import Asked, Opening
from coder_nb.backends.claude.client import Client
from coder_nb.backends.claude.session import ClaudeSession
from coder_nb.backends.events import AnyEvent, Done, PermissionAsked, PermissionGone, SelfStarted, TextDelta, UserSaid
from coder_nb.backends.registry import registry
from coder_nb.errors import AgentFailed
from coder_nb.settings import Settings

pytestmark = pytest.mark.anyio
OWN: Any = {"kind": "task-notification"}


class Wire:
    """In the place of a client and of what makes clients: a test says what Claude says."""

    pid, alive = 1, True

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.interrupts = 0
        self.answers = True
        self.idle: list[AnyEvent] = []
        self.session = ClaudeSession(
            registry()["claude"],
            Opening(agent="claude", chat_id="c", cwd=Path("/")),
            Settings(cancel_grace=0.3, stop_grace=0.1),
            idle_events=self.idle.append,
            starter=self,
        )

    async def connect(self, session: ClaudeSession, *, at: str | None, anew: bool) -> Client:
        return cast(Client, self)

    async def last_of(self, native_id: str, uuid: str) -> str | None:
        return None

    async def send(self, uuid: str, content: Any) -> None:
        self.sent.append(uuid)

    async def interrupt(self) -> None:
        self.interrupts += 1
        if not self.answers:
            raise AgentFailed("Claude does not answer: prompt again to start it afresh.")

    async def set_mode(self, mode: str) -> None:
        raise AgentFailed("no modes here. Prompt again.")

    def explain(self) -> str:
        return "It is gone: prompt again."

    async def close(self) -> None:
        self.alive = False

    # What Claude says

    def begins(self) -> None:
        self.session.hear(SystemMessage("init", {"permissionMode": "default", "session_id": "s"}))

    def says(self, text: str) -> None:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        self.session.hear(StreamEvent("u", "s", delta))

    def ends(self, *uuids: str, **fields: Any) -> None:
        given = {"subtype": "success", "duration_ms": 1, "duration_api_ms": 1, "is_error": False, "num_turns": 1}
        self.session.hear(
            ResultMessage(**{**given, "session_id": "s", "user_message_uuids": list(uuids) or None, **fields})
        )


@pytest.fixture
async def wire() -> Wire:
    made = Wire()
    await made.session.start()
    return made


class Turn:
    """A prompt under way; `events` grows as they come."""

    def __init__(self, wire: Wire, tasks: asyncio.TaskGroup, **asked: Any) -> None:
        self.events: list[AnyEvent] = []
        self._news = asyncio.Event()
        self.task = tasks.create_task(self._read(wire.session, Asked(text="words", user_text="words", **asked)))

    async def _read(self, session: ClaudeSession, asked: Asked) -> None:
        async for event in session.prompt(asked):
            self.events.append(event)
            self._news.set()

    async def until(self, kind: type[AnyEvent]) -> None:  # type: ignore[valid-type]  # a union of classes
        async with asyncio.timeout(60):
            while not any(isinstance(event, kind) for event in self.events):
                self._news.clear()
                await self._news.wait()

    @property
    def words(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def end(self) -> Any:
        (done,) = [event for event in self.events if isinstance(event, Done)]
        assert self.events[-1] is done
        return done


async def test_only_its_own_result_ends_a_prompt(wire: Wire) -> None:
    async with asyncio.TaskGroup() as tasks:
        turn = Turn(wire, tasks)
        await turn.until(UserSaid)
        wire.begins()
        wire.ends("another")
        wire.ends(origin=OWN)
        wire.says("still here")
        await turn.until(TextDelta)
        wire.ends(wire.sent[0])
        wire.says("too late")
    assert (turn.end.end, turn.words) == ("completed", "still here")
    assert not any(isinstance(event, Done) for event in wire.idle)


async def test_a_stale_end_after_a_stop_does_not_end_the_next_turn(wire: Wire) -> None:
    async with asyncio.TaskGroup() as tasks:
        first = Turn(wire, tasks)
        await first.until(UserSaid)
        wire.begins()
        await wire.session.cancel()
        wire.ends(terminal_reason="aborted_streaming", is_error=True, subtype="error_during_execution")
        await first.task
        second = Turn(wire, tasks)
        await second.until(UserSaid)
        wire.ends(wire.sent[0], terminal_reason="aborted_streaming", is_error=True)
        wire.begins()
        wire.says("the second")
        wire.ends(wire.sent[1])
    assert (first.end.end, first.end.alive) == ("cancelled", True)
    assert (second.end.end, second.words) == ("completed", "the second")


@pytest.mark.parametrize("answers", [True, False])
async def test_an_end_that_never_comes_after_a_stop_does_not_hang_it(wire: Wire, answers: bool) -> None:
    wire.answers = answers
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        turn = Turn(wire, tasks)
        await turn.until(UserSaid)
        wire.begins()
        await wire.session.cancel()
    assert (turn.end.end, turn.end.alive, wire.session.alive, wire.alive) == ("cancelled", False, False, False)
    assert wire.interrupts >= 1


async def test_what_cannot_be_set_fails_the_prompt_and_nothing_is_sent(wire: Wire) -> None:
    async with asyncio.TaskGroup() as tasks:
        turn = Turn(wire, tasks, mode="plan")
    assert (turn.end.end, turn.end.alive, wire.sent) == ("failed", True, [])


async def test_a_process_that_is_lost_ends_what_runs(wire: Wire) -> None:
    async with asyncio.TaskGroup() as tasks:
        turn = Turn(wire, tasks)
        await turn.until(UserSaid)
        wire.alive = False
        wire.session.lost()
        wire.session.lost()
    assert (turn.end.end, turn.end.code, turn.end.alive) == ("failed", "agent_died", False)
    assert turn.end.message == "It is gone: prompt again."


async def test_who_is_not_logged_in_begins_with_a_new_process(wire: Wire) -> None:
    async with asyncio.TaskGroup() as tasks:
        turn = Turn(wire, tasks)
        await turn.until(UserSaid)
        wire.ends(wire.sent[0], is_error=True, api_error_status=401, result="no")
    assert (turn.end.code, turn.end.alive, wire.session.alive) == ("agent_not_logged_in", False, False)


async def test_a_turn_of_its_own_is_told_beside_and_stopped_alike(wire: Wire) -> None:
    wire.begins()
    wire.says("by myself")
    await wire.session.cancel()
    wire.ends(origin=OWN, terminal_reason="aborted_streaming", is_error=True)
    assert [type(event) for event in wire.idle] == [SelfStarted, TextDelta, Done]
    assert isinstance(wire.idle[-1], Done)
    assert wire.idle[-1].end == "cancelled"


async def test_what_a_task_asks_between_two_turns_is_a_turn_until_it_is_answered(wire: Wire) -> None:
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(wire.session.can_use_tool("Bash", {}, ToolPermissionContext(tool_use_id="t")))
        await asyncio.sleep(0)
        assert [type(event) for event in wire.idle] == [SelfStarted, PermissionAsked]
        await wire.session.answer("t", "once")
    assert asking.result().behavior == "allow"
    assert isinstance(wire.idle[-1], Done)


async def test_a_prompt_takes_over_what_claude_has_begun_and_what_that_has_asked(wire: Wire) -> None:
    wire.begins()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(wire.session.can_use_tool("Bash", {}, ToolPermissionContext(tool_use_id="t")))
        await asyncio.sleep(0)
        turn = Turn(wire, tasks)
        await turn.until(PermissionAsked)
        assert [type(event) for event in wire.idle] == [SelfStarted, PermissionAsked, PermissionGone, Done]
        await wire.session.answer("t", "reject")
        await asyncio.wait({asking})
        wire.says("mine, then ")
        wire.ends(origin=OWN)
        wire.begins()
        wire.says("yours")
        wire.ends(wire.sent[0])
    assert asking.result().behavior == "deny"
    assert (turn.end.end, turn.words) == ("completed", "mine, then yours")
