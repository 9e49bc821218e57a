"""What is told in parts and as a whole, and by two families of events, is told once, whatever comes first."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from coder_nb.backends.events import AnyEvent, ReasoningDelta, TextDelta
from coder_nb.backends.opencode import translate
from coder_nb.backends.opencode.state import State

SID = "ses_one"
KINDS = ("reasoning", "text")
WHOLE = {"reasoning": "I think so.", "text": "It is so."}


def said(kind: str, **properties: Any) -> dict[str, Any]:
    return {"type": kind, "properties": {"sessionID": SID, **properties}}


def part(kind: str, text: str, *, over: bool) -> dict[str, Any]:
    own = {"id": f"prt_{kind}", "messageID": "msg", "sessionID": SID, "type": kind, "text": text}
    return said("message.part.updated", part=own | ({"time": {"start": 1, "end": 2}} if over else {}))


def delta(kind: str, text: str) -> dict[str, Any]:
    return said("message.part.delta", messageID="msg", partID=f"prt_{kind}", field="text", delta=text)


def course(kind: str, *, deltas: bool) -> list[dict[str, Any]]:
    """How a part comes: begun, in two pieces or not, and whole, twice."""
    text = WHOLE[kind]
    pieces = [delta(kind, text[:4]), delta(kind, text[4:])] if deltas else []
    return [part(kind, "", over=False), *pieces, part(kind, text, over=True), part(kind, text, over=True)]


def merges(one: list[Any], two: list[Any]) -> list[list[Any]]:
    """Every way to bring two courses into one, each in its own order."""
    found = []
    for places in itertools.combinations(range(len(one) + len(two)), len(one)):
        rest, mine = iter(two), iter(one)
        found.append([next(mine) if at in places else next(rest) for at in range(len(one) + len(two))])
    return found


def told(events: list[dict[str, Any]]) -> dict[str, str]:
    state = State(agent="opencode", session_id=SID)
    info = {"id": "msg", "role": "assistant", "sessionID": SID}
    out: list[AnyEvent] = translate.event(state, said("message.updated", info=info))
    for one in events:
        out += translate.event(state, one)
    kinds = {"reasoning": ReasoningDelta, "text": TextDelta}
    return {name: "".join(e.text for e in out if isinstance(e, kind)) for name, kind in kinds.items()}


@pytest.mark.parametrize("deltas", [(True, True), (True, False), (False, True), (False, False)])
def test_parts_that_come_interleaved_as_deltas_and_whole_are_told_once(deltas: tuple[bool, bool]) -> None:
    one, two = (course(kind, deltas=there) for kind, there in zip(KINDS, deltas, strict=True))
    for events in merges(one, two):
        assert told(events) == WHOLE


@pytest.mark.parametrize("family", ["session.next.", "session."])
@pytest.mark.parametrize("first", [True, False])
def test_another_family_of_events_about_the_same_text_adds_nothing(family: str, first: bool) -> None:
    known = [*course("reasoning", deltas=True), *course("text", deltas=True)]
    twins = [
        said(f"{family}{name}", partID=f"prt_{kind}", messageID="msg", delta=WHOLE[kind], text=WHOLE[kind])
        for kind in KINDS
        for name in (f"{kind}.started", f"{kind}.delta", f"{kind}.ended")
    ]
    both = [*twins, *known] if first else [one for pair in zip(known, [*twins, *twins], strict=False) for one in pair]
    assert told(both) == WHOLE
