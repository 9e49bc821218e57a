"""What is too long is cut where nobody misses it first, and whoever reads it is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core import codec
from coder_nb.core.entries import AnyBody, FileDiff, Notice, Permission, Raw, Text, ToolCall, UserMessage
from coder_nb.core.limits import ROOM, cut, within

LIMIT = 1000


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def test_a_text_at_the_limit_is_whole_and_one_beyond_it_has_its_beginning_and_end() -> None:
    assert cut("x" * LIMIT, LIMIT) == "x" * LIMIT
    said = cut("a" * 500 + "b" + "c" * 500, LIMIT)
    assert said == "a" * 500 + "\n… 1 characters were left out here (`entry_limit`) …\n" + "c" * 500


@pytest.mark.parametrize(
    "body",
    [
        ToolCall(name="terminal", content="x" * LIMIT),
        Permission(request_id="r", diffs=(FileDiff(path="a", old="o" * LIMIT, new="n" * LIMIT),)),
        Text("t" * 10 * LIMIT),
        UserMessage(text="u" * 10 * LIMIT),
    ],
)
def test_what_is_within_the_limit_stays_as_it_is(body: AnyBody) -> None:
    assert within(body, LIMIT) == body


@pytest.mark.parametrize(
    "body",
    [
        ToolCall(name="terminal", content="x" * 50 * LIMIT),
        ToolCall(name="file_write", input={"path": "a.txt", "content": "x" * 50 * LIMIT}),
        ToolCall(name="file_edit", diffs=tuple(FileDiff(path=f"{n}", new="y" * LIMIT) for n in range(100))),
        Raw(source="garbage", data=[["deep"] * 1000 for _ in range(1000)]),
        Notice(text="z" * 50 * LIMIT),
        Raw(source="nested", data=nested(300)),
    ],
)
def test_what_is_beyond_it_is_cut(body: AnyBody) -> None:
    kept = within(body, LIMIT)
    assert type(kept) is type(body)
    assert len(codec.encode(kept)) < (ROOM + 2) * LIMIT
    assert "left out" in str(kept)


data = st.recursive(
    st.none() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=20), inner, max_size=20),
    max_leaves=100,
)


@given(data, st.text(max_size=300))
def test_whatever_it_is_it_is_bounded_and_can_be_stored(given_data: Any, text: str) -> None:
    kept = within(ToolCall(name="t", input=given_data, content=text, meta=given_data), 200)
    assert len(str(kept)) < 20_000
    assert within(kept, 10**6) == kept
