"""A page of a Jupyter server in Chromium that shows chats by the widgets' own module, and what is seen in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.server import TOKEN, Server

ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")

SHOW = """async ({ chats, runtime, token, snapshot }) => {
  document.body.replaceChildren();
  document.body.style = 'display: grid; grid-template-columns: 1fr 1fr 1fr 1fr; gap: 4px';
  const config = document.createElement('script');
  config.id = 'jupyter-config-data';
  config.type = 'application/json';
  config.textContent = JSON.stringify({ baseUrl: '/', token });
  document.getElementById(config.id)?.remove();
  document.head.append(config);
  const { default: widget } = await import('/static/jupyter_extension/coder.js');
  window.mounted = performance.now();
  window.views = chats.map((id) => {
    const el = document.createElement('div');
    document.body.append(el);
    const traits = { view: 'transcript', chat_id: id, turn_id: '', runtime_id: runtime, options: {}, snapshot };
    widget.render({ model: { get: (name) => traits[name], on() {}, off() {}, send() {} }, el });
    return el;
  });
}"""

PAINTED = """() => {
  // A message that is posted in a frame arrives when that frame has been painted.
  const channel = new MessageChannel();
  const frame = () => requestAnimationFrame(() => channel.port2.postMessage(0));
  const mine = (window.painting = (window.painting ?? 0) + 1);
  window.late = [];
  window.last = window.views.map(() => -1);
  const since = Date.now();
  const fresh = (view, known) => {
    const found = [];
    for (const text of [...view.querySelectorAll('.kind-text')].reverse()) {
      const blocks = [...text.children].flatMap((one) => one.matches('.markdown-tail') ? [...one.children] : [one]);
      for (const block of blocks.reverse()) {
        const words = [...block.textContent.matchAll(/w(\\d+)@(\\d+)/g)];
        found.push(...words.filter((word) => Number(word[1]) > known && Number(word[2]) >= since));
        if (words.length && (Number(words[0][1]) <= known || Number(words[0][2]) < since)) return found;
      }
    }
    return found;
  };
  channel.port1.onmessage = () => {
    if (window.painting !== mine) return;
    const now = Date.now();
    window.views.forEach((view, index) => {
      const root = view.firstElementChild?.shadowRoot;
      if (!root) return;
      const words = fresh(root, window.last[index]);
      for (const word of words) {
        window.late.push(now - Number(word[2]));
        window.last[index] = Math.max(window.last[index], Number(word[1]));
      }
    });
    frame();
  };
  frame();
}"""

WORDS = """() => window.views.map((view) => [...view.firstElementChild.shadowRoot.querySelectorAll('.kind-text')]
  .flatMap((text) => [...text.textContent.matchAll(/w(\\d+)@/g)].map((word) => Number(word[1]))))"""


@contextmanager
def page(running: Server) -> Iterator[Page]:
    """An empty page on the server's origin."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program is not None, "there is no Chromium on the PATH: install one (on Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            made = chromium.new_page(viewport={"width": 1600, "height": 1000})
            made.goto(running.url + "login")
            yield made
        finally:
            chromium.close()


def show(where: Page, running: Server, chats: Sequence[str], snapshot: Any = None) -> None:
    """Shows the transcripts of chats, live."""
    runtime = running.call("GET", "health")["runtime_id"]
    given = {"chats": list(chats), "runtime": runtime, "token": TOKEN, "snapshot": snapshot or {}}
    where.evaluate(SHOW, given)
