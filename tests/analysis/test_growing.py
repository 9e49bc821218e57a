"""A frame that grows is the frame that would be made afresh, whatever has changed and wherever."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.analysis.columns import Column, derived
from coder_nb.analysis.frames import frame
from coder_nb.analysis.growing import PIECES, Growing


class Thing(NamedTuple):
    word: str | None
    number: int | None


TABLE = (
    Column("word", "string", lambda row: row.word, "a word"),
    Column("kind", "category", lambda row: row.word, "the same as a category"),
    Column("number", "int", lambda row: row.number, "a number"),
    Column("part", "float", lambda row: None if row.number is None else row.number / 4, "a part of it"),
    Column("even", "bool", lambda row: None if row.number is None else row.number % 2 == 0, "whether it is even"),
    Column("time", "time", lambda row: row.number, "a time"),
    derived("twice", "int", lambda known: known["number"] + known["number"], "twice the number"),
)
THINGS = st.lists(st.builds(Thing, st.sampled_from(["a", "b", "c", None]), st.integers(0, 2**40) | st.none()))


@given(st.lists(st.tuples(THINGS, st.floats(0, 1)), min_size=1, max_size=6))
def test_what_is_made_of_the_end_is_what_is_made_of_all(steps: list[tuple[list[Thing], float]]) -> None:
    growing, rows = Growing(TABLE), list[Thing]()
    for more, part in steps:
        same = int(len(rows) * part)
        rows = rows[:same] + more
        pd.testing.assert_frame_equal(growing.frame(rows, same), frame(rows, TABLE))


def test_a_frame_that_was_given_stays_as_it_was_and_may_be_written_to() -> None:
    growing, rows = Growing(TABLE), [Thing("a", 1), Thing("b", 2)]
    first = growing.frame(rows, 0)
    second = growing.frame([*rows, Thing("c", 3)], 2)
    first.loc[0, "number"] = 7
    second.loc[1, "word"] = "z"
    third = growing.frame([*rows, Thing("c", 3)], 3)
    assert list(third["number"]) == [1, 2, 3]
    assert list(third["word"]) == ["a", "b", "c"]
    assert len(first) == 2


def test_many_additions_are_put_together_now_and_then() -> None:
    growing, rows = Growing(TABLE), list[Thing]()
    for number in range(PIECES * 2 + 3):
        rows.append(Thing(f"word {number % 5}", number))
        made = growing.frame(rows, number)
    pd.testing.assert_frame_equal(made, frame(rows, TABLE))
