"""A server without our extension: the runtime is in the kernel, and the page speaks with it by comm messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from harness import Notebook, Server, jupyter, until

from coder_nb.testing import scripted_agent

START = """
import coder_nb as cnb
from coder_nb.recordings import make_practice
session = cnb.session(make_practice())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    agents = json.dumps({"scripted": scripted_agent.entry()})
    with jupyter("lab", tmp_path_factory.mktemp("bare"), extension=False, CODER_NB_AGENTS=agents) as running:
        yield running


@pytest.mark.parametrize("wait", ["await turn", "turn.wait()"])
def test_a_turn_is_seen_answered_and_stopped_through_the_kernel(notebook: Notebook, wait: str) -> None:
    prompt = "turn = session.prompt('ask May I; stream 600 50', agent='scripted')\n"
    notebook.write([START, prompt + wait, "turn.state"]).open()
    notebook.run(0)
    notebook.start(1)
    shown = notebook.output(1).locator(".transcript")
    shown.get_by_role("group", name="Permission").get_by_role("button", name="Allow").first.click()
    shown.locator(".outcome").get_by_text("Allowed").wait_for()
    notebook.watch(".kind-text")
    until(lambda: len({text for _, text in notebook.seen()}) > 5, "text that grows", page=notebook.page)
    assert not notebook.ended(1)
    shown.get_by_role("button", name="Stop").click()
    shown.get_by_text("Stopped").first.wait_for(timeout=5000)
    notebook.wait(1, seconds=5)
    assert notebook.run(2) == "'cancelled'"
