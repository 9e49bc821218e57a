"""A turn has exactly one end, and a stopped one is never complete (law 1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core import lifecycle
from coder_nb.core.lifecycle import END_OF, TURN, IllegalMove, step

EVENTS = sorted({event for moves in TURN.values() for event in moves})


def test_every_state_is_either_an_end_or_has_a_way_to_one() -> None:
    states = set(TURN) | {after for moves in TURN.values() for after in moves.values()}
    assert states - set(TURN) == set(END_OF)
    for state in TURN:
        assert _reachable(state) & set(END_OF)


def _reachable(state: str) -> set[str]:
    found: set[str] = set()
    pending = [state]
    while pending:
        for after in TURN.get(pending.pop(), {}).values():
            if after not in found:
                found.add(after)
                pending.append(after)
    return found


@given(st.lists(st.sampled_from(EVENTS), max_size=20))
def test_whatever_happens_a_turn_ends_at_most_once_and_stays_ended(events: list[str]) -> None:
    state, ends, stopped = "waiting", 0, False
    for event in events:
        try:
            state = step(TURN, state, event)
        except IllegalMove:
            continue
        assert ends == 0, "nothing leads out of an end"
        ends += state in END_OF
        stopped = stopped or event == "stop"
    assert not (stopped and state == "completed")


def test_an_impossible_move_names_state_and_event() -> None:
    with pytest.raises(IllegalMove, match="'completed'.*'stop'"):
        lifecycle.step(TURN, "completed", "stop")
