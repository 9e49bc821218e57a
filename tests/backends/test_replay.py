"""The replay backend: what it reads, and how it plays it."""

from __future__ import annotations

import asyncio
import typing
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import matrix
from support.recording import HEADER, Writer, an_edit

from coder_nb.backends.base import Asked, Opening
from coder_nb.backends.events import (
    AnyEvent,
    Done,
    Noticed,
    PermissionAsked,
    RawReceived,
    TextDelta,
    ToolUpdate,
    UsageReported,
)
from coder_nb.backends.replay import ReplayBackend
from coder_nb.backends.replay.recording import BadRecording, Call, Say, Tell, parse, pieces, steps
from coder_nb.backends.replay.session import ReplaySession, write
from coder_nb.core.entries import (
    AnyBody,
    Choice,
    Commands,
    Compaction,
    Plan,
    Question,
    Text,
    Tokens,
    TurnEnded,
    Usage,
)
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import AgentUnavailable
from coder_nb.settings import Settings
from coder_nb.testing.backend_conformance import CHECKS, Check, Subject

pytestmark = pytest.mark.anyio
PROMPT = "Fix the mean."


def subject_of(tmp_path: Path) -> Subject:
    """A recording with a turn for each thing that the contract is about."""
    writer = Writer()
    for prompt, answer, seconds in (("say", "one two", 0.2), ("hang", "on " * 1000, 9.0), ("begin", "yes", 0.1)):
        writer.turn(prompt, after=0.01)
        writer.add(Text(answer), after=0.01)
        writer.add(TurnEnded("completed"), after=seconds)
    writer.turn("write", after=0.01)
    an_edit(writer)
    writer.turn("which", after=0.01)
    writer.add(Question(request_id="q", text="Which?", choices=(Choice("a"), Choice("b"))), after=0.01)
    writer.add(Text("Taken."), after=0.01)
    writer.add(TurnEnded("completed"), after=0.01)
    writer.turn("crash", after=0.01)
    writer.add(TurnEnded("failed", message="It died: prompt again.", code="agent_died"))
    path = tmp_path / "recording.jsonl"
    path.write_bytes(writer.bytes())

    async def nothing() -> None:
        return None

    return Subject(
        backend=ReplayBackend(Settings(replay_recording=str(path))),
        opening=Opening(agent="replay", chat_id="c", cwd=tmp_path),
        close=nothing,
        text=("say", "one two"),
        endless="hang",
        asks=("write", tmp_path / "a.txt"),
        question=("which", ("b",), "Taken."),
        crash="crash",
        recall=("begin", "say", "one two"),
    )


@pytest.mark.parametrize("check", [check for check, _ in CHECKS], ids=lambda check: check.__name__)
async def test_the_contract_of_backends(tmp_path: Path, check: Check) -> None:
    await check(subject_of(tmp_path))


def two_turns() -> Writer:
    writer = Writer()
    writer.turn(PROMPT)
    writer.add(Text("I will fix it."))
    an_edit(writer)
    writer.add(Usage(tokens=Tokens(input=10, output=2), cost_nanousd=5, cost_source="reported"))
    writer.add(TurnEnded("completed", duration_ms=5))
    writer.turn("Add a test.")
    writer.add(Text("Added."))
    writer.add(TurnEnded("completed"))
    return writer


def opened(writer: Writer, cwd: Path, *, turns: int = 0, pace: float = 0.0) -> ReplaySession:
    opening = Opening(agent="replay", chat_id="c", cwd=cwd, turns=turns)
    return ReplaySession(parse(writer.bytes()), opening, pace=pace)


