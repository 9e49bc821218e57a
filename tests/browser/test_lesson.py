"""The lesson, as a reader runs it; and what is left of it when the kernel is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from harness import ROOT, Notebook, until
from playwright.sync_api import BrowserContext, Locator, Page

LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
ERRORS = ("Error displaying widget", "model not found", "Loading widget", "Click to show javascript error", "Traceback")


def cells_with(notebook: Notebook, mime: str) -> list[int]:
    """The cells that have an output of this type, in the file."""
    cells = nbformat.read(notebook.file, as_version=4).cells
    return [i for i, c in enumerate(cells) if any(mime in output.get("data", {}) for output in c.get("outputs", ()))]


def is_whole(page: Page, transcripts: Locator, diffs: Locator) -> None:
    """The lesson's transcripts and diff are seen, and no error is."""
    for place, words in ((transcripts, "takes that for a mass of zero"), (diffs, "The mean mass of the birds")):
        place.get_by_text(words).locator("visible=true").first.wait_for()
    text = page.locator("body").inner_text()
    assert not [error for error in ERRORS if error in text]


def play(notebook: Notebook, lesson: Path) -> None:
    shutil.copy(lesson, notebook.file)
    notebook.open()
    notebook.run_all(seconds=90)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_and_is_whole_when_reopened(notebook: Notebook, lesson: Path) -> None:
    play(notebook, lesson)
    notebook.save()
    chat = "application/vnd.coder-nb.chat.v1+json"
    until(lambda: cells_with(notebook, chat), "the file has the outputs", page=notebook.page)
    notebook.close()
    notebook.open()
    for index in cells_with(notebook, chat):
        notebook.cell(index).scroll_into_view_if_needed()
        notebook.output(index).locator(".panel, h3").first.wait_for()
    if lesson == LESSONS[0]:
        applied = notebook.page.locator(".file-head").filter(has_text="Applied").first
        applied.click()  # what was decided is folded
        is_whole(notebook.page, notebook.page.locator(".transcript"), notebook.page.locator(".changes"))


SHORT = """
import coder_nb as cnb
from coder_nb.recordings import make_practice
session = cnb.session(make_practice())
turn = session.run(
    "The Tufted puffins should be the heaviest, but summary.py says that they are lighter than the Horned ones. "
    "Find out why, and fix it.", agent="replay", mode="accept_edits")
"""


def test_a_restarted_kernel_leaves_what_was_shown(notebook: Notebook) -> None:
    notebook.write([SHORT, "session.changes"]).open()
    notebook.run(0)
    notebook.run(1)
    notebook.restart()
    is_whole(notebook.page, notebook.output(0).locator(".transcript"), notebook.output(1).locator(".changes"))


@pytest.fixture
def offline(chromium: BrowserContext) -> Iterator[Page]:
    page = chromium.new_page()
    page.route("http*://**", lambda route: route.abort())
    yield page
    page.close()


def test_a_page_made_of_the_saved_notebook_is_whole_without_a_network(notebook: Notebook, offline: Page) -> None:
    notebook.write([SHORT, "session.changes"]).open()
    notebook.run(0)
    notebook.run(1)
    notebook.save()
    until(lambda: len(cells_with(notebook, "text/html")) == 2, "the file has the outputs", page=notebook.page)
    offline.goto(to_html(notebook).as_uri())
    is_whole(offline, offline.locator(".cnb"), offline.locator("table.diff"))


def test_a_page_made_by_executing_the_notebook_is_whole_without_a_network(notebook: Notebook, offline: Page) -> None:
    notebook.write([SHORT, "session.changes"])
    offline.goto(to_html(notebook, "--execute").as_uri())
    is_whole(offline, offline.locator(".cnb"), offline.locator("table.diff"))


def to_html(notebook: Notebook, *options: str) -> Path:
    command = [sys.executable, "-m", "nbconvert", "--to", "html", *options, str(notebook.file)]
    environment = {**notebook.server.env, "CODER_NB_REPLAY_PACE": "0"}
    done = subprocess.run(command, cwd=notebook.server.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return notebook.file.with_suffix(".html")
