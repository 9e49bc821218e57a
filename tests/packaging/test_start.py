"""The first command of the README, on a machine that has Python and git and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_a_fresh_clone_plays_the_lesson_within_three_minutes(clone: Path, bare: dict[str, str]) -> None:
    assert shutil.which("node", path=bare["PATH"]) is None
    began = time.monotonic()
    done = subprocess.run(
        ["python3", "scripts/start", "--check"], cwd=clone, env=bare, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 180
    for shown in (
        "Found it.",
        "float(bird",
        "+    masses",
        "748.0",
        "test_a_bird_that_was_not_weighed",
        "output_tokens",
    ):
        assert shown in done.stdout, f"{shown!r} is not in what it printed:\n{done.stdout}"
    for step in ("fetching what builds it", "building its front end, where that has changed", "putting all into place"):
        assert done.stdout.count(f"- {step}\n") == 1, "whoever waits is told what for"
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True)
    assert changed.stdout == "", "the first command left something in the checkout that git does not ignore"


def test_without_git_it_says_so(clone: Path, bare: dict[str, str]) -> None:
    (Path(bare["PATH"]) / "git").unlink()
    done = subprocess.run(["python3", "scripts/start", "--check"], cwd=clone, env=bare, capture_output=True, text=True)
    assert done.returncode == 1
    assert "FAILED: git is not on the PATH" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_command_that_fails_is_shown_with_its_cause(clone: Path, bare: dict[str, str]) -> None:
    (clone / "requirements" / "ci.txt").write_text("pip==0.0.0\n")
    done = subprocess.run(["python3", "scripts/start", "--check"], cwd=clone, env=bare, capture_output=True, text=True)
    assert done.returncode == 1
    assert "FAILED: this ended with code 1" in done.stdout
    assert "pip==0.0.0" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