async def play(
    session: ReplaySession,
    text: str = PROMPT,
    *,
    answer: str | None = "allow",
    mode: PermissionMode = "ask",
    on: Callable[[AnyEvent], Awaitable[None] | None] = lambda event: None,
) -> list[AnyEvent]:
    """All events of a prompt; permissions are answered at once."""
    events: list[AnyEvent] = []
    async with asyncio.timeout(20):
        async for event in session.prompt(Asked(text=text, user_text=text, mode=mode)):
            events.append(event)
            if (doing := on(event)) is not None:
                await doing
            if isinstance(event, PermissionAsked) and answer != "later":
                await session.answer(event.request_id, answer)
    return events


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def said(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


# Reading --------------------------------------------------------------------------------------------------------------


def test_a_recording_is_its_prompts_and_what_followed_each() -> None:
    recording = parse(two_turns().bytes())
    assert [turn.prompt for turn in recording.turns] == [PROMPT, "Add a test."]
    assert [turn.ended.end for turn in recording.turns] == ["completed", "completed"]
    found = steps(recording.turns[0], recording.patches)
    assert [type(step) for step in found] == [Tell, Say, Call, Tell]


def test_the_time_a_person_took_to_answer_is_not_waited_again() -> None:
    recording = parse(two_turns().bytes())
    call = next(step for step in steps(recording.turns[0], recording.patches) if isinstance(step, Call))
    assert call.seconds == 1.5


def test_an_unknown_kind_of_entry_is_played_as_such() -> None:
    writer = Writer()
    writer.turn(PROMPT)
    writer.rows.append(b'{"entry":{"id":"x","chat_id":"c","turn_id":"t1","ts":9,"body":{"kind":"hologram","depth":3}}}')
    writer.rows.append(b'{"something": "new"}')
    found = steps(parse(writer.bytes()).turns[0], {})
    event = RawReceived(source="replay", type="hologram", data={"kind": "hologram", "depth": 3})
    assert [step.event for step in found if isinstance(step, Tell)] == [None, event]


def test_every_kind_of_entry_has_a_way_to_be_played() -> None:
    ours = {"turn_started", "user_message", "turn_ended", "file_change", "checkpoint"}
    for cls in typing.get_args(AnyBody):
        kind = cls.__struct_config__.tag
        needed = {"request_id": "r", "change_id": "c", "path": "p", "name": "n", "agent": "a", "current": "m"}
        needed |= {"commit": "c", "source": "s", "message": "m", "text": "t", "end": "completed"}
        body = msgspec.convert({"kind": kind, **{f: needed[f] for f in cls.__struct_fields__ if f in needed}}, cls)
        writer = Writer()
        writer.turn(PROMPT)
        writer.add(body)
        found = steps(parse(writer.bytes()).turns[0], {})[1:]
        played = [step for step in found if not (isinstance(step, Tell) and step.event is None)]
        assert len(played) == (0 if kind in ours else 1), kind


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "empty"),
        (b"not json\n", "first line"),
        (b'{"format": "other", "version": 1}\n', "'other'"),
        (b'{"format": "coder-nb.chat", "version": 2}\n', "upgrade"),
        (HEADER + b'\n\n{"entry": {"id": 1}}\n', "line 3"),
        (HEADER + b'\n{"entry": {"id"', "line 2"),
    ],
)
def test_a_damaged_recording_is_refused_with_the_line_and_the_cause(data: bytes, cause: str) -> None:
    with pytest.raises(BadRecording, match=cause):
        parse(data)


@given(st.text(), st.floats(min_value=0, max_value=60))
def test_the_pieces_of_a_text_are_the_text(text: str, seconds: float) -> None:
    found = pieces(text, seconds)
    assert "".join(found) == text
    assert all(found)


# Playing --------------------------------------------------------------------------------------------------------------


async def test_the_nth_prompt_is_answered_by_the_nth_turn(tmp_path: Path) -> None:
    session = opened(two_turns(), tmp_path)
    first = await play(session)
    assert said(first) == "I will fix it."
    assert first[-1] == Done(end="completed")
    assert (tmp_path / "a.txt").read_text() == "new\n"
    assert said(await play(session, "Add a test.")) == "Added."


async def test_a_session_that_is_opened_again_goes_on_at_its_place(tmp_path: Path) -> None:
    assert said(await play(opened(two_turns(), tmp_path, turns=1), "Add a test.")) == "Added."


async def test_past_its_end_it_refuses_with_a_sentence(tmp_path: Path) -> None:
    events = await play(opened(two_turns(), tmp_path, turns=2), "And now?")
    assert [type(event) for event in events] == [Done]
    done = events[0]
    assert isinstance(done, Done)
    assert done.end == "refused"
    assert "2 turns" in done.message


async def test_a_prompt_that_is_not_the_recorded_one_draws_a_notice(tmp_path: Path) -> None:
    events = await play(opened(two_turns(), tmp_path), "Something else.")
    notices = [event for event in events if isinstance(event, Noticed)]
    assert [notice.code for notice in notices] == ["replay_other_prompt"]
    assert PROMPT in notices[0].text
    assert said(events) == "I will fix it."


