"""Going back to a checkpoint and closing a chat, in a real page: both ask before anything is taken away."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

SAID = """[
  gallery.entry({ kind: 'checkpoint', commit: 'c0' }, { turn_id: 't1' }),
  gallery.entry({ kind: 'user_message', text: 'Fix it', prompt_id: 'p1' }, { turn_id: 't1' }),
  gallery.entry({ kind: 'user_message', text: 'And be quick' }, { turn_id: 't1' }),
  gallery.entry({ kind: 'text', text: 'Done.' }, { turn_id: 't1' }),
  gallery.entry({ kind: 'turn_ended', end: 'completed' }, { turn_id: 't1' }),
]"""
KEPT = "{ checkpoints: [{ id: 't1', chat_id: 'x', commit: 'c0' }], restore: { undo: 'r1' } }"
RISK = "{ session_id: 'ses00001', at_risk: true, dirty: ['a.py', 'b c.py'], detached: 1 }"


def live(page: Page, script: str = "", traits: str = "") -> Locator:
    shown = f"{{ view: 'transcript', {traits} }}, {{ entries: {SAID}, {script} }}"
    page.evaluate(f"() => {{ window.model = gallery.live('x', {shown}); }}")
    view = page.locator(".coder-nb-view")
    view.get_by_text("Done.").wait_for()
    return view


def posted(page: Page, count: int = 1) -> list[tuple[str, Any]]:
    """What the view has asked for that changes something, once there is so much of it."""
    mine = "model.sent.filter((m) => m.op === 'call' && m.method === 'POST' && !m.route.endsWith('attend'))"
    page.wait_for_function(f"(count) => {mine}.length >= count", arg=count)
    return [(route.rsplit("/", 1)[-1], body) for route, body in page.evaluate(f"{mine}.map((m) => [m.route, m.body])")]


def test_going_back_asks_what_is_to_come_back(blank: Page) -> None:
    view = live(blank, f"replies: {KEPT}")
    expect(view.get_by_role("button", name="Restore")).to_have_count(1)  # what was said to the running turn has none
    view.get_by_role("button", name="Restore").click()
    card = view.get_by_role("group", name="Restore the state from before this prompt?")
    expect(card).to_be_focused()
    go = card.get_by_role("button", name="Restore")
    card.get_by_label("Conversation").uncheck()
    card.get_by_label("Files").uncheck()
    expect(go).to_be_disabled()
    card.get_by_label("Files").check()
    go.click()
    assert posted(blank) == [("restore", {"turn_id": "t1", "files": True, "conversation": False})]
    expect(card).to_be_hidden()


def test_whoever_thinks_better_of_it_has_lost_nothing(blank: Page) -> None:
    view = live(blank, f"replies: {KEPT}")
    view.get_by_role("button", name="Restore").click()
    card = view.get_by_role("group", name="Restore the state")
    card.get_by_role("button", name="Cancel").click()
    expect(card).to_be_hidden()
    view.get_by_role("button", name="Restore").click()
    expect(card).to_be_focused()
    blank.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(view.get_by_role("button", name="Restore")).to_be_focused()
    view.get_by_role("button", name="Close").click()
    view.get_by_role("group", name="Close this chat?").get_by_role("button", name="Cancel").click()
    assert posted(blank, 0) == []


def test_files_that_are_no_longer_kept_are_not_promised(blank: Page) -> None:
    view = live(blank, "replies: { checkpoints: [{ id: 't1', chat_id: 'x', commit: 'c0', files: false }] }")
    view.get_by_role("button", name="Restore").click()
    card = view.get_by_role("group", name="Restore the state")
    expect(card.get_by_label("Files: this state of them is no longer kept")).to_be_disabled()
    card.get_by_role("button", name="Restore").click()
    assert posted(blank) == [("restore", {"turn_id": "t1", "files": False, "conversation": True})]


def test_a_restore_is_undone_where_it_stands_and_what_went_wrong_is_said_there(blank: Page) -> None:
    undo = "gallery.entry({ kind: 'checkpoint', commit: 'c1' }, { id: 'r1', turn_id: null })"
    refuse = "refuse: { restore: [{ code: 'conflict', message: 'An agent is working here: stop it.' }] }"
    kept = "{ checkpoints: [{ id: 'r1', chat_id: 'x', commit: 'c1' }] }"
    view = live(blank, f"replies: {kept}, {refuse}")
    blank.evaluate(
        f"model.emit({{ op: 'frames', seq: 1, frames: [{{ type: 'page', page: {{ entries: [{undo}], rev: 999 }} }}] }})"
    )
    row = view.locator(".kind-checkpoint")
    expect(row).to_contain_text("The files went back to an earlier state.")
    row.get_by_role("button", name="Undo").click()
    card = row.get_by_role("group", name="Undo this restore")
    card.get_by_role("button", name="Restore").click()
    expect(card.get_by_role("alert")).to_have_text("An agent is working here: stop it.")
    card.get_by_role("button", name="Restore").click()
    assert posted(blank, 2)[1] == ("restore", {"turn_id": "r1", "files": True, "conversation": True})


@pytest.mark.parametrize(
    "script",
    ["chat: { run_status: 'running', turn_id: 't1' }", "may_execute: false"],
    ids=["while an agent works", "for who may only look"],
)
def test_there_are_no_such_buttons(blank: Page, script: str) -> None:
    view = live(blank, script)
    expect(view.get_by_role("button", name="Restore")).to_be_hidden()
    expect(view.get_by_role("button", name="Close")).to_be_hidden()


def test_a_turn_alone_has_neither_button(blank: Page) -> None:
    view = live(blank, traits="turn_id: 't1'")
    expect(view.get_by_role("button", name="Restore")).to_have_count(0)
    expect(view.get_by_role("button", name="Close")).to_have_count(0)


def test_closing_names_what_would_be_lost_and_offers_to_keep_it(blank: Page) -> None:
    refused = f"{{ code: 'at_risk', message: 'This would be lost', details: {RISK} }}"
    view = live(blank, f"refuse: {{ close: [{refused}] }}, replies: {{ branch: {{ session_id: 's' }} }}")
    view.get_by_role("button", name="Close").click()
    view.get_by_role("button", name="Close chat").click()
    card = view.get_by_role("group", name="This would be lost with the worktree")
    assert card.get_by_role("listitem").all_inner_texts() == ["2 changed files: a.py, b c.py", "1 commit on no branch"]
    card.get_by_label("Name of the branch").fill("my-work")
    card.get_by_role("button", name="Keep as this branch").click()
    routes = posted(blank, 3)
    assert routes == [("close", {"force": False}), ("branch", {"name": "my-work"}), ("close", {"force": False})]
    expect(card).to_be_hidden()


def test_work_is_lost_only_by_a_button_that_says_so(blank: Page) -> None:
    refused = f"{{ code: 'at_risk', message: 'This would be lost', details: {RISK} }}"
    view = live(blank, f"refuse: {{ close: [{refused}] }}, replies: {{ stash: {RISK} }}")
    view.get_by_role("button", name="Close").click()
    view.get_by_role("button", name="Close chat").click()
    view.get_by_role("button", name="Keep in git's stash").click()
    assert posted(blank, 2)[1] == ("stash", {})
    view.get_by_role("button", name="Close and lose it").click()  # as the stash did not hold all of it
    assert posted(blank, 3)[2] == ("close", {"force": True})
    expect(view.locator(".panel > .asks")).to_be_hidden()
