"""What real agents said, translated: whole conversations against golden files, however the bytes are parted.

``UPDATE_GOLDEN=1 pytest tests/backends/acp/test_golden.py`` writes the golden files anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_nb.backends.acp import tools, translate, usage
from coder_nb.backends.acp.state import State, configured
from coder_nb.backends.acp.translate import ENDS
from coder_nb.backends.acp.wire import Framer, Garbage

TESTS = Path(__file__).parents[2]
RECORDINGS = sorted((TESTS / "recordings" / "acp").glob("*.jsonl"))
AGENTS = [file.stem for file in RECORDINGS]


def frames_of(agent: str) -> list[dict[str, Any]]:
    file = TESTS / "recordings" / "acp" / f"{agent}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


class Player:
    """Follows a recording as a session does, without a process."""

    def __init__(self, agent: str) -> None:
        self.state = State(agent=agent, repeats_usage=agent == "goose", cost_total=0)
        self.framer = Framer()
        self.methods: dict[Any, str] = {}
        self.stopping = False
        self.events: list[dict[str, Any]] = []
        self.questions = 0

    def sent(self, message: dict[str, Any]) -> None:
        method = message.get("method", "")
        if "id" in message and method:
            self.methods[message["id"]] = method
        if method == "session/prompt":
            self.stopping = False
            usage.begin_turn(self.state)
        elif method == "session/cancel":
            self.stopping = True

    def received(self, data: bytes) -> None:
        for frame in self.framer.feed(data):
            assert not isinstance(frame, Garbage)
            self.frame(frame)

    def frame(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method == "session/update" or (method is not None and "id" not in message):
            self.keep(translate.notification(self.state, method, message["params"]))
        elif method == "session/request_permission":
            self.questions += 1
            self.keep(tools.permission(self.state, f"question-{self.questions}", message["params"]))
        elif method is None and message["id"] in self.methods:
            self.answered(self.methods.pop(message["id"]), message.get("result") or {})

    def answered(self, method: str, result: dict[str, Any]) -> None:
        if method == "session/prompt":
            self.keep([*tools.left_denied(self.state), *usage.end_turn(self.state, result)])
            end = "cancelled" if self.stopping else ENDS.get(result.get("stopReason", ""), "failed")
            self.events.append({"event": "Done", "end": end})
        else:
            configured(self.state, result)

    def keep(self, events: list[Any]) -> None:
        self.events += [{"event": type(event).__name__, **json.loads(msgspec.json.encode(event))} for event in events]


def play(agent: str, cuts: list[int], *, strange: dict[int, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """All events of a recording, whose incoming bytes come in pieces as long as the cuts say, in turn.

    Before the frames of these numbers, something strange is said.
    """
    player = Player(agent)
    pieces = iter(lambda: cuts[next(turns) % len(cuts)], None)
    turns = iter(range(1 << 30))
    pending = b""
    for number, frame in enumerate([*frames_of(agent), {"dir": "end"}]):
        if strange and number in strange:
            pending += json.dumps(strange[number]).encode() + b"\n"
        if frame["dir"] == "incoming":
            pending += json.dumps(frame["m"], ensure_ascii=False).encode() + b"\n"
            continue
        while pending:
            length = next(pieces)
            player.received(pending[:length])
            pending = pending[length:]
        if frame["dir"] == "outgoing":
            player.sent(frame["m"])
    return player.events


@pytest.mark.parametrize("agent", AGENTS)
def test_a_recording_becomes_its_golden_events(agent: str) -> None:
    events = play(agent, [1 << 20])
    golden = TESTS / "golden" / "acp" / f"{agent}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(json.dumps(events, indent=1) + "\n")
    assert events == json.loads(golden.read_text())


@pytest.mark.parametrize("agent", AGENTS)
@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_how_the_bytes_are_parted_changes_nothing(agent: str, cuts: list[int]) -> None:
    assert play(agent, cuts) == play(agent, [1 << 20])


def said(update: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}}


NOBODYS = "a call that nobody knows"
STRANGE: tuple[dict[str, Any], ...] = (
    said({"sessionUpdate": "from_the_future", "content": [1, {"a": None}]}),
    said({"sessionUpdate": "agent_message_chunk"}),
    said({"sessionUpdate": "config_option_update", "configOptions": [{"id": "model", "currentValue": None}, 7, None]}),
    said({"sessionUpdate": "current_mode_update", "currentModeId": None}),
    said({"sessionUpdate": "usage_update", "used": None, "size": None, "cost": None}),
    said(
        {
            "sessionUpdate": "tool_call_update",
            "toolCallId": NOBODYS,
            "content": [{"type": "terminal", "terminalId": "t"}],
        }
    ),
    said({"sessionUpdate": "tool_call_update", "toolCallId": NOBODYS, "content": [{"type": "new"}], "locations": [7]}),
    said(None),
    {"jsonrpc": "2.0", "method": "agent/own_notification", "params": {"models": None}},
    {"jsonrpc": "2.0", "id": "nobody asked", "result": {"models": None}},
)


def known(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what is strange; how full the context is was said anew by something strange."""
    kept = [e for e in events if e["event"] != "RawReceived" and e.get("call_id") != NOBODYS]
    return [{key: value for key, value in e.items() if not key.startswith("context_")} for e in kept]


@pytest.mark.parametrize("agent", AGENTS)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_nothing_strange_that_an_agent_says_loses_anything_else(agent: str, data: st.DataObject) -> None:
    places = st.integers(0, len(frames_of(agent)))
    strange = data.draw(st.dictionaries(places, st.sampled_from(STRANGE), max_size=8))
    cuts = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=5))
    assert known(play(agent, cuts, strange=strange)) == known(play(agent, [1 << 20]))
