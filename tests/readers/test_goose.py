"""goose's history, trap by trap."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from coder_nb.client.history import History, history

Write = Callable[..., Path]
DATA = ".local/share/goose/sessions"
TABLES = """
    CREATE TABLE sessions (id TEXT PRIMARY KEY, name TEXT, description TEXT, working_dir TEXT, created_at TIMESTAMP,
        updated_at TIMESTAMP, total_tokens INTEGER, input_tokens INTEGER, output_tokens INTEGER,
        accumulated_total_tokens INTEGER, accumulated_input_tokens INTEGER, accumulated_output_tokens INTEGER,
        accumulated_cost REAL, provider_name TEXT, model_config_json TEXT);
    CREATE TABLE messages (id INTEGER PRIMARY KEY, message_id TEXT, session_id TEXT, role TEXT, content_json TEXT,
        created_timestamp INTEGER);
"""
LEDGER = """
    CREATE TABLE usage_ledger (id INTEGER PRIMARY KEY, session_id TEXT, model TEXT, input_tokens INTEGER,
        output_tokens INTEGER, cache_read_tokens INTEGER, cache_write_tokens INTEGER, cost REAL, is_compaction BOOLEAN,
        created_timestamp INTEGER)
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    (tmp_path / DATA).mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / DATA / "sessions.db")) as connection:
        connection.executescript(TABLES)
        yield connection


def session(database: sqlite3.Connection, name: str, *sums: int | float | None) -> None:
    times = ("2026-10-31 12:00:00", "2026-10-31 12:30:00")
    row = (name, f"About {name}", "", "/home/user/shop", *times, 9, 8, 1, *sums, "openai", '{"model_name":"gpt-5"}')
    with database:
        database.execute(f"INSERT INTO sessions VALUES ({', '.join('?' * len(row))})", row)


def message(database: sqlite3.Connection, role: str, *blocks: dict[str, Any]) -> None:
    names = "(message_id, session_id, role, content_json, created_timestamp)"
    with database:
        row = ("m", "20261031_1", role, json.dumps(blocks), 1_793_448_000)
        database.execute(f"INSERT INTO messages {names} VALUES (?, ?, ?, ?, ?)", row)


def read(home: Path, **options: Any) -> History:
    return history(agent="goose", roots=home, **options)


def test_without_a_ledger_a_session_has_its_sums_and_says_so(database: sqlite3.Connection, tmp_path: Path) -> None:
    session(database, "20261031_1", 3962, 3906, 56, None)
    row = read(tmp_path).usage.iloc[0]
    assert row[["per", "input_tokens", "output_tokens", "model"]].tolist() == ["session", 3906, 56, "gpt-5"]
    assert row["time"] == pd.Timestamp("2026-10-31 12:30", tz="UTC")
    assert row[["cache_read_tokens", "cache_write_tokens", "reasoning_tokens"]].isna().all()


def test_a_session_without_any_count_has_no_usage(database: sqlite3.Connection, tmp_path: Path) -> None:
    session(database, "20261031_1", None, None, None, None)
    database.execute("UPDATE sessions SET total_tokens = NULL")
    database.commit()
    found = read(tmp_path)
    assert found.usage.empty
    assert len(found.sessions) == 1


def test_the_cost_that_it_reports_is_taken(database: sqlite3.Connection, tmp_path: Path) -> None:
    session(database, "20261031_1", 3962, 3906, 56, 0.125)
    assert read(tmp_path).usage[["cost_usd", "cost_source"]].to_numpy().tolist() == [[0.125, "reported"]]


def test_the_ledger_tells_each_call_and_comes_before_the_sums(database: sqlite3.Connection, tmp_path: Path) -> None:
    session(database, "20261031_1", 3962, 3906, 56, None)
    session(database, "20261031_2", 110, 100, 10, None)
    database.execute(LEDGER)
    for number, (given, output, cached) in enumerate(((1000, 30, 200), (1100, 20, 900))):
        row = (number, "20261031_1", "gpt-5", given, output, cached, 0, None, number == 1, 1_793_448_000 + number)
        database.execute(f"INSERT INTO usage_ledger VALUES ({', '.join('?' * len(row))})", row)
    database.commit()
    usage = read(tmp_path).usage
    assert list(usage["per"]) == ["response", "response", "session"]
    assert usage[["input_tokens", "cache_read_tokens"]].iloc[:2].to_numpy().tolist() == [[1000, 200], [1100, 900]]
    assert list(usage["hidden"]) == [False, True, False]


def test_tools_and_words_are_rows(database: sqlite3.Connection, tmp_path: Path) -> None:
    asked = {"status": "success", "value": {"name": "developer__shell", "arguments": {"command": "ls"}}}
    given = {"status": "success", "value": {"content": [{"type": "text", "text": "a.py"}], "isError": False}}
    broken = {"status": "error", "error": "no such tool"}
    session(database, "20261031_1", 3962, 3906, 56, None)
    message(database, "user", {"type": "text", "text": "Go"})
    message(database, "assistant", {"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Running."})
    for name, result in (("c1", given), ("c2", broken)):
        message(database, "assistant", {"type": "toolRequest", "id": name, "toolCall": asked})
        message(database, "user", {"type": "toolResponse", "id": name, "toolResult": result})
    found = read(tmp_path, text=True)
    names = ["tool", "status", "output"]
    assert found.tool_calls[names].to_numpy().tolist() == [
        ["terminal", "completed", "a.py"],
        ["terminal", "failed", "no such tool"],
    ]
    assert found.tool_calls["seconds"].isna().all(), "times to the second are no measure"
    assert list(found.messages["text"]) == ["Go", "Hm.", "Running."]


def test_the_files_of_earlier_versions_are_read(write: Write, tmp_path: Path) -> None:
    head = {
        "working_dir": "/home/user/shop",
        "description": "Old",
        "input_tokens": 900,
        "accumulated_input_tokens": 2000,
    }
    said = {"role": "user", "created": 1_793_448_000, "content": [{"type": "text", "text": "Go"}]}
    output = {"output_tokens": 5, "accumulated_output_tokens": 70}
    write(f"{DATA}/20251031_1.jsonl", [head | output, said])
    found = read(tmp_path, text=True)
    assert found.usage[["input_tokens", "output_tokens", "per"]].to_numpy().tolist() == [[2000, 70, "session"]]
    assert found.messages[["text", "project"]].to_numpy().tolist() == [["Go", "/home/user/shop"]]
