"""Who is let go and how, over every situation of two sessions, and over any of many."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from coder_nb.warm import policy
from coder_nb.warm.policy import FAR, Fact, Letting, Limits, ServerFact

CEILING = 100
TTL = 10.0
NOW = 20.0

each = st.builds(
    Fact,
    key=st.tuples(st.text(max_size=3), st.sampled_from("ab")),
    busy=st.booleans(),
    last_active=st.floats(0, 100),
    alive=st.booleans(),
    deaf=st.booleans(),
    memory=st.none() | st.integers(0, 4 * CEILING),
)
facts = st.lists(each, unique_by=lambda fact: fact.key, max_size=12)
limits = st.builds(Limits, idle=st.floats(0, 100), live=st.integers(0, 8), memory=st.sampled_from([0, CEILING]))


def situations(name: str) -> list[Fact]:
    """Every situation of one session that the rules can tell apart."""
    return [
        Fact((name, "agent"), busy, NOW - since, alive, deaf, memory)
        for busy, alive, deaf in itertools.product((False, True), repeat=3)
        for since in (1.0, 2.0, TTL)
        for memory in (None, CEILING, CEILING + 1, FAR * CEILING, FAR * CEILING + 1)
    ]


def obeys_the_laws(known: list[Fact], settings: Limits, now: float) -> None:
    lettings = policy.lettings(known, settings, now=now)
    by_key = {fact.key: fact for fact in known}
    assert len({letting.fact.key for letting in lettings}) == len(lettings)
    for way, why, fact in lettings:
        assert by_key[fact.key] == fact
        if fact.busy:  # law 10: a busy one is never evicted; it is ended where it does harm, and lives
            assert (way, fact.alive) == ("end", True)
            assert fact.deaf if why == "deaf" else (fact.memory or 0) > FAR * settings.memory > 0
        else:
            assert way != "end"
        assert (way == "forget") == (why == "dead")
        assert (way == "restart") <= (why == "memory" and not fact.busy)
    gone = {letting.fact.key for letting in lettings if letting.way != "restart"}
    left = [fact for fact in known if fact.key not in gone]
    assert len(left) <= settings.live or all(fact.busy for fact in left)
    assert not any(not fact.busy and (not fact.alive or fact.deaf) for fact in left)
    for letting in lettings:
        if letting.why == "limit":  # the least recently used first
            assert all(letting.fact.last_active <= fact.last_active for fact in left if not fact.busy)


def test_every_situation_of_two_sessions_obeys_the_laws() -> None:
    for first, second in itertools.product(situations("one"), situations("two")):
        for live in (0, 1, 2):
            obeys_the_laws([first, second], Limits(idle=TTL, live=live, memory=CEILING), NOW)


@given(facts, limits, st.floats(0, 200))
def test_any_situation_obeys_the_laws(known: list[Fact], settings: Limits, now: float) -> None:
    obeys_the_laws(known, settings, now)


@given(facts, limits, st.floats(0, 200))
def test_what_was_done_does_not_have_to_be_done_again(known: list[Fact], settings: Limits, now: float) -> None:
    lettings = policy.lettings(known, settings, now=now)
    gone = {letting.fact.key for letting in lettings if letting.way != "restart"}
    fresh = {letting.fact.key for letting in lettings if letting.way == "restart"}
    left = [fact._replace(memory=0) if fact.key in fresh else fact for fact in known if fact.key not in gone]
    assert policy.lettings(left, settings, now=now) == []


def test_a_server_is_ended_where_nobody_uses_it_or_it_is_deaf_or_too_large_and_else_left_alone() -> None:
    settings = Limits(memory=CEILING)
    for users, turns, idle, deaf, memory in itertools.product(
        (0, 1, 3), (0, 1), (0.0, TTL, TTL + 1), (False, True), (None, *(CEILING * n for n in range(8)))
    ):
        why = policy.of_server(ServerFact(users, turns, idle, deaf, memory), settings, unused=TTL)
        if why == "unused":
            assert users == 0
            assert idle > TTL
        elif deaf:
            assert why == "deaf"
        else:
            allowed = CEILING * max(1, users) * (FAR if turns else 1)
            assert why == ("memory" if (memory or 0) > allowed else None)


@given(facts, st.integers(0, 8))
def test_the_limit_takes_no_more_than_it_must(known: list[Fact], limit: int) -> None:
    gone = policy.over_limit(known, limit=limit)
    assert len(gone) == min(max(0, len(known) - limit), sum(not fact.busy for fact in known))


def test_one_used_just_now_stays() -> None:
    fact = Fact(("c", "a"), False, 10.0)
    assert policy.lettings([fact], Limits(idle=30.0), now=39.9) == []
    assert policy.lettings([fact], Limits(idle=30.0), now=40.0) == [Letting("evict", "idle", fact)]


def test_memory_is_of_no_interest_where_it_has_no_ceiling() -> None:
    assert policy.lettings([Fact(("c", "a"), False, 10.0, memory=1 << 50)], Limits(), now=10.0) == []


@given(each, each)
def test_what_was_decided_is_done_only_where_nobody_has_used_it_since(before: Fact, after: Fact) -> None:
    ways: tuple[policy.Way, ...] = ("forget", "evict", "restart")
    for way in ways:
        letting = Letting(way, "idle", before)
        used = (after.busy, after.last_active) != (before.busy, before.last_active)
        assert policy.still(letting, after) is not used
        assert not policy.still(letting, None)
    assert policy.still(Letting("end", "deaf", before), after) is (before.busy == after.busy)
