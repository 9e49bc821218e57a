"""The panel of warm agents, in a real page: a scripted kernel says what lives, and notes what is asked of it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

expect.set_options(timeout=30_000)  # it is asked anew every two seconds, on a machine that may be busy
GOOSE = "01jd0000000000000000000001.goose"


@pytest.fixture
def panel(page: Page, address: str) -> Locator:
    """The panel over `gallery.POOL`; the script's model stays as `window.model`."""
    page.goto(f"{address}?theme=light&blank")
    page.wait_for_selector("body[data-ready]")
    page.evaluate(
        """() => {
        const replies = { pool: gallery.POOL, log: gallery.LOG };
        const refuse = "It cannot be started: install it.";
        window.model = gallery.live("x", { view: "pool", snapshot: { pool: gallery.POOL } }, { replies, refuse });
        window.model.refuse = false;
    }"""
    )
    shown = page.locator(".coder-nb-view .pool")
    expect(shown.get_by_role("button", name="Log of goose")).to_be_enabled()
    return shown


def agent(panel: Locator, name: str) -> Locator:
    return panel.locator(".agent").filter(has_text=name)


def posted(page: Page) -> list[str]:
    asked: list[str] = page.evaluate("() => model.sent.filter((m) => m.method === 'POST').map((m) => m.route)")
    return asked


def answer(page: Page, script: str) -> None:
    """Changes what the kernel answers from now on."""
    page.evaluate(script)


def test_each_agent_says_its_state_its_figures_and_why(panel: Locator) -> None:
    expect(panel.locator(".agent")).to_have_count(5)
    expect(panel.locator(".bar")).to_contain_text("5 agents · 2.2 GiB")
    server = panel.locator(".agent").first
    expect(server).to_contain_text("A server for 3 chats")
    expect(server.locator(".facts")).to_contain_text("812 MiB · process 4101")
    goose = agent(panel, "goose")
    expect(goose.locator(".state")).to_have_text("waits to start")
    expect(goose.locator(".why")).to_contain_text(
        "Started again 3 times: goose stopped working: it ended with exit code 137"
    )
    expect(goose.locator(".why")).to_contain_text("It is started again in")
    expect(agent(panel, "Qwen").locator(".state")).to_have_text("does not answer")
    expect(agent(panel, "Codex").locator(".why")).to_contain_text("only a prompt starts it")


def test_a_busy_agent_is_neither_ended_nor_restarted(panel: Locator, page: Page) -> None:
    busy = panel.locator(".agent").nth(1)
    end = busy.get_by_role("button", name="End opencode")
    expect(end).to_have_attribute("aria-disabled", "true")
    expect(end).to_have_attribute("title", "It has a turn, or is being started: wait, or stop the turn first")
    end.click(force=True)
    busy.get_by_role("button", name="Restart opencode").click(force=True)
    assert posted(page) == []


def test_the_keyboard_alone_opens_a_log_and_ends_an_agent(panel: Locator, page: Page) -> None:
    goose = agent(panel, "goose")
    log = goose.get_by_role("button", name="Log of goose")
    log.focus()
    page.keyboard.press("Enter")
    expect(log).to_have_attribute("aria-expanded", "true")
    expect(goose.locator(".agent-log")).to_contain_text("agent_crashed")
    expect(goose.locator(".agent-log pre")).to_contain_text("TypeError: cannot read properties")
    page.keyboard.press("Escape")
    expect(goose.locator(".agent-log")).to_be_hidden()
    expect(log).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(goose.get_by_role("button", name="End goose")).to_be_focused()
    page.keyboard.press("Space")
    expect(panel.get_by_role("status")).to_have_text("goose was ended: its next prompt goes on where it was.")
    assert posted(page) == [f"pool/{GOOSE}/evict"]


def test_what_comes_keeps_the_focus_and_who_is_gone_goes(panel: Locator, page: Page) -> None:
    restart = agent(panel, "Qwen").get_by_role("button", name="Restart Qwen Code")
    restart.focus()
    answer(
        page,
        "() => { model.replies.pool = gallery.POOL.slice(2, 4).map((one) => ({ ...one, state: 'idle' })); }",
    )
    expect(panel.locator(".agent")).to_have_count(2)
    expect(agent(panel, "Qwen").locator(".state")).to_have_text("idle")
    expect(restart).to_be_focused()
    answer(page, "() => { model.replies.pool = []; }")
    expect(panel.get_by_text("No agent is warm. The next prompt starts one.")).to_be_visible()


def test_the_focus_of_who_is_gone_goes_to_the_next_one_and_then_to_the_panel(panel: Locator, page: Page) -> None:
    agent(panel, "Qwen").get_by_role("button", name="Restart Qwen Code").focus()
    answer(page, "() => { model.replies.pool = gallery.POOL.slice(0, 1); }")
    expect(panel.locator(".agent")).to_have_count(1)
    expect(panel.locator(".agent").get_by_role("button").first).to_be_focused()
    answer(page, "() => { model.replies.pool = []; }")
    expect(panel).to_be_focused()


def test_a_log_that_is_read_stays_when_its_agent_is_gone(panel: Locator, page: Page) -> None:
    agent(panel, "Codex").get_by_role("button", name="Log of Codex").click()
    answer(page, "() => { model.replies.pool = []; }")
    expect(panel.locator(".agent")).to_have_count(1)
    expect(panel.locator(".agent .state")).to_have_text("ended")
    expect(panel.get_by_role("button", name="Restart Codex")).to_be_disabled()
    expect(panel.locator(".agent-log")).to_contain_text("agent_started")


def test_what_is_refused_is_said_with_its_cure(panel: Locator, page: Page) -> None:
    answer(page, "() => { model.refuse = 'It cannot be started: install it.'; }")
    agent(panel, "Codex").get_by_role("button", name="Restart Codex").click()
    said = panel.get_by_role("status")
    expect(said).to_have_text("It cannot be started: install it.")
    expect(said).to_have_class("hint said bad")


def test_words_of_an_agent_bring_no_markup_and_hide_nothing(panel: Locator, page: Page) -> None:
    answer(
        page,
        """() => {
        const title = "<img src=x onerror='window.hacked=1'>";
        model.replies.pool = [{ ...gallery.POOL[2], title, why: "<b>it</b>\\u202e ended" }];
    }""",
    )
    expect(panel.locator(".agent")).to_have_count(1)
    expect(panel.locator(".about")).to_have_text("<img src=x onerror='window.hacked=1'>")
    expect(panel.locator(".why .codepoint")).to_have_text("U+202E")
    hacked: Any = page.evaluate("() => window.hacked")
    assert hacked is None
