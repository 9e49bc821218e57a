"""What other programs have gathered: agentsview's database and Inspect's logs."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest

from coder_nb.client.history import history

AT = "2026-10-31T12:00:00.000Z"
SESSIONS = (
    "id agent cwd project git_branch source_version source_session_id started_at ended_at display_name session_name "
    "first_message parent_session_id relationship_type"
)
MESSAGES = (
    "id session_id ordinal role content thinking_text timestamp is_system model token_usage output_tokens "
    "has_output_tokens provider_id claude_message_id claude_request_id source_uuid is_sidechain is_compact_boundary"
)
CALLS = (
    "id message_id session_id tool_name tool_use_id input_json result_content_length result_content file_path "
    "observed_outcome"
)
EVENTS = (
    "id session_id source model provider_id input_tokens output_tokens cache_creation_input_tokens "
    "cache_read_input_tokens reasoning_tokens cost_microdollars cost_source occurred_at dedup_key"
)


@pytest.fixture
def gathered(tmp_path: Path) -> sqlite3.Connection:
    (tmp_path / ".agentsview").mkdir()
    connection = sqlite3.connect(tmp_path / ".agentsview" / "sessions.db")
    for table, names in (
        ("sessions", SESSIONS),
        ("messages", MESSAGES),
        ("tool_calls", CALLS),
        ("usage_events", EVENTS),
    ):
        connection.execute(f"CREATE TABLE {table} ({', '.join(names.split())})")
    return connection


def put(connection: sqlite3.Connection, table: str, names: str, **given: Any) -> None:
    values = [given.get(name, "" if table != "tool_calls" else None) for name in names.split()]
    with connection:
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)


def test_what_agentsview_gathered_is_read_under_each_agents_name(gathered: sqlite3.Connection, tmp_path: Path) -> None:
    known = {"started_at": AT, "ended_at": AT, "cwd": "/home/user/shop"}
    put(gathered, "sessions", SESSIONS, id="amp-1", agent="amp", source_session_id="T-1", first_message="Go", **known)
    put(gathered, "sessions", SESSIONS, id="c-1", agent="claude", **known)
    usage = json.dumps({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 7})
    said = {"role": "assistant", "content": "Done.", "timestamp": AT, "model": "claude-sonnet-4-5", "source_uuid": "u"}
    put(
        gathered,
        "messages",
        MESSAGES,
        id=1,
        session_id="c-1",
        ordinal=1,
        token_usage=usage,
        claude_message_id="m1",
        **said,
    )
    put(gathered, "messages", MESSAGES, id=2, session_id="amp-1", ordinal=1, role="user", content="Go", timestamp=AT)
    call = {"tool_name": "Bash", "observed_outcome": "errored", "tool_use_id": "t1", "result_content_length": 3}
    put(gathered, "tool_calls", CALLS, id=1, message_id=1, session_id="c-1", **call)
    counts = {"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 0, "reasoning_tokens": 20}
    counts["cache_creation_input_tokens"] = 0
    put(
        gathered,
        "usage_events",
        EVENTS,
        id=1,
        session_id="amp-1",
        model="gpt-5",
        occurred_at=AT,
        cost_microdollars=7,
        **counts,
    )
    found = history(agent="agentsview", roots=tmp_path, text=True)
    rows = found.usage.set_index("agent")[["input_tokens", "cache_read_tokens", "output_tokens", "session_id"]]
    assert rows.loc["claude"].tolist() == [10, 7, 5, "c-1"]
    assert rows.loc["amp"].tolist() == [100, 0, 50, "T-1"]
    assert found.usage.set_index("agent").loc["amp", "reported_cost_usd"] == 7e-6
    assert found.tool_calls[["tool", "status"]].to_numpy().tolist() == [["terminal", "failed"]]
    assert set(found.messages["text"]) == {"Done.", "Go"}
    assert len(found.sessions) == 2
    assert len(history(roots=tmp_path).usage) == 0, "it is asked for by name"


def test_a_log_of_inspect_tells_each_call_of_a_model(tmp_path: Path) -> None:
    usage = {"input_tokens": 10, "output_tokens": 5, "input_tokens_cache_read": 7, "reasoning_tokens": 2}
    model = {
        "event": "model",
        "uuid": "e1",
        "model": "openai/gpt-5",
        "timestamp": AT,
        "completed": AT,
        "output": {"usage": usage},
    }
    tool = {
        "event": "tool",
        "id": "t1",
        "function": "bash",
        "arguments": {"cmd": "ls"},
        "result": "no",
        "timestamp": AT,
    }
    sample = {
        "id": 1,
        "epoch": 1,
        "uuid": "s1",
        "messages": [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
        ],
        "events": [model, model | {"uuid": "e2", "cache": "read"}, tool | {"error": {"message": "no"}}, {"event": 7}],
    }
    (tmp_path / "logs").mkdir()
    with zipfile.ZipFile(tmp_path / "logs" / "run.eval", "w") as archive:
        archive.writestr("header.json", json.dumps({"eval": {"eval_id": "x", "task": "shop", "created": AT}}))
        archive.writestr("samples/1_epoch_1.json", json.dumps(sample))
        archive.writestr("samples/2_epoch_1.json", '{"id": ')
    (tmp_path / "logs" / "torn.eval").write_bytes(b"PK")
    found = history(agent="inspect", roots={"inspect": tmp_path / "logs"}, text=True)
    row = found.usage[["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "model", "provider"]]
    assert row.to_numpy().tolist() == [[10, 7, 5, 2, "gpt-5", "openai"]], (
        "what came from a cache of its own cost nothing"
    )
    assert found.tool_calls[["tool", "status", "output"]].to_numpy().tolist() == [["terminal", "failed", '"no"']]
    assert found.messages["text"].tolist() == ["Go", "Done."]
    assert found.sessions["title"].tolist() == ["shop: 1"]
    assert len(found.quality) == 2
