from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from coder_nb.analysis import columns, frames, summing, tables
from coder_nb.analysis.frames import frame
from coder_nb.analysis.summing import Told, turn_sums
from coder_nb.analysis.told import Teller
from coder_nb.core import entries as core
from coder_nb.core.agents import AgentInfo, AgentSessionInfo
from coder_nb.core.attention import ChatAttention
from coder_nb.core.changes import Change
from coder_nb.core.codec import decode, encode
from coder_nb.core.entries import Entry, Page, Unknown
from coder_nb.core.health import LiveAgent
from coder_nb.core.sessions import SessionInfo, TurnInfo
from coder_nb.core.usage import UsageRow

DTYPES = {
    "string": "string",
    "category": "category",
    "int": "Int64",
    "float": "Float64",
    "bool": "boolean",
    "time": "datetime64[ms, UTC]",
}
Make = Callable[[Iterable[Any]], pd.DataFrame]
SESSION = SessionInfo(id="s", owner="me", path="/repo", created_at=1_700_000_000_000)
TURN = TurnInfo(id="t", chat_id="c", prompt_id=None, agent="goose", state="running", started_at=1_700_000_000_000)
USAGE = UsageRow(
    entry_id="e",
    chat_id="c",
    session_id="s",
    turn_id="t",
    agent="goose",
    ts=1_700_000_000_000,
    tokens=core.Tokens(output=7),
)
CHANGE = Change(id="x", session_id="s", chat_id="c", turn_id="t", path="a.png", operation="create", binary=True)
AGENT = AgentInfo(name="goose", label="Goose", backend="acp", available=False, reason="not found", cure="c" * 200)
CONTEXT = AgentSessionInfo(chat_id="c", agent="goose", backend="acp", status="warm")
DOING = ChatAttention(chat_id="c", session_id="s", path="/repo", session="main", chat="main", state="working")
LIVE = LiveAgent(key="c.goose", agent="goose", state="idle", chat_id="c", memory=1 << 20)
CALL = Entry(
    id="e",
    chat_id="c",
    turn_id="t",
    pos=3,
    rev=9,
    ts=1_700_000_000_123,
    agent="goose",
    body=core.ToolCall(
        name="terminal", original_name="bash", input={"command": "ls"}, content="a.py", status="completed"
    ),
)
TELLER = Teller(SESSION, {("c", "goose"): "native"})


def turns_frame(rows: Iterable[Any]) -> pd.DataFrame:
    return frame(turn_sums(TELLER.turns(rows), Told()), summing.TURNS)


def tool_calls_frame(rows: Iterable[Any]) -> pd.DataFrame:
    return frame(map(TELLER.call, rows), tables.TOOL_CALLS)


def usage_frame(rows: Iterable[Any]) -> pd.DataFrame:
    return frame(map(TELLER.usage, rows), tables.USAGE)


FRAMES: list[tuple[Make, tuple[columns.Column, ...], Any]] = [
    (frames.sessions_frame, columns.SESSIONS, SESSION),
    (turns_frame, summing.TURNS, TURN),
    (frames.entries_frame, columns.ENTRIES, CALL),
    (tool_calls_frame, tables.TOOL_CALLS, CALL),
    (usage_frame, tables.USAGE, USAGE),
    (frames.changes_frame, columns.CHANGES, CHANGE),
    (frames.agents_frame, columns.AGENTS, AGENT),
    (frames.agent_sessions_frame, columns.AGENT_SESSIONS, CONTEXT),
    (frames.attention_frame, columns.ATTENTION, DOING),
    (frames.pool_frame, columns.POOL, LIVE),
]


@pytest.mark.parametrize(("make", "table", "row"), FRAMES)
def test_columns_and_dtypes_are_those_of_the_table_however_many_rows_there_are(
    make: Make, table: tuple[columns.Column, ...], row: Any
) -> None:
    expected = {column.name: DTYPES[column.kind] for column in table}
    for rows in ([], [row], [row] * 3):
        made = make(iter(rows))
        assert {name: str(dtype) for name, dtype in made.dtypes.items()} == expected
        assert len(made) == len(rows)
    assert len(expected) == len(table), "a name appears twice"


