"""Bytes and frames."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coder_nb.backends.acp import wire
from coder_nb.backends.acp.wire import Framer, Garbage

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda v: st.lists(v, max_size=3)
)
MESSAGES = st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "method": st.text(), "params": VALUES})


def framed(chunks: list[bytes]) -> list[dict[str, Any] | Garbage]:
    framer = Framer()
    return [frame for chunk in chunks for frame in framer.feed(chunk)] + framer.end()


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(1, 50), max_size=30), st.booleans())
def test_messages_survive_any_partition_of_their_bytes(
    messages: list[dict[str, Any]], lengths: list[int], escaped: bool
) -> None:
    data = b"".join(_encoded(m, escaped) + b"\n" for m in messages)
    chunks, rest = [], data
    for length in lengths:
        chunks.append(rest[:length])
        rest = rest[length:]
    assert framed([*chunks, rest]) == messages


def _encoded(message: dict[str, Any], escaped: bool) -> bytes:
    return json.dumps(message, ensure_ascii=escaped).encode("utf-8", "surrogatepass" if escaped else "strict")


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_no_bytes_at_all_raise(chunks: list[bytes]) -> None:
    framed(chunks)


def test_what_is_no_message_is_kept_as_text() -> None:
    assert framed([b'hello\n\n  \n{"a": 1}\n[{"id": 1}]\n{"method": 3}\n']) == [
        Garbage(text="hello"),
        Garbage(text='{"a": 1}'),
        Garbage(text='[{"id": 1}]'),
        Garbage(text='{"method": 3}'),
    ]


def test_invalid_utf8_and_lone_surrogates_in_a_message_cost_those_characters_only() -> None:
    assert framed([b'{"id": 1, "result": "a\xff\xfeb"}\n']) == [{"id": 1, "result": "a��b"}]
    assert framed([rb'{"id": 1, "result": "a\ud800b"}' + b"\n"]) == [{"id": 1, "result": "a\ud800b"}]


def test_a_deep_nesting_is_garbage_and_no_crash() -> None:
    line = b'{"id": 1, "result": ' + b"[" * 200_000 + b"\n"
    assert isinstance(framed([line])[0], Garbage)


def test_half_a_line_at_the_end_is_a_frame_if_it_is_whole() -> None:
    assert framed([b'{"id": 1}']) == [{"id": 1}]
    assert framed([b'{"id": ']) == [Garbage(text='{"id":')]


def test_a_lone_surrogate_of_a_prompt_goes_out_escaped() -> None:
    line = wire.request(1, "session/prompt", {"text": "\ud800"})
    assert json.loads(line)["params"] == {"text": "\ud800"}
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
