"""What a real opencode server said, translated: a conversation against a golden file, however its bytes are parted.

``UPDATE_GOLDEN=1 pytest tests/backends/opencode/test_golden.py`` writes the golden file anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_nb.backends.opencode import translate
from coder_nb.backends.opencode.ending import done, ends_turn
from coder_nb.backends.opencode.sse import Framer
from coder_nb.backends.opencode.state import State, session_of
from coder_nb.backends.registry import registry

TESTS = Path(__file__).parents[2]
EVENTS = [json.loads(line) for line in (TESTS / "recordings/opencode/events.jsonl").read_text().splitlines()]
MAIN = "ses_e0362c0b2ffeRz0ScoAsbvT21S"
SPEC = registry()["opencode"]


def play(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Follows the recording as a session does: each message of the user begins a turn, whose end is found."""
    state = State(agent="opencode", session_id=MAIN)
    told: list[dict[str, Any]] = []
    for event in events:
        info = event["properties"].get("info") or {}
        begins = event["type"] == "message.updated" and info.get("role") == "user" and info.get("sessionID") == MAIN
        if begins and state.message_id is None and info["id"] not in state.old and "summary" not in info:
            state.begin(info["id"])
            told.append({"event": "Prompt"})
        for said in translate.event(state, event):
            told.append({"event": type(said).__name__, **json.loads(msgspec.json.encode(said))})
        if state.message_id and session_of(event) == MAIN and ends_turn(state, event) is not False:
            if event["type"] == "session.error" or not state.answered:
                continue  # the server would be asked, and says that it rests only later
            end = done(state, SPEC, stopping=False, alive=True)
            told.append({"event": "Done", **json.loads(msgspec.json.encode(end))})
            state.retire()
    return told


def stream(events: list[dict[str, Any]]) -> bytes:
    frames = [json.dumps({"directory": "/home/user", "payload": event}, ensure_ascii=False) for event in events]
    return "".join(f": a comment\r\ndata: {frame}\r\n\r\n" for frame in frames).encode()


def test_a_recording_becomes_its_golden_events() -> None:
    told = play(EVENTS)
    golden = TESTS / "golden" / "opencode" / "events.json"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(told, indent=1) + "\n")
    assert told == json.loads(golden.read_text())


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_how_the_bytes_are_parted_changes_nothing(cuts: list[int]) -> None:
    events = [{"type": "odd", "properties": {"text": "ä€😀" * 20}}, *EVENTS[:120]]
    framer, data, at, turn = Framer(), stream(events), 0, 0
    found: list[dict[str, Any]] = []
    while at < len(data):
        found += framer.feed(data[at : at + cuts[turn % len(cuts)]])
        at, turn = at + cuts[turn % len(cuts)], turn + 1
    assert [event["payload"] for event in found] == events


STRANGE = (
    {"type": "session.next.something", "properties": {"sessionID": MAIN}},
    {"type": "message.part.updated", "properties": {"sessionID": MAIN, "part": {"type": "text", "text": None}}},
    {"type": "message.part.delta", "properties": {"sessionID": MAIN, "partID": "prt_nobodys", "messageID": "msg_x"}},
    {"type": "message.updated", "properties": {"sessionID": MAIN, "info": None}},
    {"type": "permission.replied", "properties": {"sessionID": MAIN}},
    {"type": None, "properties": {"sessionID": MAIN}},
)


@settings(max_examples=25, deadline=None)
@given(strange=st.lists(st.tuples(st.integers(0, len(EVENTS)), st.sampled_from(STRANGE)), min_size=1, max_size=8))
def test_what_is_not_understood_loses_nothing_else(strange: list[tuple[int, dict[str, Any]]]) -> None:
    events = list(EVENTS)
    for at, event in sorted(strange, key=lambda one: -one[0]):
        events.insert(at, json.loads(json.dumps(event)))
    assert [one for one in play(events) if one["event"] != "RawReceived"] == [
        one for one in play(EVENTS) if one["event"] != "RawReceived"
    ]


def test_a_message_without_a_model_has_its_text_and_its_tokens() -> None:
    state = State(agent="opencode", session_id=MAIN)
    info = {"id": "msg_1", "role": "assistant", "sessionID": MAIN, "providerID": None, "modelID": None}
    tokens = {"input": 7, "output": 3, "reasoning": None, "cache": None}
    parts = [
        {"id": "prt_1", "messageID": "msg_1", "sessionID": MAIN, "type": "text", "text": "Hello."},
        {"id": "prt_2", "messageID": "msg_1", "sessionID": MAIN, "type": "step-finish", "tokens": tokens, "cost": None},
    ]
    told = translate.event(state, {"type": "message.updated", "properties": {"info": info}})
    for part in parts:
        told += translate.event(state, {"type": "message.part.updated", "properties": {"part": part}})
    text, usage = (json.loads(msgspec.json.encode(one)) for one in told)
    assert text == {"text": "Hello.", "part": "prt_1"}
    assert (usage["tokens"]["input"], usage["tokens"]["output"]) == (7, 3)
    assert "model" not in usage
    assert "cost_nanousd" not in usage
