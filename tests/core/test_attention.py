"""What a chat is doing is said by its run state alone: walked through every state that there is."""

from __future__ import annotations

import typing
from itertools import product

from coder_nb.core.attention import STATES, Attention, AttentionState, Facts, Why, attention

_BOTH = (False, True)
EVERY = [
    Facts(*facts)
    for facts in product(_BOTH, _BOTH, (None, "permission", "question"), _BOTH, _BOTH, (None, 1, 7), *[_BOTH] * 3)
]


def test_every_run_state_has_one_word_and_every_word_and_reason_is_said_of_some() -> None:
    said = [attention(facts) for facts in EVERY]
    assert {one.state for one in said} == set(STATES) == set(typing.get_args(AttentionState))
    assert {one.why for one in said} == set(typing.get_args(Why))


def test_a_turn_that_runs_works_or_starts_unless_its_agent_asks_whatever_else_is_true() -> None:
    for facts in (facts for facts in EVERY if facts.running):
        if facts.asks:
            assert attention(facts) == Attention("waiting", facts.asks)
        else:
            assert attention(facts) == Attention("starting" if facts.starting else "working")


def test_what_a_turn_would_say_of_itself_means_nothing_where_none_runs() -> None:
    for facts in (facts for facts in EVERY if not facts.running):
        assert attention(facts) == attention(facts._replace(starting=False, asks=None))


def test_a_queue_waits_for_its_user_only_where_it_is_held() -> None:
    for facts in (facts for facts in EVERY if not facts.running and facts.queued):
        told = attention(facts)
        if facts.held:
            assert told == Attention("waiting", "held")
        else:
            assert told == Attention("starting", "slot" if facts.place else "session" * facts.behind, facts.place)


def test_another_chat_of_its_session_is_what_a_queue_waits_for_and_nothing_else_does() -> None:
    for facts in EVERY:
        waits = facts.behind and facts.queued and not facts.running and not facts.held and facts.place is None
        assert (attention(facts).why == "session") == waits


def test_a_place_is_told_only_of_what_waits_for_a_slot() -> None:
    for facts in EVERY:
        told = attention(facts)
        assert (told.place is not None) == (told.why == "slot")
        assert told.place in (None, facts.place)


def test_what_is_over_has_failed_or_was_seen_or_was_not() -> None:
    for facts in (facts for facts in EVERY if not facts.running and not facts.queued):
        assert attention(facts).why == ""
        wanted = "failed" if facts.failed else "finished" if facts.unseen else "idle"
        assert attention(facts).state == wanted


def test_looking_changes_nothing_but_that_something_was_not_seen() -> None:
    for facts in EVERY:
        before, after = attention(facts), attention(facts._replace(unseen=False))
        assert before == after or (before.state, after.state) == ("finished", "idle")
