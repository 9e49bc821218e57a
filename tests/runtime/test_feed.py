"""What listeners are told: all of the live text, merged, and nothing that waits for them to listen."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core.entries import Chunk, Delta
from coder_nb.runtime.feed import Feed


def delta(offset: int, text: str, entry_id: str = "e") -> Delta:
    return Delta(epoch="now", entry_id=entry_id, offset=offset, text=text)


def test_a_flood_of_deltas_is_merged_and_all_of_it_is_there() -> None:
    feed = Feed()
    listener = feed.subscribe()
    words = [f"word{number} " for number in range(10_000)]
    at = 0
    for word in words:
        feed.add([delta(at, word)])
        at += len(word)
    assert listener.take_deltas() == (delta(0, "".join(words)),)
    assert listener.take_deltas() == ()


def test_whoever_comes_late_gets_the_tail_that_the_log_does_not_hold() -> None:
    feed = Feed()
    feed.add([delta(0, "abc")])
    feed.committed((Chunk(entry_id="e", offset=0, text="ab"),), [])
    assert feed.subscribe().take_deltas() == (delta(2, "c"),)


def test_what_was_committed_meanwhile_is_not_told_again() -> None:
    feed = Feed()
    listener = feed.subscribe()
    feed.add([delta(0, "abc")])
    feed.committed((Chunk(entry_id="e", offset=0, text="abc"),), [])
    assert listener.take_deltas() == ()
    feed.add([delta(3, "d")])
    assert listener.take_deltas() == (delta(3, "d"),)
    feed.committed((), ["e"])
    assert listener.take_deltas() == ()


def test_a_listener_who_never_listens_costs_nothing_however_much_is_said() -> None:
    feed = Feed()
    frozen = feed.subscribe()
    lively = feed.subscribe()
    heard, at = [], 0
    for number in range(1000):
        feed.add([delta(at, "x" * 1000)])
        heard += [one.text for one in lively.take_deltas()]
        feed.committed((Chunk(entry_id="e", offset=at, text="x" * 1000),), [f"closed{number}"])
        at += 1000
    assert "".join(heard) == "x" * 1_000_000
    assert sum(map(sys.getsizeof, vars(frozen).values())) < 10_000
    assert not feed._tails


@given(st.lists(st.sampled_from(["say", "commit", "look"]), max_size=60))
def test_whatever_the_order_a_listener_who_reads_the_log_first_has_the_whole_text(steps: list[str]) -> None:
    feed = Feed()
    listener = feed.subscribe()
    said = stored = seen = ""
    for number, step in enumerate(steps):
        if step == "say":
            word = f"w{number} "
            feed.add([delta(len(said), word)])
            said += word
        elif step == "commit":
            feed.committed((Chunk(entry_id="e", offset=len(stored), text=said[len(stored) :]),), [])
            stored = said
        else:
            seen = stored if len(stored) > len(seen) else seen
            for one in listener.take_deltas():
                assert one.offset <= len(seen), "nothing is missing before it"
                seen = seen[: one.offset] + one.text
            assert seen == said