@pytest.mark.parametrize("table", [columns.ATTENTION, columns.POOL])
def test_a_frame_to_look_at_begins_with_what_goes_on_and_ends_with_ids(table: tuple[columns.Column, ...]) -> None:
    names = [column.name for column in table]
    ids = [name for name in names if name == "key" or name.endswith("_id")]
    assert names[0] == "title"
    assert {"agent", "state", "why"} < set(names[:6])
    assert names[-len(ids) :] == ids


def test_what_is_not_known_is_na_and_never_nought() -> None:
    row = usage_frame([USAGE]).iloc[0]
    assert row["output_tokens"] == 7
    assert row[["input_tokens", "reasoning_tokens", "cache_read_tokens", "cost_usd", "model"]].isna().all()
    assert usage_frame([USAGE])["input_tokens"].sum(min_count=1) is pd.NA
    assert frames.changes_frame([CHANGE])[["additions", "decided", "created"]].isna().all(axis=None)


def test_money_is_dollars_and_says_where_it_comes_from() -> None:
    paid = replace(USAGE, cost_nanousd=1_500_000, cost_source="reported")
    row = usage_frame([paid]).iloc[0]
    assert (row["cost_usd"], row["cost_source"]) == (0.0015, "reported")


def test_times_are_utc() -> None:
    assert frames.entries_frame([CALL])["time"].iloc[0] == pd.Timestamp("2023-11-14 22:13:20.123", tz="UTC")


def test_a_turn_knows_how_long_it_took_once_it_has_ended() -> None:
    ended = replace(TURN, ended_at=TURN.started_at + 1500, end="completed")
    assert turns_frame([TURN, ended])["seconds"].tolist() == [pd.NA, 1.5]


def test_a_tool_call_is_a_row_with_its_input_as_json() -> None:
    made = tool_calls_frame([CALL])
    assert made[["tool", "original_name", "input", "output"]].to_numpy().tolist() == [
        ["terminal", "bash", '{"command":"ls"}', "a.py"]
    ]


def test_an_entry_of_an_unknown_kind_is_a_row_under_its_own_name() -> None:
    made = frames.entries_frame([Entry(id="e", chat_id="c", body=Unknown("hologram", b'{"kind":"hologram"}'))])
    assert made["kind"].tolist() == ["hologram"]
    assert made["text"].isna().all()


def test_the_cure_of_an_agent_is_shown_whole() -> None:
    made = frames.agents_frame([AGENT])
    assert isinstance(made, pd.DataFrame)
    assert "c" * 200 in made._repr_html_()
    assert "c" * 200 in repr(made[["agent", "cure"]])


@given(
    st.lists(st.sampled_from(["a", "b", None]), max_size=20), st.lists(st.integers(0, 2**53) | st.none(), max_size=20)
)
def test_values_come_out_as_they_went_in(words: list[str | None], numbers: list[int | None]) -> None:
    def plain(array: Any) -> list[Any]:
        return [None if pd.isna(value) else value for value in array]

    assert plain(frames.ARRAYS["category"](words)) == words
    assert plain(frames.ARRAYS["string"](words)) == words
    assert plain(frames.ARRAYS["int"](numbers)) == numbers


@pytest.mark.parametrize("kind", ["int", "time"])
def test_a_number_that_no_column_holds_is_na_and_costs_no_other_row(kind: str) -> None:
    assert pd.isna(frames.ARRAYS[kind]([7, 2**64 - 1, None, -(2**70)])).tolist() == [False, True, True, True]


def test_decoded_pages_of_the_wire_are_taken_as_they_are() -> None:
    page = decode(encode(Page(entries=(CALL,), rev=9)), Page)
    pd.testing.assert_frame_equal(frames.entries_frame(page.entries), frames.entries_frame([CALL]))


def test_pandas_is_loaded_by_the_first_frame_only() -> None:
    code = "import sys, coder_nb.analysis.frames, coder_nb.analysis.columns; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_column_says_what_it_is() -> None:
    assert all(column.what for _, table, _ in FRAMES for column in table)
