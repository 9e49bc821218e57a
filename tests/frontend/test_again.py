"""A turn that failed or was interrupted is tried again by one click, in a real page."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect


def live(page: Page, end: str, chat: str = "{}", more: str = "") -> Locator:
    how = "model: 'm1', mode: 'plan', effort: 'high'"
    entries = f"""[
      gallery.entry({{ kind: 'turn_started', agent: 'goose', {how} }}, {{ turn_id: 't1' }}),
      gallery.entry({{ kind: 'user_message', text: 'Fix it', prompt_id: 'p1' }}, {{ turn_id: 't1' }}),
      gallery.entry({{ kind: 'turn_ended', end: '{end}', message: 'It is over.' }}, {{ turn_id: 't1' }}), {more}
    ]"""
    told = f"{{ chat: {chat}, entries: {entries} }}"
    page.evaluate(f"() => {{ window.model = gallery.live('x', {{ view: 'transcript' }}, {told}); }}")
    view = page.locator(".coder-nb-view")
    view.get_by_text("Fix it").wait_for()
    return view


def posted(page: Page, count: int) -> list[tuple[str, Any]]:
    """What the view has asked for that changes something, once there is so much of it."""
    mine = "model.sent.filter((m) => m.op === 'call' && /prompts|go-on/.test(m.route))"
    page.wait_for_function(f"(count) => {mine}.length >= count", arg=count)
    return [(route.rsplit("/", 1)[-1], body) for route, body in page.evaluate(f"{mine}.map((m) => [m.route, m.body])")]


@pytest.mark.parametrize("end", ["failed", "interrupted"])
def test_the_prompt_is_sent_again_as_it_was(blank: Page, end: str) -> None:
    view = live(blank, end)
    view.get_by_role("button", name="Try again").click()
    ((route, body),) = posted(blank, 1)
    assert route == "prompts"
    assert len(body.pop("id")) == 26
    how = {"agent": "goose", "model": "m1", "mode": "plan", "effort": "high"}
    assert body == {"text": "Fix it", "attachments": [], **how}


def test_a_queue_that_is_held_goes_on_with_it(blank: Page) -> None:
    view = live(blank, "interrupted", chat="{ held: true, queued: [{ id: 'q1', text: 'more' }] }")
    view.get_by_role("button", name="Try again").click()
    assert [route for route, _ in posted(blank, 2)] == ["prompts", "go-on"]


LATER = """
gallery.entry({ kind: 'turn_started', agent: 'goose' }, { turn_id: 't2' }),
gallery.entry({ kind: 'user_message', text: 'Another', prompt_id: 'p2' }, { turn_id: 't2' }),
gallery.entry({ kind: 'turn_ended', end: 'completed' }, { turn_id: 't2' })
"""


@pytest.mark.parametrize(("end", "more"), [("completed", ""), ("cancelled", ""), ("failed", LATER)])
def test_there_is_nothing_to_try_again_where_it_went_well_or_was_stopped_or_is_past(
    blank: Page, end: str, more: str
) -> None:
    view = live(blank, end, more=more)
    expect(view.locator(".turn-end").first).to_be_visible()
    expect(view.get_by_role("button", name="Try again")).to_have_count(0)
