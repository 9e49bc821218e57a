"""Every lesson, executed with the replay agent, as nbconvert and Binder would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

import coder_nb as cnb
from coder_nb.recordings import make_history

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAT = "application/vnd.coder-nb.chat.v1+json"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, a store of its own, and no server to be found."""
    for name in [name for name in os.environ if name.startswith(("CODER_NB_", "JUPYTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CODER_NB_DATABASE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("CODER_NB_REPLAY_PACE", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "home").mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def executed(path: Path, folder: Path) -> NotebookNode:
    """The notebook with its outputs; a cell that raises fails the test."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=False)
    return client.execute(cwd=str(folder))


def outputs(notebook: NotebookNode, cell_id: str) -> list[NotebookNode]:
    cell = next(cell for cell in notebook.cells if cell.id == cell_id)
    return [output for output in cell.outputs if "data" in output]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_is_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.outputs or cell.execution_count for cell in cells] == [None] * len(cells)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_can_be_run_twice_in_the_same_folder(path: Path, alone: Path) -> None:
    executed(path, alone)
    executed(path, alone)


def test_the_first_lesson_mends_the_function_and_shows_how(alone: Path) -> None:
    notebook = executed(LESSONS[0], alone)
    turn = outputs(notebook, "first-turn")[0].data
    assert "Find out why" in turn["text/plain"]
    assert "Found it." in turn["text/plain"]
    assert "<table" in turn["text/html"]
    assert turn[CHAT]["view"] == "transcript"
    diff = outputs(notebook, "changes")[0].data
    assert '+    masses = [float(bird["mass_g"])' in diff["text/plain"]
    assert diff[CHAT]["view"] == "diff"
    assert "748.0" in outputs(notebook, "apply")[0].data["text/plain"]
    left = subprocess.run([sys.executable, "-m", "unittest"], cwd=alone / "puffins", capture_output=True, text=True)
    assert "Ran 1 test" in left.stderr, "what was not applied is not in the checkout"


def test_the_first_lesson_is_right_as_a_page_without_scripts(alone: Path) -> None:
    page, _ = HTMLExporter().from_notebook_node(executed(LESSONS[0], alone))
    for shown in ("Found it.", "file_edit", "unittest", "748.0", "was not weighed"):
        assert shown in page
    for wrong in ("Traceback", "model not found", "Error displaying widget"):
        assert wrong not in page


def said(cell_id: str) -> str:
    """What the second lesson says in a cell of text."""
    return str(next(cell.source for cell in nbformat.read(LESSONS[1], as_version=4).cells if cell.id == cell_id))


def test_the_second_lesson_says_in_words_what_its_cells_find(tmp_path: Path) -> None:
    home = make_history(tmp_path / "two-weeks")
    history, week = cnb.history(roots=home), cnb.history(roots=home, since="2026-11-09", until="2026-11-16")
    cost = week.by("model")["cost_usd"]
    assert cost.idxmax() == "claude-opus-4-8"
    assert f"${cost.max():.2f} of ${cost.sum():.2f}" in said("cost-why")
    tools = history.by_tool()
    worst = tools.loc[tools["failure_rate"].idxmax()]
    assert worst.name == "file_edit"
    assert f"{worst['failures']:.0f} of {worst['calls']:.0f} edits failed" in said("fails-why")
    assert f"with {tools['median_seconds'].max():.0f} seconds" in said("time-answer")
    block = history.by("block")["total_tokens"].idxmax()
    assert block == pd.Timestamp("2026-11-09T08:00Z")
    assert "Monday, 9 November, from eight to one" in said("block")
    for model, name in (("claude-opus-4-8", "Opus"), ("deepseek-chat", "DeepSeek")):
        assert f"${cnb.as_if(history.usage, model)['cost_usd'].sum():.2f} with {name}" in said("other")
    once = history.turns.dropna(subset=["one_shot"]).groupby("agent", observed=True)["one_shot"].agg(["sum", "count"])
    for agent, name in (("claude", "Claude had"), ("qwen", "Qwen Code")):
        assert f"{name} {once['sum'][agent]} of {once['count'][agent]}" in said("one-shot")


def test_the_second_lesson_finds_the_miss_and_shows_its_plots_without_a_script(alone: Path) -> None:
    notebook = executed(LESSONS[1], alone)
    miss = outputs(notebook, "hit")[0].data["text/plain"]
    found = [float(line.split()[-1]) for line in miss.splitlines()[:2]]
    assert f"{100 * (found[0] - found[1]):.0f} cents" in said("miss-answer")
    assert "Rewrite the timetable" in outputs(notebook, "abandoned-sessions")[0].data["text/plain"]
    for cell in ("cost-plot", "tools-plot", "context-plot", "agents-plot", "timeline-plot"):
        assert "data:image/png" in outputs(notebook, cell)[0].data["text/html"]
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert page.count('src="data:image/png') == 5 + 4, "and those of the dashboard"
    assert "Error displaying widget" not in page
