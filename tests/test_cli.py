"""The command in a process of its own, with the runtime in it and the replay agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("CODER_NB_", "JUPYTER_", "GIT_"))}
    environ |= {
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "CODER_NB_REPLAY_PACE": "0",
    }
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q", "repo"], cwd=tmp_path, env=environ, check=True)
    subprocess.run(
        [*git, "commit", "-q", "--allow-empty", "-m", "start"], cwd=tmp_path / "repo", env=environ, check=True
    )

    def run_one(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "coder_nb.cli", *arguments]
        return subprocess.run(
            command, cwd=tmp_path / "repo", env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    return run_one


def test_a_prompt_prints_its_transcript_and_its_diff_and_is_kept_as_a_session(run: Run, tmp_path: Path) -> None:
    done = run("prompt", "Go", "--agent", "replay", "--mode", "accept_edits", "--apply")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("── Replay")
    assert "diff --git" in done.stdout
    assert len(list((tmp_path / "repo").iterdir())) > 1
    sessions = run("sessions")
    assert str(tmp_path / "repo") in sessions.stdout
    assert "Nothing yet." in run("usage").stdout, "what is replayed is not counted"


def test_the_agents_are_listed_with_what_to_do_about_them(run: Run) -> None:
    done = run("agents")
    assert done.returncode == 0
    assert "replay" in done.stdout


def test_what_goes_wrong_is_one_sentence_and_an_exit_code(run: Run) -> None:
    done = run("prompt", "Go", "--agent", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("coder-nb: ")
    assert "Traceback" not in done.stderr


LINE = {
    "type": "assistant",
    "uuid": "u1",
    "sessionId": "5f0e3c0e-0000-4000-8000-000000000001",
    "requestId": "req_1",
    "timestamp": "2026-01-05T23:30:00.000Z",
    "cwd": "/home/user/plums",
    "version": "2.1.0",
    "message": {
        "id": "msg_1",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "I like plums."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 0},
    },
}


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """What an agent has left in the home directory."""
    file = (
        tmp_path / "home" / ".claude" / "projects" / "-home-user-plums" / "5f0e3c0e-0000-4000-8000-000000000001.jsonl"
    )
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(LINE) + "\n")
    return file


def test_usage_is_told_of_what_agents_left_on_disk_too_by_what_is_asked_for(run: Run, history: Path) -> None:
    assert run("usage").stdout.split()[:2] == ["agent", "model"]
    (row,) = json.loads(run("usage", "--by", "day,project", "--json").stdout)
    assert (row["project"], row["output_tokens"]) == ("/home/user/plums", 20)
    assert "2026-01-06" in run("usage", "--by", "day", "--tz", "Europe/Berlin").stdout
    assert "Nothing yet." in run("usage", "--here").stdout
    assert "Nothing yet." in run("usage", "--until", "2026-01").stdout


def test_sessions_are_listed_as_a_table_or_as_json(run: Run, history: Path) -> None:
    assert "/home/user/plums" in run("sessions").stdout
    (row,) = json.loads(run("sessions", "--agent", "claude", "--json").stdout)
    assert row["session_id"] == "5f0e3c0e-0000-4000-8000-000000000001"


def test_frames_and_chats_are_exported(run: Run, history: Path, tmp_path: Path) -> None:
    done = run("export", str(tmp_path / "out"), "--format", "csv", "--text")
    assert "messages.csv" in done.stdout
    assert "I like plums." in (tmp_path / "out" / "messages.csv").read_text()
    run("prompt", "Go", "--agent", "replay", "--mode", "accept_edits")
    sessions = json.loads(run("sessions", "--here", "--json").stdout)
    done = run("export", str(tmp_path / "chat.md"), "--chat", sessions[0]["chat_id"])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "chat.md").read_text().startswith("# ")


def test_what_is_nothing_to_sum_by_is_said_in_one_sentence(run: Run) -> None:
    done = run("usage", "--by", "moon")
    assert done.returncode == 1
    assert done.stderr.startswith("coder-nb: 'moon' is nothing to sum by")
