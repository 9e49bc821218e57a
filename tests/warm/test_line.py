"""First come, first served: every order of coming and leaving of four turns, and any of many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.warm import line
from coder_nb.warm.line import Line


def holds(now: Line) -> None:
    assert len(now.running) <= now.limit
    assert not now.waiting or len(now.running) == now.limit  # no place is free while somebody waits
    assert not now.running & set(now.waiting)
    assert [line.place(now, ticket) for ticket in now.waiting] == list(range(1, len(now.waiting) + 1))
    assert all(line.place(now, ticket) is None for ticket in now.running)


def moves(now: Line, come: int, tickets: int) -> list[Line]:
    """What can happen next, each checked to be fair."""
    after = []
    for ticket in (*now.running, *now.waiting):
        after.append(one := line.leave(now, ticket))
        staying = tuple(other for other in now.waiting if other != ticket)
        begun = len(staying) - len(one.waiting)
        assert one.waiting == staying[begun:]  # nobody overtakes
        assert one.running == (now.running - {ticket}) | set(staying[:begun])
    if come < tickets:
        after.append(line.come(now, come))
    return after


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_every_course_of_five_turns_is_fair(limit: int) -> None:
    seen, todo = set[tuple[Line, int]](), [(Line(limit), 0)]
    while todo:
        now, come = todo.pop()
        if (now, come) in seen:
            continue
        seen.add((now, come))
        holds(now)
        for after in moves(now, come, 5):
            known = {*now.running, *now.waiting}
            todo.append((after, come + (not {*after.running, *after.waiting} <= known)))
    assert len(seen) > 20


@given(st.integers(1, 4), st.lists(st.integers(0, 30), max_size=60))
def test_turns_begin_in_the_order_in_which_they_came(limit: int, course: list[int]) -> None:
    """A number that is not there comes; one that is there leaves."""
    now, begun, came, tickets = Line(limit), list[int](), list[int](), dict[int, int]()
    for step, who in enumerate(course):
        before = now
        if who in tickets:
            now = line.leave(now, tickets.pop(who))
        else:
            tickets[who] = step
            came.append(step)
            now = line.come(now, step)
        begun += sorted(now.running - before.running)
        holds(now)
    assert begun == sorted(begun)
    assert set(begun) <= set(came)


def test_a_limit_of_nought_is_one() -> None:
    assert line.come(Line(0), 1).running == {1}
