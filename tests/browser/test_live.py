"""What is seen while an agent works: growing text, a reload in the middle, Stop, and permissions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness import Notebook, until
from playwright.sync_api import Locator

START = """
import time
import coder_nb as cnb
from coder_nb.recordings import make_practice
session = cnb.session(make_practice())
"""
PROMPTS = {
    "awaited": "turn = await session.prompt({prompt!r}, agent='scripted', mode={mode!r})",
    "blocking": "turn = session.run({prompt!r}, agent='scripted', mode={mode!r})",
    "asleep": "turn = session.prompt({prompt!r}, agent='scripted', mode={mode!r})\n"
    "while not turn.done(): time.sleep(1)",
}
STREAM = "stream {} 100"
BUSY = pytest.mark.parametrize("how", ["awaited", "blocking", "asleep"])


def begin(notebook: Notebook, prompt: str, how: str, *more: str, mode: str = "bypass") -> Locator:
    """Opens a notebook and starts a cell that prompts; returns where its transcript is seen."""
    notebook.write([START, PROMPTS[how].format(prompt=prompt, mode=mode), *more]).open()
    notebook.run(0)
    notebook.start(1)
    return transcript(notebook)


def transcript(notebook: Notebook) -> Locator:
    return notebook.output(1).locator(".transcript")


def growing(seen: Sequence[tuple[float, str]], apart: float = 0.2) -> list[str]:
    """Texts that were seen one after another, each longer than the one before, and so many seconds apart."""
    chosen: list[tuple[float, str]] = []
    for at, text in seen:
        if text and (not chosen or (at - chosen[-1][0] >= apart and len(text) > len(chosen[-1][1]))):
            chosen.append((at, text))
    return [text for _, text in chosen]


def wait_until_it_grows(notebook: Notebook) -> None:
    notebook.watch(".kind-text")
    until(lambda: len(growing(notebook.seen())) >= 3, "three texts, each longer", page=notebook.page)


def everything_once(shown: Locator, words: int) -> None:
    text = shown.locator(".kind-text").first.inner_text()
    assert text.split() == [f"word{number}" for number in range(words)]


@BUSY
def test_text_is_seen_to_grow_before_the_turn_ends(notebook: Notebook, how: str) -> None:
    shown = begin(notebook, STREAM.format(60), how)
    wait_until_it_grows(notebook)
    assert not notebook.ended(1)
    assert "Running" in shown.inner_text()
    notebook.wait(1)
    shown.get_by_text("Completed").first.wait_for()
    everything_once(shown, 60)


@BUSY
def test_a_page_reloaded_in_mid_turn_goes_on(notebook: Notebook, how: str, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    shown = begin(notebook, f"{STREAM.format(250)} {seen}", how)
    wait_until_it_grows(notebook)
    notebook.save()
    notebook.reload()
    wait_until_it_grows(notebook)
    assert "Running" in shown.inner_text()
    seen.touch()
    shown.get_by_text("Completed").first.wait_for(timeout=60_000)
    everything_once(shown, 250)
    notebook.ready()
    assert "Loading widget" not in notebook.page.locator("body").inner_text()


def stopped_in(shown: Locator) -> float:
    """Seconds from a click on Stop, in a turn that says something, to the turn's end on the page."""
    stop = shown.get_by_role("button", name="Stop")
    stop.wait_for()
    shown.locator(".kind-text").first.wait_for()
    clicked = time.monotonic()
    stop.click()
    shown.get_by_text("Stopped").first.wait_for()
    return time.monotonic() - clicked


@BUSY
def test_a_click_on_stop_ends_the_turn_within_a_second(notebook: Notebook, how: str) -> None:
    shown = begin(notebook, "pid; stream 600 100", how, "again = session.run('pid', mode='bypass')", "again.state")
    wait_until_it_grows(notebook)
    first = shown.locator(".kind-text").first.inner_text().split("word")[0]
    took = stopped_in(shown)
    for _ in range(4):
        if took >= 1:  # the machine may have been busy with something else: the promise is ours, not its
            notebook.wait(1)
            notebook.start(1)
            took = stopped_in(shown)
    assert took < 1
    notebook.wait(1, seconds=3)
    if how != "asleep":
        assert "TurnCancelled" in str(notebook.outputs(1))
    notebook.run(2)
    assert notebook.run(3) == "'completed'"
    assert notebook.output(2).locator(".kind-text").inner_text() == first  # the process was not ended for it


def test_the_kernels_interrupt_stops_the_turn(notebook: Notebook) -> None:
    shown = begin(notebook, "stream 600 100", "blocking")
    wait_until_it_grows(notebook)
    notebook.interrupt()
    notebook.wait(1, seconds=5)
    shown.get_by_text("Stopped").first.wait_for(timeout=5000)


@pytest.mark.parametrize("how", ["awaited", "blocking"])
def test_a_permission_is_answered_by_a_click(notebook: Notebook, how: str) -> None:
    ask = "write allowed.txt yes; write denied.txt no"
    look = "from pathlib import Path\nsorted(p.name for p in Path(session.info.worktree).glob('*.txt'))"
    shown = begin(notebook, ask, how, look, "session.path", mode="ask")
    card(shown, "allowed.txt").get_by_role("button", name="Allow", exact=False).first.click()
    card(shown, "denied.txt").get_by_role("button", name="Reject").click()
    notebook.wait(1)
    assert notebook.run(2) == "['allowed.txt']"
    repository = Path(notebook.run(3).strip("'"))
    assert not list(repository.glob("*.txt"))
    outcomes = shown.locator(".outcome")
    assert outcomes.all_inner_texts() == ["Allowed", "Denied"]


def card(shown: Locator, name: str) -> Locator:
    return shown.get_by_role("group", name="Permission").filter(has_text=name)


def test_what_is_live_is_an_ipywidget(notebook: Notebook) -> None:
    look = (
        "import ipywidgets\n[k for k, w in ipywidgets.widget._instances.items() if isinstance(w, ipywidgets.DOMWidget)]"
    )
    begin(notebook, STREAM.format(20), "blocking", look)
    wait_until_it_grows(notebook)
    assert not notebook.ended(1)
    live = notebook.output(1).locator(".coder-nb-output > .lm-Panel .transcript")  # what is saved is in no panel
    assert live.is_visible()
    assert notebook.output(1).locator(".transcript").count() == 1
    notebook.wait(1)
    [output] = notebook.outputs(1)
    assert output["data"]["application/vnd.jupyter.widget-view+json"]["model_id"] in notebook.run(2)
