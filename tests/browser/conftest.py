"""Jupyter servers and a Chromium that the tests of this folder share."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode finds no modules beside a test
from harness import CHROMIUM_ARGS, ROOT, Notebook, Server, jupyter, new_notebook

from coder_nb.testing import scripted_agent

RESULTS = ROOT / "test-results"
SETTINGS = {"CODER_NB_REPLAY_PACE": "4", "CODER_NB_CANCEL_GRACE": "30"}


LAB_ALONE = ("test_going", "test_panels", "test_pool", "test_rules")
"""Modules about views, which are the same code in both front ends: in Notebook they run in the long tier."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out of Notebook what Lab has shown of the same code, and all but one way to wait for a turn."""
    if os.environ.get("CODER_NB_TEST_LONG"):
        return
    left = [item for item in items if in_the_long_tier(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def in_the_long_tier(item: pytest.Item) -> bool:
    """Whether a test is one that only the long tier runs."""
    chosen = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    if item.path.parent != Path(__file__).parent or chosen.get("server") != "notebook":
        return False
    return item.path.stem in LAB_ALONE or chosen.get("how", "blocking") != "blocking"


@pytest.fixture(scope="session", params=["lab", "notebook"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Jupyter server of each kind, with the extension."""
    agents = {"CODER_NB_AGENTS": json.dumps({"scripted": scripted_agent.entry()})}
    with jupyter(request.param, tmp_path_factory.mktemp(request.param), **SETTINGS, **agents) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A Chromium with an empty profile. Of the module, since Playwright's loop runs as long as it does."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        reason = "there is no Chromium on the PATH: install one (on Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=program,
            args=list(CHROMIUM_ARGS),
            viewport={"width": 1280, "height": 900},
        )
        yield context
        context.close()


@pytest.fixture
def notebook(request: pytest.FixtureRequest, server: Server, chromium: BrowserContext) -> Iterator[Notebook]:
    """A notebook for one test; what was to be seen is kept where the test fails."""
    made = new_notebook(server, chromium, re.sub(r"\W+", "-", request.node.originalname.removeprefix("test_"))[:60])
    began = server.log.stat().st_size
    yield made
    if request.node.stash.get(FAILED, False):
        keep(made, RESULTS / re.sub(r"[^\w\[\]-]+", "-", request.node.name)[:120], began)
    made.close()
    made.page.close()


def keep(notebook: Notebook, folder: Path, began: int) -> None:
    """Saves a picture of the page, its console, and what the server has said since."""
    folder.mkdir(parents=True, exist_ok=True)
    notebook.page.screenshot(path=folder / "page.png")
    (folder / "console.txt").write_text("\n".join(notebook.console))
    (folder / "server.txt").write_bytes(notebook.server.log.read_bytes()[began:])


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report
