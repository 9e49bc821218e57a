"""A turn has exactly one end, and a stopped one is never complete (law 1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core import lifecycle
from coder_nb.core.lifecycle import END_OF, INBOX, PROMPT, RUN, TURN, IllegalMove, allows, inbox, step

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


def test_whatever_happens_a_turn_ends_at_most_once_and_stays_ended() -> None:
    """Every course of events there is: what matters of one is the state it led to, and whether it was stopped."""
    known, pending = {("waiting", False)}, [("waiting", False)]
    while pending:
        state, stopped = pending.pop()
        assert not (stopped and state == "completed")
        for event in EVENTS:
            if not allows(TURN, state, event):
                continue
            assert state not in END_OF, "nothing leads out of an end"
            after = step(TURN, state, event), stopped or event == "stop"
            if after not in known:
                known.add(after)
                pending.append(after)
    assert {state for state, _ in known} == {*TURN, *END_OF}


def test_an_impossible_move_names_state_and_event() -> None:
    with pytest.raises(IllegalMove, match="'completed'.*'stop'"):
        lifecycle.step(TURN, "completed", "stop")


def test_every_end_of_a_turn_ends_the_run_and_only_a_chat_that_does_not_run_starts() -> None:
    assert set(RUN["running"]) == set(END_OF)
    for state, moves in RUN.items():
        assert allows(RUN, state, "start") == (state != "running")
        assert set(moves.values()) <= set(RUN)


def test_what_was_held_is_run_only_when_the_user_goes_on() -> None:
    """Law 3: of all that may happen to a held inbox, only going on lets a prompt be taken."""
    assert [state for state in INBOX if allows(INBOX, state, "take")] == ["waiting"]
    assert [event for event, after in INBOX["held"].items() if allows(INBOX, after, "take")] == ["go_on"]


@given(st.lists(st.sampled_from(["prompt", "take", "withdraw", "stop", "interrupt", "go_on"]), max_size=30))
def test_no_prompt_is_lost_and_none_is_taken_while_the_inbox_is_held(messages: list[str]) -> None:
    """The table against a queue that is counted: what was sent is started, withdrawn or waits."""
    prompts: list[str] = []
    held = False
    for message in messages:
        waiting = [n for n, state in enumerate(prompts) if state == "waiting"]
        state = inbox(held=held, waiting=bool(waiting))
        if message in ("take", "withdraw"):
            if not allows(INBOX, state, message):
                assert not waiting or (message == "take" and held)
                continue
            prompts[waiting[0]] = step(PROMPT, "waiting", message)
            after = "empty" if len(waiting) == 1 else step(INBOX, state, message)
            if len(waiting) == 1:
                assert step(INBOX, state, "drain") == "empty"
        else:
            after = step(INBOX, state, message)
            if message == "prompt":
                prompts.append("waiting")
        held = after == "held"
        assert inbox(held=held, waiting="waiting" in prompts) == after


def test_a_prompt_leaves_the_inbox_once() -> None:
    for after in PROMPT["waiting"].values():
        with pytest.raises(IllegalMove):
            step(PROMPT, after, "take")
