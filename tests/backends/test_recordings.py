"""The recording that is shipped, and the repository it was made in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coder_nb.backends.replay.recording import Call, parse, steps
from coder_nb.client.history import history
from coder_nb.recordings import FIRST_STEPS, HISTORY, make_history, make_practice

pytestmark = pytest.mark.anyio


def git(place: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=place, check=True, capture_output=True, text=True).stdout


def test_a_practice_repository_has_one_commit_and_is_clean(tmp_path: Path) -> None:
    place = make_practice(tmp_path / "new" / "puffins")
    assert place == tmp_path / "new" / "puffins"
    assert git(place, "rev-list", "--count", "HEAD") == "1\n"
    assert git(place, "status", "--porcelain") == ""


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "puffins").write_text("mine")
    assert make_practice(tmp_path / "puffins") == tmp_path / "puffins-2"
    assert make_practice(tmp_path / "puffins") == tmp_path / "puffins-3"
    assert (tmp_path / "puffins").read_text() == "mine"


def test_the_shipped_recording_says_where_it_comes_from_and_lasts_half_a_minute() -> None:
    recording = parse(FIRST_STEPS.read_bytes())
    assert "recording" in recording.origin
    played = [step.seconds for turn in recording.turns for step in steps(turn, recording.patches)]
    assert 20 < sum(played) < 45


def test_the_shipped_recording_names_no_place_on_anyones_disk() -> None:
    text = FIRST_STEPS.read_text()
    assert not [word for word in ("/tmp", "/home", "/root", "/work", "C:\\\\") if word in text]


def test_what_the_shipped_recording_writes_mends_the_practice_repository(tmp_path: Path) -> None:
    place = make_practice(tmp_path / "puffins")
    recording = parse(FIRST_STEPS.read_bytes())
    code = "import summary; print(summary.mean_mass(summary.read(), 'Tufted'))"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], cwd=place, capture_output=True, text=True)

    assert float(run("-c", code).stdout) < 500
    for turn in recording.turns:
        for step in steps(turn, recording.patches):
            for file in step.files if isinstance(step, Call) else ():
                (place / file.path).write_text(file.content or "")
    assert float(run("-c", code).stdout) == 748.0
    assert "Ran 2 tests" in run("-m", "unittest").stderr


def test_the_shipped_history_is_read_without_a_problem(tmp_path: Path) -> None:
    found = history(roots=make_history(tmp_path / "two-weeks"))
    assert found.quality.empty
    assert set(found.sessions["agent"]) == {"claude", "codex", "qwen"}
    assert len(found.sessions) == 14
    assert found.usage["cost_usd"].notna().all()
    assert found.measures("model").loc["claude-opus-4-8", "turns"] == 5


def test_a_history_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    place = make_history(tmp_path / "two-weeks")
    mine = next(place.rglob("*.jsonl"))
    mine.write_text("mine")
    assert make_history(tmp_path / "two-weeks") == place
    assert mine.read_text() == "mine"


def test_the_shipped_history_is_small_and_has_neither_anyones_folders_nor_the_agents_instructions() -> None:
    files = [path for path in HISTORY.rglob("*.json*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400_000
    words = ("/tmp", "/root", "/work/", "127.0.0.1", "<system-reminder>", "base_instructions", "environment_context")
    for path in files:
        text = path.read_text()
        assert not [word for word in words if word in text], path
        assert {place for place in text.split('"') if place.startswith("/home/")} <= {
            place for place in text.split('"') if place.startswith("/home/ada/")
        }
