"""A transcript of 10,000 entries in the browser: how soon its newest are seen, and how smoothly it grows."""

from __future__ import annotations

import asyncio
import getpass
import json
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from benchmarks import browser
from benchmarks.append import entries
from benchmarks.row import Row, p95
from benchmarks.server import Server, server
from benchmarks.turn import make_repository
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.store.base import Batch
from coder_nb.store.open import open_store
from coder_nb.store.owner import this_process
from coder_nb.testing import scripted_agent

COUNT, NEWEST = 10_000, 200
ROUNDS = 5
SECONDS, RATE = 3, 200

SEEN = """(count) => new Promise((resolve) => {
  const channel = new MessageChannel();
  const frame = () => requestAnimationFrame(() => channel.port2.postMessage(0));
  channel.port1.onmessage = () => {
    const rows = window.views[0].firstElementChild.shadowRoot.querySelectorAll('.entry').length;
    rows >= count ? resolve(performance.now() - window.mounted) : frame();
  };
  frame();
})"""
FRAMES = """(seconds) => new Promise((resolve) => {
  const at = [];
  const frame = (now) => {
    at.push(now);
    if (now - at[0] < seconds * 1000) requestAnimationFrame(frame);
    else resolve(at.slice(1).map((time, index) => time - at[index]));
  };
  requestAnimationFrame(frame);
})"""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder).resolve() / "repository")
        database = Path(folder) / "store.sqlite"
        chat = asyncio.run(_fill(database, str(repository)))
        agents = json.dumps({"scripted": scripted_agent.entry()})
        with server({"CODER_NB_DATABASE": str(database), "CODER_NB_AGENTS": agents}) as running:
            running.await_runtime()
            with browser.page(running) as page:
                return [_newest(running, page, chat), _streaming(running, page, chat)]


def _newest(running: Server, page: Page, chat: str) -> Row:
    taken = []
    for _ in range(ROUNDS):
        page.goto(running.url + "login")
        browser.show(page, running, [chat])
        taken.append(page.evaluate(SEEN, NEWEST))
    note = "from the view's being made, with its socket"
    return Row(f"the newest {NEWEST} of {COUNT:,} entries painted", statistics.median(taken), "ms", 300, note=note)


def _streaming(running: Server, page: Page, chat: str) -> Row:
    page.goto(running.url + "login")
    info = running.call("GET", f"chats/{chat}")
    session = running.call("GET", f"sessions/{info['session_id']}")
    every = [
        entry
        for first in range(0, COUNT, 1000)
        for entry in running.call("GET", f"chats/{chat}/entries?before={first + 1001}&limit=1000")["entries"]
    ]
    snapshot = {"version": 1, "chat": info, "session": session, "turn_id": None, "entries": every}
    browser.show(page, running, [chat], snapshot)
    page.evaluate(SEEN, COUNT)
    page.wait_for_timeout(1000)
    still = page.evaluate(FRAMES, SECONDS)
    prompt = {"id": new_id(), "text": f"clock {RATE * (SECONDS + 2)} {RATE}", "agent": "scripted", "mode": "bypass"}
    running.call("POST", f"chats/{chat}/prompts", prompt)
    page.wait_for_function("() => window.views[0].firstElementChild.shadowRoot.textContent.includes('w20@')")
    frames = page.evaluate(FRAMES, SECONDS)
    assert page.evaluate(SEEN, COUNT) > 0, "entries have gone"
    note = "the same page at rest"
    return Row(f"a frame while {COUNT:,} entries grow, p95", p95(frames), "ms", 17, p95(still), note=note)


async def _fill(database: Path, path: str) -> str:
    """A store with a session and a chat of that many entries."""
    store = await open_store(Settings(database=str(database)))
    try:
        lease = await store.leases.acquire(path, this_process("benchmark"), ttl=3600)
        session = await store.catalog.open_session(
            getpass.getuser(), path, name="main", new=False, session_id=new_id(), now=0
        )
        chat = await store.catalog.open_chat(session.id, name="main", new=False, chat_id=new_id(), now=0)
        for _ in range(COUNT // 1000):
            await store.log.commit(lease, chat.id, Batch(entries=entries(chat.id, 1000)))
        await store.leases.release(lease)
        return chat.id
    finally:
        await store.close()
