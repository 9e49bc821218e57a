"""Turns on a server that says exactly what a test wants: late ends, missing ends, lost streams, denied questions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.base import Asked, Opening
from coder_nb.backends.events import (
    AnyEvent,
    Done,
    PermissionGone,
    QuestionAsked,
    QuestionGone,
    RawReceived,
    TextDelta,
    UsageReported,
    UserSaid,
)
from coder_nb.backends.opencode import translate
from coder_nb.backends.opencode import turn as turns
from coder_nb.backends.opencode.events import Events
from coder_nb.backends.opencode.session import OpencodeSession
from coder_nb.backends.opencode.state import State
from coder_nb.backends.registry import registry
from coder_nb.core.entries import Attachment
from coder_nb.errors import AgentDied
from coder_nb.settings import Settings

pytestmark = pytest.mark.anyio
SID = "ses_one"


class Script:
    """Stands where a server does: keeps what it is asked, and says what it is told to."""

    def __init__(self) -> None:
        self.events = Events(None)  # type: ignore[arg-type]  # nothing is read here
        self.events.connected.set()
        self.dead: AgentDied | None = None
        self.asked: list[str] = []
        self.prompts: asyncio.Queue[str] = asyncio.Queue()
        self.hasty = False
        """Whether a prompt's turn is over before the request that brings the prompt is."""
        self.waited_for = False
        """Whether its stream was: what is said before that is heard by nobody."""
        self.busy_now = False
        self.messages: list[dict[str, Any]] = []
        self.children: list[dict[str, Any]] = []
        self.permissions: list[dict[str, Any]] = []
        self.questions: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}
        self.bodies: dict[str, Any] = {}
        self.while_asked: Callable[[], None] | None = None
        """What happens once a list of permissions was answered and before it is read."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def call(self, method: str, path: str, cwd: Path, body: Any = None, **_: Any) -> Any:
        self.asked.append(path.removeprefix(f"/session/{SID}"))
        self.bodies[self.asked[-1]] = body
        if path in (f"/session/{SID}/prompt_async", f"/session/{SID}/command"):
            self.prompts.put_nowait(body["messageID"])
            if self.hasty and self.waited_for:
                self.takes(body["messageID"], "msg_a")
                self.ends("msg_a", body["messageID"])
        answers = {
            "/session": {"id": SID},
            "/agent": [{"name": "build", "mode": "primary"}],
            "/config/providers": {"providers": []},
            "/session/status": {SID: {"type": "busy"}} if self.busy_now else {},
            f"/session/{SID}/message": self.messages,
            "/permission": self.permissions,
            "/question": self.questions,
            "/command": [{"name": "greet", "description": "Greets", "hints": ["$ARGUMENTS"], "template": ""}],
            f"/session/{SID}/children": self.children,
        }
        if path == "/permission" and self.while_asked is not None:
            happens, self.while_asked = self.while_asked, None
            happens()
        return answers.get(path, self.more.get(path))

    async def connected(self) -> None:
        self.waited_for = True

    def soon(self, what: Any, *, name: str) -> None:
        task = asyncio.ensure_future(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @contextlib.contextmanager
    def busy(self, turn: object) -> Iterator[None]:
        yield

    def release(self) -> None:
        return None

    # What it says ---------------------------------------------------------------------------------------------------

    def say(self, kind: str, **properties: Any) -> None:
        event = {"type": kind, "properties": {"sessionID": SID, **properties}}
        self.events._take({"payload": event}, False)

    def takes(self, prompt: str, answer: str) -> None:
        """The prompt is seen in the session, and its answer begins."""
        self.say("message.updated", info={"id": prompt, "role": "user", "sessionID": SID})
        self.say("message.updated", info=info(answer, prompt))

    def tells(self, answer: str, text: str) -> None:
        part = {"id": f"part {answer}", "messageID": answer, "type": "text", "text": text, "time": {"end": 1}}
        self.say("message.part.updated", part=part)

    def ends(self, answer: str, prompt: str) -> None:
        self.say("message.updated", info=info(answer, prompt) | {"time": {"completed": 1}, "finish": "stop"})
        self.say("session.idle")


def info(answer: str, prompt: str) -> dict[str, Any]:
    return {"id": answer, "role": "assistant", "sessionID": SID, "parentID": prompt, "time": {}}


@pytest.fixture
async def script() -> Script:
    return Script()


@pytest.fixture
async def session(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpencodeSession:
    monkeypatch.setattr(turns, "SILENCE", 0.05)
    monkeypatch.setattr(turns, "DOUBT", 0.01)
    idle: list[AnyEvent] = []
    made = OpencodeSession(
        script,  # type: ignore[arg-type]
        registry()["opencode"],
        Opening(agent="opencode", chat_id="c", cwd=tmp_path),
        Settings(cancel_grace=0.3),
        idle_events=idle.append,
    )
    await made.start()
    return made


GO = Asked(text="go", user_text="go")


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not look():
            await asyncio.to_thread(time.sleep, 0.005)


async def collect(session: OpencodeSession, asked: Asked = GO) -> list[AnyEvent]:
    async with asyncio.timeout(60):
        return [event async for event in session.prompt(asked)]


def end_of(events: list[AnyEvent]) -> tuple[str, bool]:
    assert isinstance(events[-1], Done)
    return events[-1].end, events[-1].alive


def text_of(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_the_late_end_and_the_late_text_of_a_stopped_turn_are_not_the_next_ones(
    script: Script, session: OpencodeSession
) -> None:
    first = asyncio.create_task(collect(session))
    one = await script.prompts.get()
    script.takes(one, "msg_a")
    await session.cancel()
    script.say("message.updated", info=info("msg_a", one) | {"error": {"name": "MessageAbortedError"}})
    script.say("session.idle")
    assert end_of(await first) == ("cancelled", True)
    second = asyncio.create_task(collect(session))
    two = await script.prompts.get()
    script.busy_now = True
    script.say("session.idle")
    script.tells("msg_a", "late")
    script.takes(two, "msg_b")
    script.say("message.updated", info=info("msg_a", one) | {"error": {"name": "MessageAbortedError"}})
    script.tells("msg_a", "later")
    script.say("session.idle")
    script.tells("msg_b", "right")
    script.ends("msg_b", two)
    events = await second
    assert (text_of(events), end_of(events)) == ("right", ("completed", True))


async def test_a_stop_whose_end_never_came_swallows_no_end_of_the_next_turn(
    script: Script, session: OpencodeSession
) -> None:
    first = asyncio.create_task(collect(session))
    script.takes(await script.prompts.get(), "msg_a")
    await session.cancel()
    assert end_of(await first) == ("cancelled", True), "the server was asked, as it said nothing"
    second = asyncio.create_task(collect(session))
    await script.prompts.get()
    script.say("session.error", error={"name": "UnknownError", "data": {"message": "no such model"}})
    events = await second
    assert (text_of(events), end_of(events)) == ("", ("failed", True))


@pytest.mark.parametrize("loss", ["the instance is thrown away", "the stream begins anew"])
async def test_an_end_that_was_lost_with_the_stream_is_found_by_asking(
    script: Script, session: OpencodeSession, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    monkeypatch.setattr(turns, "SILENCE", 60.0)  # it is not the silence by which it is noticed
    turn = asyncio.create_task(collect(session))
    prompt = await script.prompts.get()
    script.takes(prompt, "msg_a")
    part = {"id": "p", "messageID": "msg_a", "type": "text", "text": "all of it", "time": {"end": 1}}
    answer = info("msg_a", prompt) | {"time": {"completed": 1}, "finish": "stop"}
    script.messages = [
        {"info": {"id": prompt, "role": "user", "sessionID": SID}, "parts": []},
        {"info": answer, "parts": [part]},
    ]
    thrown = loss == "the instance is thrown away"
    kind = "server.instance.disposed" if thrown else "server.connected"
    script.events._take({"payload": {"type": kind, "properties": {}}}, not thrown)
    events = await turn
    assert (text_of(events), end_of(events)) == ("all of it", ("completed", True))


async def test_a_turn_whose_end_never_comes_is_ended_by_asking(script: Script, session: OpencodeSession) -> None:
    turn = asyncio.create_task(collect(session))
    prompt = await script.prompts.get()
    script.takes(prompt, "msg_a")
    part = {"id": "p", "messageID": "msg_a", "type": "text", "text": "all of it", "time": {"end": 1}}
    answer = info("msg_a", prompt) | {"time": {"completed": 1}, "finish": "stop"}
    script.messages = [
        {"info": {"id": prompt, "role": "user", "sessionID": SID}, "parts": []},
        {"info": answer, "parts": [part]},
    ]
    events = await turn
    assert (text_of(events), end_of(events)) == ("all of it", ("completed", True))


async def test_a_prompt_that_is_refused_by_an_error_alone_fails(script: Script, session: OpencodeSession) -> None:
    turn = asyncio.create_task(collect(session))
    await script.prompts.get()
    script.say("session.error", error={"name": "UnknownError", "data": {"message": "no such thing"}})
    events = await turn
    assert end_of(events) == ("failed", True)
    assert "no such thing" in events[-1].message  # type: ignore[union-attr]


async def test_an_end_that_comes_at_once_is_heard(
    script: Script, session: OpencodeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SILENCE", 60.0)  # it is heard, and not found by asking
    script.hasty, script.waited_for = True, False
    assert end_of(await collect(session)) == ("completed", True)


async def test_a_session_that_answers_no_stop_is_given_up(script: Script, session: OpencodeSession) -> None:
    script.busy_now = True
    turn = asyncio.create_task(collect(session))
    script.takes(await script.prompts.get(), "msg_a")
    await session.cancel()
    assert end_of(await turn) == ("cancelled", False)
    assert not session.alive
    assert "/abort" in script.asked


async def test_what_was_lost_with_the_stream_is_told_once_and_in_order(
    script: Script, session: OpencodeSession
) -> None:
    turn = asyncio.create_task(collect(session))
    prompt = await script.prompts.get()
    script.busy_now = True
    script.takes(prompt, "msg_a")
    part = {"id": "part msg_a", "messageID": "msg_a", "type": "text"}
    script.say("message.part.updated", part=part | {"text": ""})
    script.say("message.part.delta", messageID="msg_a", partID="part msg_a", field="text", delta="one ")
    script.events._take({"payload": {"type": "server.connected"}}, True)
    script.say("message.part.delta", messageID="msg_a", partID="part msg_a", field="text", delta="three")
    script.tells("msg_a", "one two three")
    script.ends("msg_a", prompt)
    assert text_of(await turn) == "one two three"


QUESTIONS = [
    {"question": "Which?", "header": "W", "options": [{"label": "Red", "description": "warm"}, {"label": "Blue"}]},
    {"question": "What else?", "header": "E", "options": [], "multiple": True},
]


@pytest.mark.parametrize(
    ("answers", "path", "body"),
    [
        ((("Blue",), ("a", "b")), "reply", {"answers": [["Blue"], ["a", "b"]]}),
        ((("Blue",), None), "reply", {"answers": [["Blue"], []]}),
        ((None, None), "reject", None),
    ],
)
async def test_questions_asked_at_once_are_answered_together(
    script: Script, session: OpencodeSession, answers: tuple[Any, ...], path: str, body: Any
) -> None:
    events: list[AnyEvent] = []
    prompted = session.prompt(GO)
    reading = asyncio.ensure_future(anext(prompted))
    prompt = await script.prompts.get()
    script.takes(prompt, "msg_a")
    for _ in range(2):  # the stream may say it twice
        script.say("question.asked", id="que_1", questions=QUESTIONS, tool={"callID": "call_1", "messageID": "msg_a"})
    while sum(isinstance(event, QuestionAsked) for event in events) < 2:
        events.append(await reading)
        reading = asyncio.ensure_future(anext(prompted))
    asked = [event for event in events if isinstance(event, QuestionAsked)]
    assert [(one.text, one.multiple, [c.id for c in one.choices]) for one in asked] == [
        ("Which?", False, ["Red", "Blue"]),
        ("What else?", True, []),
    ]
    for one, answer in zip(asked, answers, strict=True):
        assert "/question/que_1/reply" not in script.asked
        await session.reply(one.request_id, answer)
        await session.reply(one.request_id, ("late",))
    assert script.bodies[f"/question/que_1/{path}"] == body
    script.say("question.replied", requestID="que_1", answers=[])
    script.ends("msg_a", prompt)
    rest = [await reading, *[event async for event in prompted]]
    assert not [event for event in rest if isinstance(event, QuestionAsked | QuestionGone)]
    assert end_of(rest) == ("completed", True)


@pytest.mark.parametrize("kind", ["permission", "question"])
async def test_what_is_asked_in_words_that_are_not_understood_is_refused(
    script: Script, session: OpencodeSession, kind: str
) -> None:
    turn = asyncio.create_task(collect(session))
    prompt = await script.prompts.get()
    script.takes(prompt, "msg_a")
    script.say(f"{kind}.asked", id="odd_1", questions=[{}])
    script.ends("msg_a", prompt)
    assert [event.type for event in await turn if isinstance(event, RawReceived)] == [f"{kind}.asked"]
    assert f"/{kind}/odd_1/re" in "".join(script.asked)


async def test_a_question_that_somebody_else_answers_is_gone(script: Script, session: OpencodeSession) -> None:
    turn = asyncio.create_task(collect(session))
    prompt = await script.prompts.get()
    script.takes(prompt, "msg_a")
    script.say("question.asked", id="que_1", questions=QUESTIONS)
    script.say("question.rejected", requestID="que_1")
    script.ends("msg_a", prompt)
    gone = [event.request_id for event in await turn if isinstance(event, QuestionGone)]
    assert gone == ["que_1.0", "que_1.1"]


async def test_what_was_asked_and_answered_while_the_stream_was_lost_is_known(
    script: Script, session: OpencodeSession
) -> None:
    turn = asyncio.create_task(collect(session))
    prompt = await script.prompts.get()
    script.busy_now = True
    script.takes(prompt, "msg_a")
    script.say("permission.asked", id="per_1", permission="bash", patterns=["ls"], metadata={}, always=[])
    script.questions = [{"id": "que_2", "sessionID": SID, "questions": QUESTIONS[:1]}]
    script.permissions = [{"id": "per_9", "sessionID": "ses_of_others", "permission": "bash", "patterns": []}]
    script.events._take({"payload": {"type": "server.connected"}}, True)
    await until(lambda: session._requests.open == {"que_2"})
    script.ends("msg_a", prompt)
    events = await turn
    assert [event.request_id for event in events if isinstance(event, PermissionGone)] == ["per_1"]
    assert [event.request_id for event in events if isinstance(event, QuestionAsked)] == ["que_2.0"]


async def test_what_a_sub_agent_said_while_the_stream_was_lost_is_told_once(
    script: Script, session: OpencodeSession
) -> None:
    turn = asyncio.create_task(collect(session))
    prompt = await script.prompts.get()
    script.busy_now = True
    script.takes(prompt, "msg_a")
    now = time.time() * 1000 + 1000
    script.children = [{"id": "ses_child", "time": {"created": now}}, {"id": "ses_old", "time": {"created": 1}}]
    said = {"id": "prt_c", "messageID": "msg_c", "sessionID": "ses_child", "type": "text", "text": "Found it."}
    child = {"id": "msg_c", "role": "assistant", "sessionID": "ses_child", "time": {}}
    script.more["/session/ses_child/message"] = [{"info": child, "parts": [said | {"time": {"end": 1}}]}]
    for _ in range(2):
        script.events._take({"payload": {"type": "server.connected"}}, True)
        await until(lambda: "/session/ses_child/message" in script.asked)
    script.ends("msg_a", prompt)
    events = await turn
    assert [(e.text, e.parent) for e in events if isinstance(e, TextDelta)] == [("Found it.", "ses_child")]
    assert "/session/ses_old/message" not in script.asked


async def test_a_permission_that_is_asked_while_the_server_is_asked_is_not_taken_back(
    script: Script, session: OpencodeSession
) -> None:
    turn = asyncio.create_task(collect(session))
    prompt = await script.prompts.get()
    script.busy_now = True
    script.takes(prompt, "msg_a")
    script.while_asked = lambda: script.say(
        "permission.asked", id="per_1", permission="bash", patterns=["ls"], metadata={}, always=[]
    )
    script.events._take({"payload": {"type": "server.connected"}}, True)
    await until(lambda: session._requests.open == {"per_1"} and "/question" in script.asked)
    script.ends("msg_a", prompt)
    assert not [event for event in await turn if isinstance(event, PermissionGone)]


async def test_a_command_of_the_servers_is_run_as_one_and_what_others_said_goes_before_it(
    script: Script, session: OpencodeSession
) -> None:
    assert session.capabilities.commands
    script.more[f"/session/{SID}/message"] = None
    asked = Asked(text="Others said this.\n\n/greet all of you", user_text="/greet all of you")
    turn = asyncio.create_task(collect(session, asked))
    prompt = await script.prompts.get()
    script.takes(prompt, "msg_a")
    script.ends("msg_a", prompt)
    assert end_of(await turn) == ("completed", True)
    assert script.bodies["/command"] == {
        "messageID": prompt,
        "command": "greet",
        "arguments": "all of you",
        "agent": "build",
    }
    assert script.bodies["/message"]["noReply"]
    assert script.bodies["/message"]["parts"][0]["text"] == "Others said this."
    turn = asyncio.create_task(collect(session, Asked(text="/unknown x", user_text="/unknown x")))
    prompt = await script.prompts.get()
    script.takes(prompt, "msg_b")
    script.ends("msg_b", prompt)
    await turn
    assert script.bodies["/prompt_async"]["parts"][0]["text"] == "/unknown x"


async def test_files_go_with_a_prompt(script: Script, session: OpencodeSession, tmp_path: Path) -> None:
    files = (
        Attachment(name="a.png", mime_type="image/png", data=b"\x89PNG"),
        Attachment(name="b.txt", path="notes/b.txt"),
    )
    turn = asyncio.create_task(collect(session, Asked(text="look", user_text="look", attachments=files)))
    prompt = await script.prompts.get()
    script.takes(prompt, "msg_a")
    script.ends("msg_a", prompt)
    events = await turn
    assert [(p["mime"], p["url"]) for p in script.bodies["/prompt_async"]["parts"][1:]] == [
        ("image/png", "data:image/png;base64,iVBORw=="),
        ("text/plain", (tmp_path / "notes" / "b.txt").as_uri()),
    ]
    assert [event.native_id for event in events if isinstance(event, UserSaid)] == [prompt]


def _past(*roles: str) -> list[dict[str, Any]]:
    return [{"info": {"id": f"msg_{n}", "role": role, "sessionID": SID}, "parts": []} for n, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("to", "path", "body"),
    [
        ("msg_0", "/revert", {"messageID": "msg_2"}),
        (None, "/revert", {"messageID": "msg_0"}),
        ("msg_2", "/unrevert", None),
        ("msg_of_nobody", None, None),
    ],
)
async def test_going_back_forgets_what_came_after(
    script: Script, session: OpencodeSession, to: str | None, path: str | None, body: Any
) -> None:
    script.messages = _past("user", "assistant", "user", "assistant", "assistant")
    assert await session.rewind(to) is (path is not None)
    assert [one for one in script.asked if "revert" in one] == ([path] if path else [])
    if path:
        assert script.bodies[path] == body


async def test_a_question_that_nobody_answers_ends_with_its_turn(script: Script, session: OpencodeSession) -> None:
    turn = asyncio.create_task(collect(session))
    script.takes(await script.prompts.get(), "msg_a")
    script.say("question.asked", id="que_1", questions=QUESTIONS)
    await asyncio.sleep(0)
    script.events._listeners[SID].ended(AgentDied("gone: prompt again."))
    assert end_of(await turn) == ("failed", False)
    assert "/question/que_1/reject" in script.asked


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.next.text.delta", "properties": {"sessionID": SID}},
        {"type": "message.updated", "properties": {"info": None}},
        {"type": "message.part.updated", "properties": {"part": {"type": "text"}}},
        {"type": "permission.asked", "properties": {"sessionID": SID}},
        {"type": "session.status", "properties": {"sessionID": SID, "status": None}},
        {"properties": {}},
    ],
)
def test_what_is_not_understood_is_kept_as_it_came(event: dict[str, Any]) -> None:
    (said,) = translate.event(State(agent="opencode", session_id=SID), event)
    assert isinstance(said, RawReceived)
    assert said.data == event


def test_a_step_is_counted_once_and_reasoning_is_in_the_output() -> None:
    state = State(agent="opencode", session_id=SID, messages={"m": "assistant"})
    tokens = {"input": 10, "output": 5, "reasoning": 3, "cache": {"read": 2, "write": 1}, "total": 21}
    part = {"id": "p", "messageID": "m", "sessionID": SID, "type": "step-finish", "tokens": tokens, "cost": 0}
    event = {"type": "message.part.updated", "properties": {"part": part}}
    (usage,) = translate.event(state, event)
    assert isinstance(usage, UsageReported)
    assert (usage.tokens.input, usage.tokens.output, usage.tokens.reasoning) == (10, 8, 3)
    assert (usage.cost_nanousd, usage.cost_source) == (None, "unknown")
    assert translate.event(state, event) == []
