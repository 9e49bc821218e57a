"""How long and how much is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core.retention import DAY, MIB, Weight, expired

NOW = 1000 * DAY


def chat(name: str, *, days: float = 0, mib: float = 1, session: str = "s", busy: bool = False, **keep: int) -> Weight:
    return Weight(name, session, int(mib * MIB), NOW - int(days * DAY), busy, **keep)


def test_nothing_goes_where_nothing_was_said() -> None:
    assert expired([chat("a", days=999, mib=9999)], now=NOW, days=0, mib=0) == []


def test_a_chat_goes_when_it_was_not_used_for_so_long() -> None:
    assert expired([chat("new", days=1), chat("old", days=31)], now=NOW, days=30, mib=0) == ["old"]


def test_of_a_session_that_is_too_large_the_longest_unused_chats_go_and_never_the_latest() -> None:
    chats = [chat("a", days=3, mib=4), chat("b", days=2, mib=4), chat("c", days=1, mib=9)]
    assert expired(chats, now=NOW, days=0, mib=10) == ["a", "b"]


def test_sessions_are_weighed_each_on_its_own() -> None:
    chats = [chat("a", mib=6, session="one"), chat("b", mib=6, session="two")]
    assert expired(chats, now=NOW, days=0, mib=10) == []


def test_what_was_said_of_a_session_counts_before_the_setting() -> None:
    assert expired([chat("a", days=99, keep_days=0)], now=NOW, days=30, mib=0) == []
    assert expired([chat("a", days=9, keep_days=7)], now=NOW, days=30, mib=0) == ["a"]


weights = st.lists(
    st.builds(
        Weight,
        st.uuids().map(str),
        st.sampled_from("xyz"),
        st.integers(0, 20 * MIB),
        st.integers(0, NOW),
        st.booleans(),
        st.none(),
        st.none(),
    ),
    unique_by=lambda weight: weight.chat_id,
)


@given(weights, st.integers(0, 50), st.integers(0, 50))
def test_a_busy_chat_never_goes_and_what_stays_is_within_the_limits(given: list[Weight], days: int, mib: int) -> None:
    gone = expired(given, now=NOW, days=days, mib=mib)
    by_id = {weight.chat_id: weight for weight in given}
    assert not any(by_id[each].busy for each in gone)
    assert expired([w for w in given if w.chat_id not in gone], now=NOW, days=days, mib=mib) == []
    for weight in given:
        if days and not weight.busy and NOW - weight.used_at >= days * DAY:
            assert weight.chat_id in gone
