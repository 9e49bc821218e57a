"""The command in a process of its own, with the runtime in it and the replay agent."""

from __future__ import annotations

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
    assert done.stdout.startswith("── replay")
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
