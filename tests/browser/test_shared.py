"""A link, as those see it who were given it: a page, and a frame in a notebook of theirs, both live."""

from __future__ import annotations

import pytest
from harness import Notebook
from playwright.sync_api import BrowserContext

START = """
import coder_nb as cnb
from coder_nb.recordings import make_practice
session = cnb.session(make_practice())
turn = session.run("say plums sk-ant-api03-canarycanarycanary", agent="scripted", mode="bypass", display=False)
share = session.main.share()
print(share.link)
"""
STREAM = "turn = session.prompt('stream 40 100', agent='scripted', mode='bypass', display=False)"


@pytest.mark.parametrize("server", ["lab"], indirect=True)
def test_a_link_shows_the_chat_live_without_its_secrets_until_it_is_revoked(
    notebook: Notebook, chromium: BrowserContext
) -> None:
    cells = [START, "link = share.link\ncnb.shared(link)", STREAM, "print(share.revoke())"]
    notebook.write(cells).open()
    link = notebook.run(0).strip()
    page = chromium.new_page()
    page.goto(f"{notebook.server.url}{link}")
    shown = page.locator(".transcript")
    shown.get_by_text("plums").first.wait_for()
    assert "canary" not in page.content()
    notebook.run(1)
    frame = notebook.output(1).locator("iframe").content_frame
    frame.get_by_text("plums").first.wait_for()
    notebook.start(2)
    shown.get_by_text("word5").first.wait_for()
    frame.get_by_text("word5").first.wait_for()
    assert "word39" not in shown.inner_text()
    for name in ("Stop", "Apply", "Reject", "Send"):
        assert (
            shown.get_by_role("button", name=name).count() == 0
            or shown.get_by_role("button", name=name).first.is_hidden()
        )
    shown.get_by_text("word39").first.wait_for()
    assert notebook.run(3).strip() == "True"
    page.get_by_text("This link leads nowhere").first.wait_for()
    assert link.rpartition("#")[2] not in notebook.server.log.read_text()
    page.close()
