"""opencode's history, trap by trap."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coder_nb.client.history import History, history

Write = Callable[..., Path]
DATA = ".local/share/opencode"
NOW = 1_793_448_000_000
TABLES = """
    CREATE TABLE session (id TEXT PRIMARY KEY, project_id TEXT, parent_id TEXT, directory TEXT, title TEXT,
        version TEXT, time_created INTEGER, time_updated INTEGER);
    CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INTEGER, time_updated INTEGER, data TEXT);
    CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_created INTEGER, data TEXT);
"""


def counts(given: int, output: int, reasoning: int = 0, read: int = 0, write: int = 0) -> dict[str, Any]:
    total = given + output + reasoning + read + write
    cache = {"read": read, "write": write}
    return {"total": total, "input": given, "output": output, "reasoning": reasoning, "cache": cache}


def answer(tokens: dict[str, Any], *, at: int = NOW, cost: float = 0.0, **more: Any) -> dict[str, Any]:
    known = {"role": "assistant", "modelID": "claude-sonnet-4-5", "providerID": "anthropic", "finish": "stop"}
    return known | {"tokens": tokens, "cost": cost, "time": {"created": at, "completed": at + 1500}} | more


class Database:
    """A database of opencode's that is being written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.executescript(TABLES)

    def session(self, name: str, parent: str | None = None) -> None:
        row = (name, "p1", parent, "/home/user/shop", f"About {name}", "1.18.33", NOW, NOW + 9000)
        self._insert("session", row)

    def message(self, name: str, session: str, data: dict[str, Any], *parts: dict[str, Any]) -> None:
        self._insert("message", (name, session, NOW, NOW, json.dumps(data)))
        for number, part in enumerate(parts):
            self._insert("part", (f"{name}-{number}", name, session, NOW, json.dumps(part)))

    def _insert(self, table: str, row: tuple[Any, ...]) -> None:
        with self.connection:
            self.connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path / DATA / "opencode.db")
    with closing(found.connection):
        yield found


def read(home: Path, **options: Any) -> History:
    return history(agent="opencode", roots=home, **options)


def tokens(found: History) -> list[list[int]]:
    names = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]
    return [[int(value) for value in row] for row in found.usage[names].to_numpy()]


def test_a_database_in_use_is_read_as_it_is_and_left_as_it_was(database: Database, tmp_path: Path) -> None:
    database.session("s1")
    database.message("m1", "s1", answer(counts(1000, 50, 20, 300, 40), cost=0.25))
    database.connection.execute("BEGIN IMMEDIATE")
    before = sorted(path.name for path in (tmp_path / DATA).iterdir())
    found = read(tmp_path)
    assert tokens(found) == [[1000, 300, 40, 70, 20]], "reasoning is billed as output and not in it here"
    row = found.usage.iloc[0]
    assert row[["cost_usd", "cost_source", "project", "seconds"]].tolist() == [0.25, "reported", "/home/user/shop", 1.5]
    assert sorted(path.name for path in (tmp_path / DATA).iterdir()) == before
    database.connection.rollback()


def test_what_is_in_a_databases_log_only_is_seen_at_once(database: Database, tmp_path: Path) -> None:
    database.connection.execute("PRAGMA journal_mode=WAL")
    database.session("s1")
    database.message("m1", "s1", answer(counts(1000, 50)))
    assert len(read(tmp_path).usage) == 1
    database.message("m2", "s1", answer(counts(2000, 50), at=NOW + 9))
    assert len(read(tmp_path).usage) == 2


def test_a_fork_whose_id_comes_first_counts_for_nothing_of_its_parents(database: Database, tmp_path: Path) -> None:
    for name, at in (("s2", NOW), ("s1", NOW + 1)):  # ids of later sessions sort before those of earlier ones
        database.session(name)
        with database.connection:
            database.connection.execute("UPDATE session SET time_created = ? WHERE id = ?", (at, name))
        database.message(f"m-{name}", name, answer(counts(1000, 50)))
    assert list(read(tmp_path).usage["session_id"]) == ["s2"]


def test_a_database_at_rest_gets_no_files_beside_it(database: Database, tmp_path: Path) -> None:
    database.session("s1")
    database.message("m1", "s1", answer(counts(1000, 50)))
    database.connection.close()
    assert tokens(read(tmp_path)) == [[1000, 0, 0, 50, 0]]
    assert [path.name for path in (tmp_path / DATA).iterdir()] == ["opencode.db"]


def test_a_file_that_is_no_database_is_told(write: Write, tmp_path: Path) -> None:
    write(f"{DATA}/opencode.db", [b"no database at all, " * 100])
    found = read(tmp_path)
    assert found.usage.empty
    assert list(found.quality["what"]) == ["unreadable"]


