"""What opencode 2 writes, in tables of its own beside those of version 1."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coder_nb.client.history import History, history

NOW = 1_793_448_000_000
TABLES = """
    CREATE TABLE session_v2 (id TEXT PRIMARY KEY, project_id TEXT NOT NULL, parent_id TEXT, fork_session_id TEXT,
        fork_boundary TEXT, directory TEXT NOT NULL, title TEXT, version TEXT NOT NULL, time_created INTEGER NOT NULL,
        time_updated INTEGER NOT NULL);
    CREATE TABLE session_message (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, type TEXT NOT NULL,
        seq INTEGER NOT NULL, time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE UNIQUE INDEX session_message_session_seq_idx ON session_message (session_id, seq);
"""
VERSION_1 = """
    CREATE TABLE session (id TEXT PRIMARY KEY, project_id TEXT, parent_id TEXT, directory TEXT, title TEXT,
        version TEXT, time_created INTEGER, time_updated INTEGER);
    CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INTEGER, time_updated INTEGER, data TEXT);
    CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_created INTEGER, data TEXT);
"""


def counts(given: int, output: int, reasoning: int = 0, read: int = 0, write: int = 0) -> dict[str, Any]:
    return {"input": given, "output": output, "reasoning": reasoning, "cache": {"read": read, "write": write}}


def answer(tokens: dict[str, Any] | None, *content: dict[str, Any], at: int = NOW, **more: Any) -> dict[str, Any]:
    model = {"id": "claude-sonnet-4-5", "providerID": "anthropic"}
    known: dict[str, Any] = {"agent": "build", "model": model, "content": content, "time": {"created": at}}
    if tokens is not None:
        known |= {"tokens": tokens, "cost": 0, "finish": "stop", "time": {"created": at, "completed": at + 1500}}
    return known | more


class Database:
    """A database of version 2 that is being written."""

    def __init__(self, home: Path) -> None:
        path = home / ".local/share/opencode/opencode.db"
        path.parent.mkdir(parents=True)
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.executescript(TABLES)

    def session(self, name: str, *, at: int = NOW, parent: str | None = None, fork: str | None = None) -> None:
        row = (name, "p1", parent, fork, None, "/home/user/shop", f"About {name}", "2.0.8", at, at + 9000)
        self.insert("session_v2", row)

    def say(self, session: str, seq: int, kind: str, data: dict[str, Any], name: str = "") -> None:
        self.insert("session_message", (name or f"{session}-{seq}", session, kind, seq, NOW, NOW, json.dumps(data)))

    def fork(self, session: str, name: str, boundary: int) -> None:
        """As it does: rows up to the boundary under new ids, all else as it was."""
        self.session(name, at=NOW + 5000, fork=session)
        copy = "SELECT ? || '_' || seq, ?, type, seq, time_created, time_updated, data FROM session_message"
        with self.connection:
            what = (f"msg_{name}", name, session, boundary)
            self.connection.execute(
                f"INSERT INTO session_message {copy} WHERE session_id = ? AND seq <= ? "
                "AND (type != 'assistant' OR json_extract(data, '$.time.completed') IS NOT NULL)",
                what,
            )
            told = json.dumps({"type": "through", "messageID": f"{session}-{boundary}"})
            self.connection.execute("UPDATE session_v2 SET fork_boundary = ? WHERE id = ?", (told, name))

    def insert(self, table: str, row: tuple[Any, ...]) -> None:
        with self.connection:
            self.connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path)
    with closing(found.connection):
        yield found


def read(home: Path, **options: Any) -> History:
    return history(agent="opencode", roots=home, **options)


def given(found: History) -> list[int]:
    return [int(value) for value in found.usage["input_tokens"]]


def test_each_answer_is_a_response(database: Database, tmp_path: Path) -> None:
    database.session("s1")
    database.say("s1", 0, "user", {"text": "Go", "time": {"created": NOW}})
    database.say("s1", 1, "assistant", answer(counts(1000, 50, 20, 300, 40), cost=0.25))
    found = read(tmp_path)
    row = found.usage.iloc[0]
    names = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]
    assert row[names].tolist() == [1000, 300, 40, 70, 20], "reasoning is billed as output and not in it here"
    told = ["model", "provider", "cost_usd", "cost_source", "project", "seconds", "agent_version"]
    assert row[told].tolist() == [
        "claude-sonnet-4-5", "anthropic", 0.25, "reported", "/home/user/shop", 1.5, "2.0.8",
    ]  # fmt: skip
    assert found.quality.empty


def test_a_fork_counts_what_it_copied_no_second_time(database: Database, tmp_path: Path) -> None:
    database.session("s2")
    for seq in (1, 2, 3):
        database.say("s2", seq, "assistant", answer(counts(1000 + seq, 50), at=NOW + seq))
    database.say(
        "s2",
        4,
        "compaction",
        {"status": "completed", "summary": "S", "tokens": counts(9, 9), "time": {"created": NOW + 4}},
    )
    database.fork("s2", "s1", 4)
    database.fork("s1", "s0", 2)
    database.say("s1", 5, "assistant", answer(counts(2000, 50), at=NOW + 6000))
    found = read(tmp_path)
    assert given(found) == [1001, 1002, 1003, 9, 2000]
    assert list(found.usage["session_id"]) == ["s2"] * 4 + ["s1"]
    assert found.coverage()["copies"].item() == 6
    sessions = found.sessions.set_index("session_id")
    assert sessions.loc["s1", ["parent_session_id", "relation"]].tolist() == ["s2", "fork"]


def test_a_fork_whose_parent_was_deleted_keeps_what_it_copied(database: Database, tmp_path: Path) -> None:
    database.session("s1")
    database.say("s1", 1, "assistant", answer(counts(1000, 50)))
    for name in ("s2", "s3"):
        database.fork("s1", name, 1)
    with database.connection:
        database.connection.execute("DELETE FROM session_v2 WHERE id = 's1'")
        database.connection.execute("DELETE FROM session_message WHERE session_id = 's1'")
    assert given(read(tmp_path)) == [1000], "two forks of one parent hold the same response"


def test_what_was_taken_over_from_version_1_counts_once(database: Database, tmp_path: Path) -> None:
    database.connection.executescript(VERSION_1)
    database.insert("session", ("s1", "p1", None, "/home/user/shop", "Old", "1.18.33", NOW, NOW + 5))
    said = {"role": "assistant", "modelID": "claude-sonnet-4-5", "providerID": "anthropic", "finish": "stop"}
    said |= {"tokens": counts(1100, 50), "cost": 0, "time": {"created": NOW, "completed": NOW + 1500}}
    database.insert("message", ("m1", "s1", NOW, NOW, json.dumps(said)))
    for number, tokens in enumerate((counts(1000, 50), counts(1100, 50))):
        step = {"type": "step-finish", "tokens": tokens, "cost": 0}
        database.insert("part", (f"p{number}", "m1", "s1", NOW, json.dumps(step)))
    database.session("s1")
    database.say("s1", 0, "assistant", answer(counts(1100, 50)), name="m1")
    database.say("s1", 1, "assistant", answer(counts(2000, 50), at=NOW + 9))
    found = read(tmp_path)
    assert sorted(given(found)) == [1000, 1100, 2000], "version 1 tells each step"
    assert list(found.sessions["session_id"]) == ["s1"]


def test_a_session_that_version_1_also_writes_here_counts_once(database: Database, tmp_path: Path) -> None:
    database.connection.executescript(VERSION_1)
    database.insert("session", ("s1", "p1", None, "/home/user/shop", "Old", "1.18.33", NOW, NOW + 5))
    said = {"role": "assistant", "modelID": "m", "finish": "stop", "tokens": counts(1000, 50), "time": {"created": NOW}}
    database.insert("message", ("m1", "s1", NOW, NOW, json.dumps(said)))
    database.say("s1", 1, "assistant", answer(counts(1000, 50), at=NOW + 3))
    assert given(read(tmp_path)) == [1000]


def test_an_answer_that_has_not_ended_is_unknown_and_a_compaction_is_hidden(database: Database, tmp_path: Path) -> None:
    database.session("s1")
    database.say("s1", 1, "assistant", answer(None))
    summed = {"status": "completed", "summary": "All of it.", "recent": "", "tokens": counts(9000, 300)}
    database.say("s1", 2, "compaction", summed | {"reason": "auto", "time": {"created": NOW + 9}})
    database.say("s1", 3, "compaction", {"status": "running", "summary": "", "time": {"created": NOW + 99}})
    found = read(tmp_path, text=True)
    names = ["input_tokens", "complete", "hidden", "seconds"]
    first, second = found.usage[names].astype(object).to_numpy().tolist()
    assert first[1:3] == [False, False]
    assert found.usage["input_tokens"].isna().tolist() == [True, False]
    assert second[:3] == [9000, True, True]
    assert found.usage["seconds"].isna().all(), "how long it took is not written"
    assert found.messages[["role", "kind", "text"]].to_numpy().tolist() == [["system", "compaction", "All of it."]]


def test_tools_and_words_are_rows(database: Database, tmp_path: Path) -> None:
    def tool(name: str, call: str, **state: Any) -> dict[str, Any]:
        clock = {"created": NOW, "ran": NOW + 100, "completed": NOW + 2600}
        return {"type": "tool", "id": call, "name": name, "state": state, "time": clock}

    ran = tool("shell", "c1", status="completed", input={"command": "false"}, content=[{"type": "text", "text": "no"}])
    error = {"type": "tool.execution", "message": "no such file"}
    failed = tool("edit", "c2", status="error", input={"path": "a.py"}, error=error)
    streaming = {"type": "tool", "id": "c3", "name": "read", "state": {"status": "streaming", "input": '{"pa'}}
    words = ({"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Running."})
    database.session("s1")
    database.session("s2", parent="s1")
    database.say("s1", 0, "user", {"text": "Go", "files": [], "time": {"created": NOW}})
    database.say("s1", 1, "assistant", answer(counts(1000, 50), *words, ran, failed, streaming, at=NOW + 1))
    database.say("s1", 2, "idle", {"outcome": "succeeded", "time": {"created": NOW}})
    found = read(tmp_path, text=True)
    calls = found.tool_calls.set_index("call_id")
    assert calls.loc["c1", ["tool", "status", "seconds", "output", "command"]].tolist() == [
        "terminal", "completed", 2.5, "no", "false",
    ]  # fmt: skip
    assert calls.loc["c2", ["tool", "status", "output", "path"]].tolist() == [
        "file_edit", "failed", "no such file", "a.py",
    ]  # fmt: skip
    assert calls.loc["c3", ["tool", "seconds"]].isna().tolist() == [False, True]
    assert list(found.messages["text"]) == ["Go", "Hm.", "Running."]
    sessions = found.sessions.set_index("session_id")
    assert sessions.loc["s2", ["title", "parent_session_id", "relation"]].tolist() == ["About s2", "s1", "subagent"]
    assert found.quality.empty


def test_a_row_of_another_shape_is_told(database: Database, tmp_path: Path) -> None:
    database.session("s1")
    database.say("s1", 1, "assistant", answer(counts(1000, 50), model=7))
    database.say("s1", 2, "assistant", answer(counts(2000, 50)))
    found = read(tmp_path)
    assert given(found) == [2000]
    assert found.quality[["what", "source_line"]].to_numpy().tolist() == [["unexpected shape", 1]]
