"""What Claude's real program said, translated: each recording against its golden events, and what no recording holds.

``UPDATE_GOLDEN=1 pytest tests/backends/claude/test_golden.py`` writes the golden files anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ConversationResetMessage,
    Message,
    RateLimitEvent,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)
from claude_agent_sdk._internal.message_parser import parse_message
from claude_agent_sdk.types import RateLimitInfo
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_nb.backends.claude import ending, tools, translate
from coder_nb.backends.claude.results import Results
from coder_nb.backends.claude.start import end_of_turn
from coder_nb.backends.claude.state import State
from coder_nb.backends.events import AnyEvent, Noticed, PlanUpdate, RawReceived, TextDelta, ToolUpdate, UsageReported

TESTS = Path(__file__).parents[2]
RECORDINGS = sorted((TESTS / "recordings" / "claude").glob("*.jsonl"))


def play(data: bytes, cuts: list[int]) -> list[dict[str, Any]]:
    """Follows a recording as a session does; its bytes come in pieces."""
    state, line, told = State(session_id="s"), b"", []
    results = Results(state.used)
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        results.feed(data[begin:end])
        *lines, line = (line + data[begin:end]).split(b"\n")
        for each in lines:
            said = parse_message(json.loads(each))
            assert said is not None
            told += [_plain(event) for event in translate.message(state, said)]
            if isinstance(said, ResultMessage):
                told.append(_plain(ending.done(said, label="Claude", login="log in", stopping=False)))
                state.begin()
    assert not state.used
    return told


def _plain(event: Any) -> dict[str, Any]:
    return {"event": type(event).__name__, **json.loads(msgspec.json.encode(event))}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_becomes_its_golden_events(recording: Path) -> None:
    told = play(recording.read_bytes(), [])
    golden = TESTS / "golden" / "claude" / f"{recording.stem}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(told, indent=1) + "\n")
    assert told == json.loads(golden.read_text())
    assert not any(event["event"] == "RawReceived" for event in told), "all of it is understood"


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_it_does_so_however_its_bytes_are_parted(recording: Path, data: st.DataObject) -> None:
    said = recording.read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=8)))
    assert play(said, cuts) == play(said, [])


def test_text_and_thinking_are_told_once_whether_they_come_as_deltas_or_whole() -> None:
    streamed = play((TESTS / "recordings/claude/text.jsonl").read_bytes(), [])
    whole = play((TESTS / "recordings/claude/text-no-partials-no-store.jsonl").read_bytes(), [])

    def words(told: list[dict[str, Any]]) -> str:
        return "".join(event["text"] for event in told if event["event"] == "TextDelta")

    assert words(streamed) == words(whole) != ""


def tell(*said: Message, state: State | None = None) -> list[AnyEvent]:
    """The events of messages."""
    state = state or State(session_id="s")
    return [event for each in said for event in translate.message(state, each)]


def result(**fields: Any) -> ResultMessage:
    usual = {"subtype": "success", "duration_ms": 1, "duration_api_ms": 1, "is_error": False, "num_turns": 1}
    return ResultMessage(**{**usual, "session_id": "s", "uuid": "r", **fields})


def test_what_is_not_known_is_kept_and_loses_nothing_else() -> None:
    told = tell(
        SystemMessage(subtype="invented", data={"x": 1}),
        StreamEvent(uuid="u", session_id="s", event={"type": "invented"}),
        AssistantMessage(content=[TextBlock("words")], model=None),  # type: ignore[arg-type]  # as a broken proxy says it
        UserMessage(content=[ToolResultBlock("nobody", "what?")]),
    )
    assert [type(event) for event in told] == [RawReceived, TextDelta]
    assert told[0] == RawReceived(source="claude", type="system/invented", data={"x": 1})


def test_what_a_command_of_its_own_answers_is_told() -> None:
    assert tell(result(result="Total cost: $0")) == [TextDelta(text="Total cost: $0", part="r")]
    spoken = AssistantMessage(content=[TextBlock("words")], model="m", message_id="1")
    assert [event for event in tell(spoken, result(result="words")) if isinstance(event, TextDelta)] == [
        TextDelta(text="words", part="1:0:None")
    ]


def test_a_plan_is_told_as_one() -> None:
    todos = {"todos": [{"content": "look", "status": "completed"}, {"content": "leap", "status": "odd"}]}
    told = tell(AssistantMessage(content=[ToolUseBlock("t", tools.PLAN, todos)], model="m"))
    (plan,) = [event for event in told if isinstance(event, PlanUpdate)]
    assert [(item.text, item.status) for item in plan.items] == [("look", "completed"), ("leap", "pending")]


def test_what_sub_agents_of_earlier_turns_do_is_no_part_of_this_one() -> None:
    state = State(session_id="s")
    call = AssistantMessage(content=[ToolUseBlock("agent", "Agent", {"description": "job"})], model="m")
    below = AssistantMessage(content=[TextBlock("deep")], model="m", parent_tool_use_id="agent")
    first = tell(call, below, state=state)
    assert TextDelta(text="deep", part="None:0:None", parent="agent") in first
    state.begin()
    assert tell(below, state=state) == []


def test_limits_are_notices_and_a_reset_begins_the_counting_anew() -> None:
    def limit(status: Any, **fields: Any) -> RateLimitEvent:
        return RateLimitEvent(RateLimitInfo(status=status, rate_limit_type="five_hour", **fields), "u", "s")

    near, reached = tell(limit("allowed"), limit("allowed_warning", utilization=0.9), limit("rejected"))
    assert (near, reached) == (
        Noticed(text="The five hour limit is near, 90% of it are used.", code="rate_limit", level="warning"),
        Noticed(text="The five hour limit is reached: wait until it is reset.", code="rate_limit", level="warning"),
    )
    state = State(session_id="s")
    used = {"m": {"inputTokens": 5, "outputTokens": 1, "costUSD": 0.5, "costBasis": "unknown"}}
    for _ in range(2):
        (first,) = [e for e in tell(result(model_usage=used), state=state) if isinstance(e, UsageReported)]
        assert (first.tokens.input, first.tokens.cache_read, first.cost_nanousd, first.cost_source) == (
            5, None, None, "unknown",
        )  # fmt: skip
        assert tell(result(model_usage=used), state=state) == []
        tell(ConversationResetMessage("new", "u", "s"), state=state)


@pytest.mark.parametrize(
    ("fields", "end", "code"),
    [
        ({}, "completed", ""),
        ({"stop_reason": "refusal"}, "refused", ""),
        ({"stop_reason": "max_tokens"}, "limited", ""),
        ({"terminal_reason": "aborted_tools", "is_error": True}, "cancelled", ""),
        ({"subtype": "error_max_turns", "is_error": True}, "limited", ""),
        ({"is_error": True, "api_error_status": 401, "result": "no key"}, "failed", "agent_not_logged_in"),
        ({"is_error": True, "result": "Not logged in · Please run /login"}, "failed", "agent_not_logged_in"),
        ({"is_error": True, "api_error_status": 529, "result": "busy"}, "failed", "agent_failed"),
        ({"subtype": "error_during_execution", "is_error": True}, "failed", "agent_failed"),
    ],
)
def test_an_end_is_what_it_says(fields: dict[str, Any], end: str, code: str) -> None:
    done = ending.done(result(**fields), label="Claude", login="run `claude` and log in", stopping=False)
    assert (done.end, done.code, done.alive) == (end, code, True)
    assert not done.message or done.message.endswith(("rompt again.", "go on."))
    assert ending.done(result(**fields), label="Claude", login="", stopping=True).end == "cancelled"


def test_a_result_is_matched_to_its_prompt() -> None:
    assert ending.belongs(result(user_message_uuids=["a", "b"]), "b")
    assert not ending.belongs(result(user_message_uuids=["a"]), "b")
    assert ending.belongs(result(user_message_uuid="b"), "b")
    assert ending.belongs(result(), "b")
    assert not ending.belongs(result(origin={"kind": "task-notification"}), "b")


def test_what_a_call_did_to_a_file_is_shown_whole() -> None:
    details = {"filePath": "/a", "originalFile": "one two two", "oldString": "two", "newString": "2"}
    block = ToolResultBlock("t", "done")
    edited = tools.result("Edit", block, details, None)
    assert [(diff.old, diff.new) for diff in edited.diffs or ()] == [("one two two", "one 2 two")]
    everywhere = tools.result("Edit", block, {**details, "replaceAll": True}, None)
    assert [diff.new for diff in everywhere.diffs or ()] == ["one 2 2"]
    failed = tools.result("Bash", ToolResultBlock("t", "Exit code 3\nno", is_error=True), None, None)
    assert failed == ToolUpdate(call_id="t", status="failed", content="Exit code 3\nno", exit_code=3, diffs=())


def test_a_turn_ends_before_the_next_thing_that_the_user_says() -> None:
    def entry(uuid: str, kind: str = "user", content: Any = "words", **fields: Any) -> Any:
        return {"type": kind, "uuid": uuid, "message": {"role": kind, "content": content}, **fields}

    entries = [
        entry("1"),
        entry("2", "assistant"),
        entry("3", content=[{"type": "tool_result", "tool_use_id": "t"}]),
        entry("s", "assistant", isSidechain=True),
        entry("4", content=[{"type": "text", "text": "[Request interrupted by user]"}]),
        {"type": "last-prompt"},
        entry("5"),
        entry("6", "assistant"),
    ]
    assert (end_of_turn(entries, "1"), end_of_turn(entries, "5"), end_of_turn(entries, "9")) == ("4", "6", None)
