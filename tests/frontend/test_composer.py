"""The composer in a real page: what the next prompt asks of its agent, what goes with it, and who remembers what."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from support.gallery import calls, live

KNOWN = "{ view: 'composer' }, { replies: { offers: gallery.OFFERS } }"
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def sent(page: Page, view: Locator, text: str = "Go on.") -> dict[str, Any]:
    """What goes out when a prompt is sent by the keyboard."""
    box = view.get_by_role("textbox")
    box.fill(text)
    box.press("Control+Enter")
    expect(box).to_have_value("")
    body: dict[str, Any] = calls(page, "/prompts")[-1]["body"]
    return body


def attach(view: Locator, *files: tuple[str, str, bytes]) -> None:
    view.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": kind, "buffer": data} for name, kind, data in files]
    )


def choose(view: Locator, name: str, value: str) -> None:
    view.get_by_role("combobox", name=name, exact=True).select_option(value)


# How the agent works --------------------------------------------------------------------------------------------------


def test_a_prompt_asks_for_the_model_the_effort_and_the_mode_that_were_picked(blank: Page) -> None:
    view = live(blank, KNOWN)
    choose(view, "Model", "openai/gpt-5.6")
    choose(view, "How much the agent thinks", "high")
    choose(view, "What the agent may do by itself", "plan")
    body = sent(blank, view)
    assert (body["agent"], body["model"]) == ("opencode", "openai/gpt-5.6")
    assert (body["effort"], body["mode"]) == ("high", "plan")
    assert "attachments" not in body


def test_what_is_not_picked_is_left_to_the_agent(blank: Page) -> None:
    body = sent(blank, live(blank, KNOWN))
    assert {"model", "effort"}.isdisjoint(body)


def test_only_what_an_agent_publishes_is_offered_and_its_picks_are_kept_for_it(blank: Page) -> None:
    view = live(blank, KNOWN)
    effort = view.get_by_role("combobox", name="How much the agent thinks")
    expect(effort.get_by_role("option")).to_have_text(["Default effort", "Low effort", "High effort"])
    choose(view, "Model", "zai/glm-4.7-air")
    expect(effort).to_be_hidden()
    choose(view, "Agent", "goose")
    expect(view.get_by_role("combobox", name="Model")).to_be_hidden()
    expect(view.get_by_role("option", name="Bypass (not allowed here)")).to_be_disabled()
    choose(view, "Agent", "opencode")
    expect(view.get_by_role("combobox", name="Model")).to_have_value("zai/glm-4.7-air")


def test_a_mode_that_the_administrator_does_not_allow_is_given_up_for_one_that_is(blank: Page) -> None:
    view = live(blank, KNOWN)
    choose(view, "What the agent may do by itself", "bypass")
    choose(view, "Agent", "goose")
    assert sent(blank, view)["mode"] == "accept_edits"


# What the agents remember ---------------------------------------------------------------------------------------------


def test_chips_say_what_the_next_prompt_does_with_each_agents_memory_and_choose_it(blank: Page) -> None:
    view = live(blank, KNOWN)
    chips = view.get_by_role("group", name="What the agents remember of this chat").get_by_role("button")
    expect(chips).to_have_text(["opencode: resumed", "goose: history"])
    says = view.locator(".memory").get_by_role("status")
    expect(says).to_have_text("opencode goes on with its own memory, and is told first what others said and did since.")
    chips.nth(1).focus()
    blank.keyboard.press("Enter")
    expect(says).to_have_text("goose has lost its own memory, and is told the conversation so far.")
    expect(chips.nth(1)).to_have_attribute("aria-pressed", "true")
    assert sent(blank, view)["agent"] == "goose"


def test_an_agent_that_has_not_spoken_shows_when_it_is_chosen(blank: Page) -> None:
    offers = "gallery.OFFERS.map((o) => o.agent === 'goose' ? { ...o, memory: 'new' } : o)"
    view = live(blank, f"{{ view: 'composer' }}, {{ replies: {{ offers: {offers} }} }}")
    chips = view.locator(".chip")
    expect(chips).to_have_text(["opencode: resumed"])
    choose(view, "Agent", "goose")
    expect(chips).to_have_text(["opencode: resumed", "goose: new"])
    told = "goose has not spoken here yet, and is told the conversation so far."
    expect(view.locator(".memory")).to_contain_text(told)


def test_a_fresh_chat_has_no_chips(blank: Page) -> None:
    offers = "gallery.OFFERS.map((o) => ({ ...o, memory: 'new', told: false }))"
    view = live(blank, f"{{ view: 'composer' }}, {{ replies: {{ offers: {offers} }} }}")
    expect(view.get_by_role("combobox", name="Model")).to_be_visible()
    expect(view.locator(".memory")).to_be_hidden()


def test_what_agents_remember_is_asked_again_at_each_turns_end(blank: Page) -> None:
    live(blank, KNOWN)
    blank.wait_for_function("() => model.sent.filter((m) => m.route?.endsWith('/offers')).length === 1")
    tell = "([seq, chat]) => model.emit({ op: 'frames', seq, frames: [{ type: 'state', chat }] })"
    chat = {"id": "x", "session_id": "s", "run_status": "running", "turn_id": "t", "rev": 5}
    blank.evaluate(tell, [1, chat])
    blank.evaluate(tell, [2, chat | {"run_status": "idle", "turn_id": None, "rev": 9}])
    blank.wait_for_function("() => model.sent.filter((m) => m.route?.endsWith('/offers')).length === 2")


# What goes with a prompt ----------------------------------------------------------------------------------------------


def test_files_and_pictures_go_with_the_prompt_once(blank: Page) -> None:
    view = live(blank, KNOWN)
    attach(view, ("plot.png", "image/png", DOT), ("notes.md", "text/markdown", "Grüße".encode()))
    expect(view.get_by_role("list", name="Files that go with the prompt").get_by_role("listitem")).to_have_count(2)
    first, second = sent(blank, view)["attachments"]
    assert first == {"name": "plot.png", "mime_type": "image/png", "data": base64.b64encode(DOT).decode()}
    assert (second["name"], second["mime_type"]) == ("notes.md", "text/plain")
    assert base64.b64decode(second["data"]).decode() == "Grüße"
    expect(view.locator(".attached")).to_be_hidden()
    assert "attachments" not in sent(blank, view)


def test_a_picture_that_went_with_a_prompt_can_be_seen_however_small_it_is(blank: Page) -> None:
    file = f"{{ name: 'dot.png', mime_type: 'image/png', data: '{base64.b64encode(DOT).decode()}' }}"
    entry = f"gallery.entry({{ kind: 'user_message', text: 'Look.', attachments: [{file}] }})"
    view = live(blank, f"{{}}, {{ entries: [{entry}] }}")
    box = view.get_by_role("img", name="dot.png").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 48


def test_a_prompt_that_failed_keeps_its_files(blank: Page) -> None:
    view = live(blank, f"{KNOWN[:-1]}, refuse: 'The queue is full. Wait for a turn to end.' }}")
    attach(view, ("plot.png", "image/png", DOT))
    view.get_by_role("textbox").fill("Look.")
    view.get_by_role("button", name="Send").click()
    expect(view.get_by_role("alert")).to_contain_text("The queue is full.")
    expect(view.locator(".attached li")).to_have_count(1)
    blank.evaluate("() => { model.refuse = ''; }")
    view.get_by_role("textbox").press("Control+Enter")
    expect(view.locator(".attached")).to_be_hidden()
    assert calls(blank, "/prompts")[0]["body"] == calls(blank, "/prompts")[1]["body"]


PASTE = """([text, name, type, data]) => {
  const carried = new DataTransfer();
  if (text) carried.setData('text/plain', text);
  carried.items.add(new File([Uint8Array.from(data)], name, { type }));
  const box = document.querySelector('.coder-nb-view').shadowRoot.querySelector('textarea');
  return box.dispatchEvent(new ClipboardEvent('paste', { clipboardData: carried, bubbles: true, cancelable: true }));
}"""


def test_a_picture_is_pasted_and_text_that_brings_a_picture_along_stays_text(blank: Page) -> None:
    view = live(blank, KNOWN)
    expect(view.get_by_role("combobox", name="Model")).to_be_visible()
    assert blank.evaluate(PASTE, ["some cells", "a.png", "image/png", list(DOT)]) is True, "the box takes the text"
    assert blank.evaluate(PASTE, ["", "image.png", "image/png", list(DOT)]) is False
    expect(view.locator(".attached li")).to_have_text(["image.png70 bytes"])


def test_what_is_dropped_is_taken_and_shown_where_it_may_be_dropped(blank: Page) -> None:
    view = live(blank, KNOWN)
    expect(view.get_by_role("combobox", name="Model")).to_be_visible()
    over = """() => {
      const carried = new DataTransfer();
      carried.items.add(new File(['x'], 'a.txt'));
      const box = document.querySelector('.coder-nb-view').shadowRoot.querySelector('.composer-box');
      return !box.dispatchEvent(new DragEvent('dragover', { dataTransfer: carried, bubbles: true, cancelable: true }));
    }"""
    assert blank.evaluate(over) is True
    expect(view.locator(".composer-box")).to_have_class("composer-box dropping")
    blank.evaluate("() => gallery.attach(model.root, [new File(['a,b'], 'a.csv'), new File(['c'], 'c.txt')])")
    expect(view.locator(".attached-name")).to_have_text(["a.csv", "c.txt"])
    expect(view.locator(".composer-box")).to_have_class("composer-box")


@pytest.mark.parametrize(
    ("name", "kind", "data", "why"),
    [
        ("empty.txt", "text/plain", b"", "empty.txt is empty, or a folder."),
        ("photo.heic", "image/heic", b"x", "Save it as PNG or JPEG."),
        ("table.parquet", "", b"PAR1\x00\xff\xfe", "neither text nor a PDF nor a picture. Put it into the project"),
        ("big.txt", "text/plain", b"x" * 5_000_001, "a prompt may carry 5.0 MB, and this would be 5.0 MB."),
    ],
)
def test_what_cannot_go_along_is_refused_with_the_reason_and_the_cure(
    blank: Page, name: str, kind: str, data: bytes, why: str
) -> None:
    view = live(blank, KNOWN)
    expect(view.get_by_role("combobox", name="Model")).to_be_visible()
    attach(view, ("fine.txt", "text/plain", b"fine")) if name != "big.txt" else None
    attach(view, (name, kind, data))
    expect(view.get_by_role("alert")).to_contain_text(why)
    expect(view.locator(".attached-name")).to_have_text([] if name == "big.txt" else ["fine.txt"])


def test_more_files_than_a_prompt_takes_are_refused(blank: Page) -> None:
    view = live(blank, KNOWN)
    attach(view, *((f"{n}.txt", "text/plain", b"x") for n in range(21)))
    expect(view.get_by_role("alert")).to_contain_text("A prompt takes 20 files.")
    expect(view.locator(".attached li")).to_have_count(20)


def test_an_agent_that_takes_no_pictures_says_so_before_anything_is_sent(blank: Page) -> None:
    view = live(blank, KNOWN)
    attach(view, ("plot.png", "image/png", DOT))
    choose(view, "Agent", "goose")
    why = "goose takes no pictures, so plot.png cannot go with the prompt. Choose another agent, or describe it."
    expect(view.get_by_role("alert")).to_have_text(why)
    view.get_by_role("textbox").fill("Look.")
    view.get_by_role("button", name="Send").click()
    expect(view.get_by_role("alert")).to_have_text(why)
    assert calls(blank, "/prompts") == []
    choose(view, "Agent", "opencode")
    expect(view.get_by_role("alert")).to_be_hidden()
    assert len(sent(blank, view)["attachments"]) == 1


def test_an_agent_that_takes_nothing_has_no_button_for_it(blank: Page) -> None:
    offers = "gallery.OFFERS.map((o) => ({ ...o, images: false, files: false }))"
    view = live(blank, f"{{ view: 'composer' }}, {{ replies: {{ offers: {offers} }} }}")
    expect(view.get_by_role("combobox", name="Model")).to_be_visible()
    expect(view.get_by_role("button", name="Attach files")).to_be_hidden()
    blank.evaluate("() => gallery.attach(model.root, [new File(['x'], 'a.txt')])")
    expect(view.get_by_role("alert")).to_contain_text("opencode takes no files, so a.txt cannot go with the prompt.")


def test_files_are_attached_named_and_removed_by_keys_alone(blank: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    blank.on("filechooser", lambda _: None)  # Chromium needs a moment to hand them over, and shows those before it
    view = live(blank, KNOWN)
    expect(view.get_by_role("button", name="Attach files")).to_be_enabled()
    view.get_by_role("button", name="Attach files").focus()
    with blank.expect_file_chooser() as chooser:
        blank.keyboard.press("Enter")
    chooser.value.set_files(tmp_path / "notes.txt")
    remove = view.get_by_role("button", name="Remove notes.txt")
    expect(view.locator(".attach").get_by_role("status")).to_have_text("notes.txt is attached.")
    remove.focus()
    blank.keyboard.press("Enter")
    expect(view.locator(".attached")).to_be_hidden()
    expect(view.get_by_role("button", name="Attach files")).to_be_focused()


# What a chat is doing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attention", "words"),
    [
        ("{ state: 'waiting', why: 'permission' }", "Waits for your permission"),
        ("{ state: 'waiting', why: 'question' }", "Waits for your answer"),
        ("{ state: 'starting' }", "Starting"),
        ("{ state: 'working' }", "Running"),
    ],
)
def test_the_head_says_what_the_turn_is_doing(blank: Page, attention: str, words: str) -> None:
    chat = f"{{ run_status: 'running', turn_id: gallery.T2, attention: {attention} }}"
    view = live(blank, f"{{}}, {{ chat: {chat}, entries: gallery.ASKING }}")
    expect(view.locator(".header .state")).to_have_text(words)


def test_the_head_says_where_a_chat_stands_that_waits_for_a_place(blank: Page) -> None:
    chat = "{ queued: gallery.QUEUED, attention: { state: 'starting', why: 'slot', place: 3 } }"
    view = live(blank, f"{{}}, {{ chat: {chat} }}")
    expect(view.locator(".header .state")).to_have_text("Waits for a free place, number 3")


def test_the_head_says_that_a_chat_waits_for_another_one_of_its_session(blank: Page) -> None:
    chat = "{ queued: gallery.QUEUED, attention: { state: 'starting', why: 'session' } }"
    view = live(blank, f"{{}}, {{ chat: {chat} }}")
    expect(view.locator(".header .state")).to_have_text("Waits for another chat of this session")


def test_a_transcript_in_sight_says_that_it_was_seen_and_how_far(blank: Page) -> None:
    live(blank, "{}, { chat: { unseen: true }, entries: gallery.DONE }")
    blank.wait_for_function("() => model.sent.some((m) => m.route?.endsWith('/seen'))")
    rev = blank.evaluate("() => gallery.entry({ kind: 'text' }).rev - 1")
    assert [call["body"] for call in calls(blank, "/seen")] == [{"rev": rev}]


@pytest.mark.parametrize(
    "script",
    [
        "{ view: 'composer' }, { chat: { unseen: true }, entries: gallery.DONE }",
        "{ turn_id: 'another' }, { chat: { unseen: true }, entries: gallery.DONE }",
        "{}, { chat: {}, entries: gallery.DONE }",
    ],
)
def test_what_does_not_show_the_end_or_is_no_news_says_nothing(blank: Page, script: str) -> None:
    view = live(blank, script)
    expect(view.locator(".view")).to_be_visible()
    blank.wait_for_function("() => model.sent.some((m) => m.op === 'hello')")
    blank.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert calls(blank, "/seen") == []


def test_a_transcript_out_of_sight_is_seen_when_it_is_scrolled_to(blank: Page) -> None:
    blank.evaluate("() => { document.querySelector('main').style.paddingTop = '3000px'; }")
    view = live(blank, "{}, { chat: { unseen: true }, entries: gallery.DONE }")
    view.get_by_text("The monthly totals").first.wait_for()
    assert calls(blank, "/seen") == []
    view.scroll_into_view_if_needed()
    blank.wait_for_function("() => model.sent.some((m) => m.route?.endsWith('/seen'))")