async def test_the_prompt_of_another_turn_is_answered_by_that_turn(tmp_path: Path) -> None:
    events = await play(opened(two_turns(), tmp_path, turns=1), PROMPT)
    assert said(events) == "I will fix it."
    assert not [event for event in events if isinstance(event, Noticed)]


async def test_what_is_replayed_is_never_counted(tmp_path: Path) -> None:
    events = await play(opened(two_turns(), tmp_path))
    reports = [event for event in events if isinstance(event, UsageReported)]
    assert reports == [
        UsageReported(tokens=Tokens(input=10, output=2), cost_nanousd=5, cost_source="reported", counted=False)
    ]


@pytest.mark.parametrize("answer", [None, "reject", "no such option"])
async def test_a_refused_call_writes_nothing_and_ends_as_failed(tmp_path: Path, answer: str | None) -> None:
    events = await play(opened(two_turns(), tmp_path), answer=answer)
    assert not (tmp_path / "a.txt").exists()
    last = [event for event in events if isinstance(event, ToolUpdate)][-1]
    assert last.status == "failed"
    assert [event.code for event in events if isinstance(event, Noticed)] == ["replay_denied"]
    assert events[-1] == Done(end="completed")


async def test_a_call_that_writes_is_asked_for_though_nobody_asked_when_it_was_recorded(tmp_path: Path) -> None:
    writer = Writer()
    writer.turn(PROMPT)
    an_edit(writer, asked=False)
    events = await play(opened(writer, tmp_path), answer=None, mode="plan")
    assert [event.tool_kind for event in events if isinstance(event, PermissionAsked)] == ["edit"]
    assert not (tmp_path / "a.txt").exists()
    events = await play(opened(writer, tmp_path), mode="accept_edits")
    assert not [event for event in events if isinstance(event, PermissionAsked)]
    assert (tmp_path / "a.txt").read_text() == "new\n"


async def test_a_file_can_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old\n")
    writer = Writer()
    writer.turn(PROMPT)
    an_edit(writer, content=None)
    await play(opened(writer, tmp_path))
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize(
    "name", ["../out.txt", "/tmp/out.txt", "sub/../../out.txt", ".git/hooks/x", "link/out.txt", "."]
)
async def test_nothing_is_written_outside_the_working_directory(tmp_path: Path, name: str) -> None:
    cwd = tmp_path / "work"
    cwd.mkdir()
    (cwd / "link").symlink_to(tmp_path, target_is_directory=True)
    before = tree(tmp_path)
    writer = Writer()
    writer.turn(PROMPT)
    an_edit(writer, name=name)
    events = await play(opened(writer, cwd))
    last = [event for event in events if isinstance(event, ToolUpdate)][-1]
    assert last.status == "failed"
    assert "outside" in (last.content or "")
    assert tree(tmp_path) == before


async def test_a_file_keeps_its_right_to_be_executed(tmp_path: Path) -> None:
    patch = parse(
        HEADER + b'\n{"patch": {"entry": "e", "files": [{"path": "d/run", "content": "x", "mode": "100755"}]}}'
    )
    write(patch.patches["e"].files, tmp_path)
    assert (tmp_path / "d" / "run").stat().st_mode & 0o777 == 0o755


async def test_stop_ends_the_turn_while_text_streams_and_the_next_prompt_works(tmp_path: Path) -> None:
    session = opened(two_turns(), tmp_path, pace=100)
    events = await play(session, on=lambda e: session.cancel() if isinstance(e, TextDelta) else None)
    assert events[-1] == Done(end="cancelled", reason="stopped")
    assert said(await play(session, "Add a test.")) == "Added."


async def test_stop_ends_the_turn_while_a_permission_is_open(tmp_path: Path) -> None:
    session, asked = opened(two_turns(), tmp_path), asyncio.Event()
    playing = asyncio.create_task(
        play(session, answer="later", on=lambda e: asked.set() if isinstance(e, PermissionAsked) else None)
    )
    await asked.wait()
    await session.cancel()
    assert (await playing)[-1] == Done(end="cancelled", reason="stopped")
    assert not (tmp_path / "a.txt").exists()


