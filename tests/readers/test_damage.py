"""Whatever happens to a file: it costs what is damaged, is told, and never stops the rest."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coder_nb.core.entries import Tokens
from coder_nb.readers.base import Places, Sought, readers
from coder_nb.readers.collect import collect

Write = Callable[..., Path]
ALL = Sought(what=frozenset({"usage", "tool_calls", "messages"}), text=True)
AT = "2026-10-31T12:00:00Z"
CLAUDE = {
    "type": "assistant",
    "timestamp": AT,
    "sessionId": "s",
    "requestId": "r",
    "message": {
        "id": "m",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}}],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    },
}
CODEX = {
    "timestamp": AT,
    "type": "event_msg",
    "payload": {"type": "token_count", "info": {"total_token_usage": {"input_tokens": 1, "output_tokens": 2}}},
}
QWEN = {"type": "assistant", "uuid": "u", "sessionId": "s", "usageMetadata": {"promptTokenCount": 1}}
GEMINI = {"id": "a", "type": "gemini", "content": [{"text": "Well."}], "tokens": {"input": 1, "output": 2}}
GOOSE = {"role": "assistant", "created": 1, "content": [{"type": "text", "text": "Well."}]}
FILES = {
    "claude": (".claude/projects/p/s.jsonl", CLAUDE),
    "codex": (".codex/sessions/2026/10/31/rollout-x.jsonl", CODEX),
    "qwen": (".qwen/projects/p/chats/s.jsonl", QWEN),
    "gemini": (".gemini/tmp/p/chats/session-s.jsonl", GEMINI),
    "goose": (".local/share/goose/sessions/s.jsonl", GOOSE),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "id"]), inner),
    max_leaves=3,
)


@pytest.mark.parametrize("agent", FILES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_value_of_any_other_shape_costs_its_line_and_no_other(
    agent: str, write: Write, tmp_path: Path, data: st.DataObject
) -> None:
    name, line = FILES[agent]
    odd = json.loads(json.dumps(line))
    place: Any = odd
    key = data.draw(st.sampled_from(sorted(place)))
    while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    place[key] = data.draw(VALUES)
    write(name, [odd, line])
    reader = readers()[agent]
    found = collect(reader, reader.roots(Places(tmp_path)), ALL)
    assert "not understood" not in {problem.what for problem in found.problems}, found.problems
    assert found.usage or found.messages, "what is whole is read"


@pytest.mark.parametrize("agent", FILES)
def test_a_torn_last_line_costs_itself_alone(agent: str, write: Write, tmp_path: Path) -> None:
    name, line = FILES[agent]
    write(name, [line, json.dumps(line)[:-9]], end="")
    reader = readers()[agent]
    found = collect(reader, reader.roots(Places(tmp_path)), ALL)
    assert [(problem.line, problem.what) for problem in found.problems] == [(2, "torn line")]
    assert found.usage or found.messages


@pytest.mark.parametrize("agent", FILES)
def test_nul_bytes_are_taken_off_and_told(agent: str, write: Write, tmp_path: Path) -> None:
    name, line = FILES[agent]
    write(name, [b"\0\0\0" + json.dumps(line).encode(), b"\0" * 512])
    reader = readers()[agent]
    found = collect(reader, reader.roots(Places(tmp_path)), ALL)
    assert [(problem.line, problem.what) for problem in found.problems] == [(1, "mended line"), (2, "broken line")]
    assert found.usage or found.messages


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / ".local/share/goose/sessions/sessions.db"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE sessions (id TEXT, created_at TEXT, accumulated_input_tokens INTEGER)")
        for number in range(500):
            connection.execute("INSERT INTO sessions VALUES (?, '2026-10-31', 7)", (f"s{number}" * 20,))
        connection.commit()
    whole, chance, reader = path.read_bytes(), random.Random(5), readers()["goose"]
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(200):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged[: chance.randrange(len(damaged))])
        found = collect(reader, reader.roots(Places(tmp_path)), Sought())
        assert found.problems
    path.write_bytes(whole)
    assert len(collect(reader, reader.roots(Places(tmp_path)), Sought()).usage) == 500


class Failing:
    agent = "failing"

    def roots(self, places: Places) -> list[Path]:
        return [places.home]

    def sources(self, root: Path, sought: Sought, note: Any) -> Any:
        from coder_nb.readers.base import files

        return files(root, self.agent, note, suffixes=(".txt",))

    def read(self, source: Any, sought: Sought, note: Any) -> Any:
        from coder_nb.core.rows import Usage

        place = {"agent": self.agent, "session_id": "s", "file": str(source.path), "line": 1}
        yield Usage(**place, response_id=source.path.stem, tokens=Tokens(output=int(source.path.read_text())))


def test_a_file_on_which_a_reader_fails_costs_no_other(write: Write, tmp_path: Path) -> None:
    write("a.txt", ["one"], mtime=1)
    write("b.txt", ["1"], mtime=2)
    found = collect(Failing(), [tmp_path], Sought())
    assert [row.tokens.output for row in found.usage] == [1]
    assert [(problem.what, problem.detail[:10]) for problem in found.problems] == [("not understood", "ValueError")]
