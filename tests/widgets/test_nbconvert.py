"""A notebook executed and converted without a browser: the runtime in the kernel, and output without a script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from coder_nb.widgets.mimebundle import CHAT_MIME

ROOT = Path(__file__).parents[2]
CELLS = (
    "import coder_nb as cnb\n%load_ext coder_nb\ncnb.configure(replay_pace=0)",
    "session = cnb.session('repo')\nturn = await session.prompt('Go', agent='replay', mode='accept_edits')",
    "session.changes",
    "cnb.widgets.UsageTable(session)",
    "session.widget()",
    "session.changes.apply()\nprint(sorted(path.name for path in __import__('pathlib').Path('repo').iterdir()))",
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, nbformat.NotebookNode]:
    folder = tmp_path_factory.mktemp("nbconvert")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("CODER_NB_", "JUPYTER_", "GIT_"))}
    environ |= {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q", "repo"], cwd=folder, env=environ, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "start"], cwd=folder / "repo", env=environ, check=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(notebook, folder / "lesson.ipynb")
    for to in (["--to", "notebook", "--execute", "--inplace"], ["--to", "html"]):
        command = [sys.executable, "-m", "nbconvert", *to, "lesson.ipynb"]
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
    return (folder / "lesson.html").read_text(), nbformat.read(folder / "lesson.ipynb", as_version=4)


def outputs(notebook: nbformat.NotebookNode, cell: int) -> list[nbformat.NotebookNode]:
    return list(notebook.cells[cell].outputs)


def test_the_page_shows_the_transcript_and_the_diff_without_a_script(
    executed: tuple[str, nbformat.NotebookNode],
) -> None:
    page, _ = executed
    ours = re.findall(r'<div class="cnb cnb-(\w+)">', page)
    assert ours == ["transcript", "diff", "usage", "transcript", "diff", "usage"]
    assert 'class="diff"' in page
    assert '<script type="application/vnd.jupyter.widget-view+json">' not in page


def test_the_turn_has_one_output_and_carries_its_snapshot(executed: tuple[str, nbformat.NotebookNode]) -> None:
    _, notebook = executed
    (output,) = outputs(notebook, 1)
    assert output.output_type == "display_data"
    assert set(output.data) == {CHAT_MIME, "text/html", "text/plain"}
    snapshot = output.data[CHAT_MIME]
    assert snapshot["turn_id"]
    assert {entry["turn_id"] for entry in snapshot["entries"]} == {snapshot["turn_id"]}
    assert not re.search("token|http", str({**snapshot, "entries": [], "usage": []}))


def test_what_was_applied_is_in_the_checkout(executed: tuple[str, nbformat.NotebookNode]) -> None:
    _, notebook = executed
    stream = next(output for output in outputs(notebook, 5) if output.output_type == "stream")
    assert "summary.py" in stream.text
