"""A chat as a file: what is written is what is read."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from coder_nb import ids
from coder_nb.core import export
from coder_nb.core.entries import (
    Checkpoint,
    Entry,
    Permission,
    Text,
    Tokens,
    ToolCall,
    TurnEnded,
    TurnStarted,
    Unknown,
    Usage,
    UserMessage,
)
from coder_nb.core.export import BadExport, Exported, copied, durable, from_lines, to_lines
from coder_nb.core.sessions import ChatInfo, SessionInfo, TurnInfo
from coder_nb.recordings import FIRST_STEPS

CHAT, SESSION, TURN = "c" * 26, "s" * 26, "t" * 26


def an_entry(pos: int, body: object, turn: str | None = TURN) -> Entry:
    return Entry(id=ids.id_of("entry", str(pos)), chat_id=CHAT, body=body, pos=pos, rev=pos, ts=pos, turn_id=turn)  # type: ignore[arg-type]


def a_chat(*bodies: object) -> Exported:
    every = (TurnStarted(agent="qwen"), UserMessage(text="hi"), *bodies, TurnEnded("completed"))
    return Exported(
        chat=ChatInfo(id=CHAT, session_id=SESSION, title="hi", run_status="running", turn_id=TURN, rev=9),
        session=SessionInfo(id=SESSION, owner="ann", path="/home/ann/secret-project", host="here", chats=(CHAT,)),
        entries=tuple(an_entry(pos, body) for pos, body in enumerate(every, 1)),
        turns=(
            TurnInfo(
                id=TURN, chat_id=CHAT, prompt_id=None, agent="qwen", state="completed", started_at=1, end="completed"
            ),
        ),
        origin="A test.",
    )


def test_what_is_written_is_read_back_as_it_was() -> None:
    chat = durable(a_chat(Text("häh \0 \u2028 line"), ToolCall(name="terminal", input={"a": [1, None]})))
    assert from_lines(b"".join(to_lines(chat))) == chat


def test_an_entry_of_an_unknown_kind_goes_out_and_comes_back_unchanged() -> None:
    chat = durable(a_chat(Unknown(kind="hologram", data=b'{"kind":"hologram","x":1}')))
    assert from_lines(b"".join(to_lines(chat))) == chat


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_text_comes_back(texts: list[str]) -> None:
    chat = durable(a_chat(*map(Text, texts)))
    assert from_lines(b"".join(to_lines(chat))) == chat


def test_nothing_of_the_run_state_the_owner_or_the_machine_is_written() -> None:
    written = b"".join(to_lines(durable(a_chat())))
    for word in (b"ann", b"/home", b"running", b"here"):
        assert word not in written
    assert b'"path":"secret-project"' in written


def test_the_recording_that_is_shipped_is_an_export_with_its_turns() -> None:
    shipped = from_lines(FIRST_STEPS.read_bytes())
    assert [turn.end for turn in shipped.turns] == ["completed"] * len(shipped.turns)
    assert shipped.turns
    assert shipped.entries


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"hello", "header"),
        (b'{"format":"other","version":1}', "format"),
        (b'{"format":"coder-nb.chat","version":99}', "upgrade"),
        (b'{"format":"coder-nb.chat","version":1}', "header"),
        (b"".join(to_lines(a_chat())) + b'{"entry":{"id":1}}\n', "line"),
        (b"".join(to_lines(a_chat()))[:-5], "line"),
    ],
)
def test_a_file_that_is_no_export_is_refused_with_the_line_and_why(data: bytes, why: str) -> None:
    with pytest.raises(BadExport, match=why):
        from_lines(data)


def test_lines_and_fields_that_are_not_known_are_passed_over() -> None:
    chat = durable(a_chat())
    lines = b"".join(to_lines(chat)) + b'{"hologram":{"x":1}}\n'
    assert from_lines(lines) == chat


def test_a_copy_counts_nothing_and_leaves_nothing_open() -> None:
    asked = replace(an_entry(9, Permission(request_id="1")), open=True)
    chat = a_chat(Usage(tokens=Tokens(input=5)))
    entries, turns = copied(replace(chat, entries=(*chat.entries, asked)), "n" * 26, ids.id_of)
    assert [entry.body.counted for entry in entries if isinstance(entry.body, Usage)] == [False]
    assert not any(entry.open for entry in entries)
    assert {entry.chat_id for entry in entries} == {"n" * 26} == {turn.chat_id for turn in turns}
    assert {entry.turn_id for entry in entries} == {turn.id for turn in turns}


def test_a_copy_made_twice_is_the_same_copy() -> None:
    assert copied(a_chat(Text("x")), "n" * 26, ids.id_of) == copied(a_chat(Text("x")), "n" * 26, ids.id_of)


def test_what_was_hidden_by_a_restore_is_hidden_in_a_copy_with_other_places() -> None:
    chat = a_chat(Text("wrong"), Checkpoint(commit="0" * 40, hides_from=3, hides_to=3))
    gaps = tuple(replace(entry, pos=entry.pos * 10) for entry in chat.entries)
    moved = tuple(
        replace(entry, body=replace(entry.body, hides_from=30, hides_to=30))
        if isinstance(entry.body, Checkpoint)
        else entry
        for entry in gaps
    )
    entries, _ = copied(replace(chat, entries=moved), "n" * 26, ids.id_of)
    assert [
        (entry.body.hides_from, entry.body.hides_to) for entry in entries if isinstance(entry.body, Checkpoint)
    ] == [(3, 3)]


def test_a_turn_that_had_no_end_is_interrupted_in_a_copy() -> None:
    chat = a_chat()
    running = replace(chat.turns[0], end=None, state="running")
    _, turns = copied(replace(chat, turns=(running,)), "n" * 26, ids.id_of)
    assert turns[0].end == "interrupted"


def test_the_whole_format_is_json_lines() -> None:
    for line in to_lines(a_chat(Text("a\nb"))):
        assert line.endswith(b"\n")
        assert b"\n" not in line[:-1]
        msgspec.json.decode(line)


def test_the_header_says_its_format_and_version_first() -> None:
    first = next(iter(to_lines(a_chat())))
    assert first.startswith(b'{"format":"%s","version":1' % export.FORMAT.encode())
