"""From an agent's line to the browser's screen: a real server, a real agent process, a real Chromium.

The agent says with each word when it said it; the page notes when the frame that has it was painted. The share of the
agent's own start is left out by a first turn.
"""

from __future__ import annotations

import json
import statistics
import time

from playwright.sync_api import Page

from benchmarks import browser
from benchmarks.row import Row, p95
from benchmarks.server import Server, server
from benchmarks.turn import make_repository
from coder_nb.ids import new_id
from coder_nb.testing import scripted_agent

LOADS = ((1, 200, 80.0), (1, 2000, 100.0), (20, 200, 150.0))
"""Sessions, words a second in each, and the target in milliseconds."""
SECONDS = 4
PATIENCE = 40.0
TICK = 50


def measure() -> list[Row]:
    agents = json.dumps({"scripted": scripted_agent.entry()})
    settings = {"CODER_NB_AGENTS": agents, "CODER_NB_MAX_RUNNING": "20", "CODER_NB_MAX_LIVE": "20"}
    with server(settings) as running, browser.page(running) as page:
        repository = make_repository(running.home / "repository")
        sessions = max(count for count, _, _ in LOADS)
        chats = [_chat(running, str(repository), f"session {number}") for number in range(sessions)]
        for chat in chats:
            _prompt(running, chat, "say ready")
        _until_idle(running, chats)
        return [_row(running, page, chats[:count], rate, target) for count, rate, target in LOADS]


def _row(running: Server, page: Page, chats: list[str], rate: int, target: float) -> Row:
    words = rate * SECONDS
    browser.show(page, running, chats)
    page.evaluate(browser.PAINTED)
    worked = running.cpu()
    for chat in chats:
        _prompt(running, chat, f"clock {words} {rate}")
    deadline = time.monotonic() + PATIENCE
    while not (done := page.evaluate(f"() => window.last.every((last) => last === {words - 1})")):
        if time.monotonic() > deadline:
            break
        page.wait_for_timeout(TICK)
    late = page.evaluate("() => window.late")
    _until_idle(running, chats)
    page.wait_for_timeout(500)
    lossless = done and all(seen[-words:] == list(range(words)) for seen in page.evaluate(browser.WORDS))
    many = "1 session" if len(chats) == 1 else f"{len(chats)} sessions"
    each = (running.cpu() - worked) / (words * len(chats)) * 1e6
    seen = f"{'lossless' if lossless else 'WORDS ARE MISSING'}; the server's CPU {each:.0f} µs a word"
    note = f"median {statistics.median(late):.0f} ms; {seen}"
    return Row(f"line to paint, p95, {many} at {rate:,}/s", p95(late), "ms", target, note=note)


def _chat(running: Server, path: str, name: str) -> str:
    session = running.call("POST", "sessions", {"path": path, "name": name})
    return str(running.call("POST", f"sessions/{session['id']}/chats", {})["id"])


def _prompt(running: Server, chat: str, text: str) -> None:
    body = {"id": new_id(), "text": text, "agent": "scripted", "mode": "bypass"}
    running.call("POST", f"chats/{chat}/prompts", body)


def _until_idle(running: Server, chats: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    for chat in chats:
        while (info := running.call("GET", f"chats/{chat}")).get("run_status") == "running" or info.get("queued"):
            assert time.monotonic() < deadline, "a turn does not end"
            time.sleep(0.1)
