"""How often something starts again by itself."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from coder_nb.warm import breaker
from coder_nb.warm.breaker import WINDOW, Breaker


def looping(limit: int, lives: tuple[float, ...]) -> list[float]:
    """When something that each time lives for so long is started again by itself, until it is not any more."""
    state, now, starts = Breaker(), 0.0, list[float]()
    for life in lives:
        now += life
        state = breaker.crashed(state, now=now, limit=limit)
        at = breaker.starts_at(state, now=now, limit=limit)
        if at is None:
            return starts
        starts.append(at)
        now = at
    return starts


def test_no_loop_of_any_kind_starts_more_than_its_limit_within_the_window() -> None:
    for limit in range(5):
        for lives in itertools.product((0.0, 1.0, WINDOW / 3, WINDOW), repeat=6):
            starts = looping(limit, lives)
            for begin in starts:
                assert sum(begin <= at < begin + WINDOW for at in starts) <= limit


def test_a_loop_is_slowed_down_and_then_left_alone() -> None:
    assert looping(4, (0.0,) * 20) == [0.0, 1.0, 3.0, 7.0]
    assert looping(0, (0.0,) * 20) == []


def test_what_is_left_alone_may_start_again_when_its_crashes_are_forgotten() -> None:
    state = Breaker()
    for at in range(5):
        state = breaker.crashed(state, now=float(at), limit=4)
    assert breaker.state(state, now=4.0, limit=4) == "open"
    assert breaker.state(state, now=WINDOW - 0.1, limit=4) == "open"
    assert breaker.state(state, now=WINDOW, limit=4) == "closed"


@given(st.lists(st.floats(0, 2 * WINDOW), max_size=30), st.integers(0, 6))
def test_it_never_starts_in_the_past_and_never_remembers_without_bound(waits: list[float], limit: int) -> None:
    state, now = Breaker(), 0.0
    for wait in waits:
        now += wait
        state = breaker.crashed(state, now=now, limit=limit)
        at = breaker.starts_at(state, now=now, limit=limit)
        assert at is None or now <= at <= now + breaker.LONGEST
        later = breaker.starts_at(state, now=now + breaker.LONGEST, limit=limit)
        assert (at is None) or (later is not None and later <= now + breaker.LONGEST)  # its time does come
        assert len(state.crashes) <= limit + 1
        told = breaker.state(state, now=now, limit=limit)
        assert told == ("open" if at is None else "closed" if at == now else "waiting")
