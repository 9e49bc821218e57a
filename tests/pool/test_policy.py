"""Who is let go, and who never is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coder_nb.pool import policy
from coder_nb.pool.policy import Fact

facts = st.lists(
    st.builds(Fact, st.tuples(st.text(max_size=3), st.sampled_from("ab")), st.booleans(), st.floats(0, 100)),
    unique_by=lambda fact: fact.key,
)


@given(facts, st.floats(0, 200), st.floats(0, 50))
def test_a_busy_agent_session_is_never_idle(known: list[Fact], now: float, ttl: float) -> None:
    busy = {fact.key for fact in known if fact.busy}
    assert not busy & set(policy.idle(known, now=now, ttl=ttl))


@given(facts, st.integers(0, 8))
def test_the_limit_takes_the_least_recently_used_and_never_a_busy_one(known: list[Fact], limit: int) -> None:
    gone = set(policy.over_limit(known, limit=limit))
    by_key = {fact.key: fact for fact in known}
    spared = [fact for fact in known if not fact.busy and fact.key not in gone]
    assert not any(by_key[key].busy for key in gone)
    assert len(gone) == min(max(0, len(known) - limit), sum(not fact.busy for fact in known))
    assert all(by_key[key].last_active <= fact.last_active for key in gone for fact in spared)


def test_one_used_just_now_stays() -> None:
    assert policy.idle([Fact(("c", "a"), False, 10.0)], now=39.9, ttl=30) == []
    assert policy.idle([Fact(("c", "a"), False, 10.0)], now=40.0, ttl=30) == [("c", "a")]