def test_a_fork_counts_what_it_copied_no_second_time(database: Database, tmp_path: Path) -> None:
    for session, names in (("s1", ("m1", "m2")), ("s2", ("n1", "n2", "n3"))):
        database.session(session)
        for number, name in enumerate(names):
            database.message(name, session, answer(counts(1000 + number, 50), at=NOW + number))
    found = read(tmp_path)
    assert [row[0] for row in tokens(found)] == [1000, 1001, 1002]
    assert list(found.usage["session_id"]) == ["s1", "s1", "s2"]
    assert found.coverage()["copies"].item() == 2


def test_a_message_of_several_steps_is_several_responses(database: Database, tmp_path: Path) -> None:
    steps = [{"type": "step-finish", "tokens": counts(n, 50), "cost": 0.1} for n in (1000, 1100)]
    database.session("s1")
    database.message("m1", "s1", answer(counts(1100, 50), cost=0.2), *steps)
    found = read(tmp_path)
    assert [row[0] for row in tokens(found)] == [1000, 1100]
    assert found.usage["cost_usd"].sum() == pytest.approx(0.2)


def test_an_answer_that_was_cut_off_before_its_count_is_unknown_and_not_nought(
    database: Database, tmp_path: Path
) -> None:
    database.session("s1")
    database.message("m1", "s1", answer(counts(0, 0), finish=None, error={"name": "MessageAbortedError"}))
    row = read(tmp_path).usage.iloc[0]
    assert row[["input_tokens", "output_tokens", "cost_usd"]].isna().all()
    assert not row["complete"]


def test_a_cost_of_nought_is_not_taken_for_a_report(database: Database, tmp_path: Path) -> None:
    database.session("s1")
    database.message("m1", "s1", answer(counts(1000, 50)))
    database.message("m2", "s1", answer(counts(2000, 50), modelID="local", providerID="ollama-at-home"))
    assert list(read(tmp_path).usage["cost_source"]) == ["computed", "unknown"]


def test_tools_and_words_are_rows(database: Database, tmp_path: Path) -> None:
    span = {"start": NOW, "end": NOW + 2500}
    state = {
        "status": "completed",
        "input": {"command": "false"},
        "output": "no",
        "metadata": {"exit": 1},
        "time": span,
    }
    tool = {"type": "tool", "tool": "bash", "callID": "c1", "state": state | {"time": span}}
    broken = {"type": "tool", "tool": "edit", "callID": "c2", "state": {"status": "error", "error": "no such file"}}
    words = ({"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Running."})
    database.session("s1")
    database.session("s2", parent="s1")
    database.message("m0", "s1", {"role": "user", "time": {"created": NOW}}, {"type": "text", "text": "Go"})
    database.message("m1", "s1", answer(counts(1000, 50)), *words, tool, broken)
    found = read(tmp_path, text=True)
    calls = found.tool_calls.set_index("call_id")
    row = calls.loc["c1", ["tool", "status", "exit_code", "seconds", "output"]]
    assert row.tolist() == ["terminal", "completed", 1, 2.5, "no"]
    assert calls.loc["c2", ["status", "output"]].tolist() == ["failed", "no such file"]
    assert list(found.messages["text"]) == ["Go", "Hm.", "Running."]
    sessions = found.sessions.set_index("session_id")
    assert sessions.loc["s2", ["title", "parent_session_id", "relation"]].tolist() == ["About s2", "s1", "subagent"]


def test_a_message_of_another_shape_is_told(database: Database, tmp_path: Path) -> None:
    database.session("s1")
    database.message("m1", "s1", answer(counts(1000, 50), modelID=7))
    database.message("m2", "s1", answer(counts(2000, 50)))
    found = read(tmp_path)
    assert [row[0] for row in tokens(found)] == [2000]
    assert found.quality[["what", "source_line"]].to_numpy().tolist() == [["unexpected shape", 1]]


def test_the_files_of_earlier_versions_are_read_and_count_once_beside_the_database(
    database: Database, write: Write, tmp_path: Path
) -> None:
    step = {"id": "prt1", "messageID": "m1", "type": "step-finish", "tokens": counts(1000, 50), "cost": 0}
    head = {"id": "s1", "projectID": "p1", "directory": "/home/user/shop", "title": "Old", "version": "0.9"}
    storage = f"{DATA}/storage"
    write(f"{storage}/session/p1/s1.json", [head | {"time": {"created": NOW, "updated": NOW + 5}}])
    write(f"{storage}/message/s1/m1.json", [answer(counts(1000, 50)) | {"id": "m1", "sessionID": "s1"}])
    write(f"{storage}/part/m1/prt1.json", [step])
    write(f"{storage}/message/s1/m2.json", [answer(counts(2000, 60), at=NOW + 9) | {"id": "m2", "sessionID": "s1"}])
    write(f"{storage}/message/s1/m3.json", ['{"role": "assist'])
    database.session("s1")
    database.message("m1", "s1", answer(counts(1000, 50)), step)
    found = read(tmp_path)
    assert sorted(row[0] for row in tokens(found)) == [1000, 2000]
    assert list(found.quality["what"]) == ["broken line"]
    assert list(found.sessions["session_id"]) == ["s1"]