async def test_what_comes_late_after_a_stop_belongs_to_no_later_turn(tmp_path: Path) -> None:
    session, pending = opened(two_turns(), tmp_path), list[str]()

    def stop(event: AnyEvent) -> Awaitable[None] | None:
        if not isinstance(event, PermissionAsked):
            return None
        pending.append(event.request_id)
        return session.cancel()

    first = await play(session, answer="later", on=stop)
    await session.answer(pending[0], "allow")
    await session.cancel()
    second = await play(session, "Add a test.")
    ends = [event for event in (*first, *second) if isinstance(event, Done)]
    assert ends == [Done(end="cancelled", reason="stopped"), Done(end="completed")]
    assert said(second) == "Added."
    assert not (tmp_path / "a.txt").exists()


async def test_a_turn_whose_end_was_not_recorded_ends_all_the_same(tmp_path: Path) -> None:
    writer = Writer()
    writer.turn(PROMPT)
    writer.add(Text("I will " * 100))
    stopped = opened(writer, tmp_path, pace=100)
    events = await play(stopped, on=lambda e: stopped.cancel() if isinstance(e, TextDelta) else None)
    assert events[-1] == Done(end="cancelled", reason="stopped")
    assert (await play(opened(writer, tmp_path)))[-1] == Done(end="completed")


async def test_stopping_when_nothing_runs_does_nothing(tmp_path: Path) -> None:
    session = opened(two_turns(), tmp_path)
    await session.cancel()
    await session.answer("nothing", "allow")
    assert (await play(session))[-1] == Done(end="completed")


async def test_a_closed_session_ends_its_turn_and_is_gone(tmp_path: Path) -> None:
    session = opened(two_turns(), tmp_path, pace=100)
    events = await play(session, on=lambda e: session.close() if isinstance(e, TextDelta) else None)
    assert events[-1] == Done(end="cancelled", reason="stopped", alive=False)
    await session.close()
    assert not session.alive


async def test_a_recorded_crash_is_a_crash(tmp_path: Path) -> None:
    writer = Writer()
    writer.turn(PROMPT)
    writer.add(Text("I will"))
    writer.add(TurnEnded("failed", message="The agent's process ended.", code="agent_died"))
    session = opened(writer, tmp_path)
    done = (await play(session))[-1]
    assert done == Done(end="failed", message="The agent's process ended.", code="agent_died", alive=False)
    assert not session.alive


async def test_a_session_remembers_its_native_id(tmp_path: Path) -> None:
    backend = ReplayBackend(Settings(replay_pace=0))
    opening = Opening(agent="replay", chat_id="c", cwd=tmp_path)
    first = await backend.open(opening, idle_events=print)
    again = await backend.open(msgspec.structs.replace(opening, native_id=first.native_id), idle_events=print)
    assert (first.resumed, again.resumed) == ("new", "resumed")
    assert again.native_id == first.native_id


@matrix.publishes
async def test_what_it_can_do_is_published(tmp_path: Path) -> None:
    backend = ReplayBackend(Settings(replay_pace=0))
    session = await backend.open(Opening(agent="replay", chat_id="c", cwd=tmp_path), idle_events=print)
    can = await matrix.found(backend, "replay", session, tmp_path, ())
    matrix.hold("own", "replay", {**can, "tokens": "as recorded"})


async def test_a_recording_that_is_missing_or_damaged_is_unavailable_with_the_cure(tmp_path: Path) -> None:
    for data in (None, b"{}"):
        path = tmp_path / "r.jsonl"
        if data is not None:
            path.write_bytes(data)
        backend = ReplayBackend(Settings(replay_recording=str(path)))
        probe = await backend.probe("replay")
        assert not probe.available
        assert str(path) in probe.reason
        assert "CODER_NB_REPLAY_RECORDING" in probe.cure
        with pytest.raises(AgentUnavailable, match="CODER_NB_REPLAY_RECORDING"):
            await backend.open(Opening(agent="replay", chat_id="c", cwd=tmp_path), idle_events=print)


def test_bodies_that_no_event_carries_are_kept_raw() -> None:
    writer = Writer()
    writer.turn(PROMPT)
    writer.add(Compaction("short"))
    writer.add(Commands())
    writer.add(Plan())
    found = [step.event for step in steps(parse(writer.bytes()).turns[0], {}) if isinstance(step, Tell)]
    assert [event.type for event in found if isinstance(event, RawReceived)] == ["compaction"]
