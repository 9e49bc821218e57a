"""What the views do, in a real page: a scripted kernel tells them a chat and notes what they ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from support.gallery import calls, live

Model = Any


def tell(page: Page, *frames: str, seq: int = 1) -> None:
    script = "([seq, frames]) => model.emit({ op: 'frames', seq, frames: eval(frames) })"
    page.evaluate(script, [seq, f"[{', '.join(frames)}]"])


RUNNING = "{ view: 'transcript' }, { chat: { run_status: 'running', turn_id: gallery.T2 }, entries: gallery.RUNNING }"

HOSTILE = """
<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2"><iframe src="https://example.org"></iframe>
<form action="https://example.org"><input name="token"><button>Log in</button></form><style>* { display: none }</style>
<a href="javascript:window.hacked=3" onclick="window.hacked=4" id="x" style="position:fixed">one</a>
<svg><script>window.hacked = 5</script></svg><math><mtext></mtext></math>
<details open ontoggle="window.hacked=6">d</details>

[two](javascript:alert(1)) [three](https://example.org/a) [four](data:text/html,x) ![five](https://example.org/p.png)

![six](data:image/png;base64,iVBORw0KGgo=) 
<bdo dir="rtl">desrever</bdo> <marquee>eight</marquee>
<div class="card panel hl-x" role="alert" data-x="1" aria-label="y">seven</div>
"""


@pytest.mark.parametrize("open_", [False, True])
def test_markdown_of_an_agent_brings_no_script_no_form_no_style_and_no_remote_image(blank: Page, open_: bool) -> None:
    requests: list[str] = []
    blank.on("request", lambda request: requests.append(request.url))
    blank.evaluate(
        """([text, open]) => gallery.saved('x', { entries: [gallery.entry({ kind: 'text', text }, { open })] })""",
        [HOSTILE, open_],
    )
    markdown = blank.locator(".markdown")
    markdown.get_by_text("seven").wait_for()
    for forbidden in (
        "script",
        "iframe",
        "form",
        "input",
        "button",
        "style",
        "svg",
        "math",
        "bdo",
        "marquee",
        "[id]",
        "[style]",
        "[role]",
    ):
        assert markdown.locator(forbidden).count() == 0, forbidden
    assert markdown.locator("[onerror], [onclick], [ontoggle], [data-x], [aria-label]").count() == 0
    assert markdown.locator("div.card").count() == 0
    images = markdown.locator("img").evaluate_all("all => all.map((one) => one.getAttribute('src'))")
    assert images == ["data:image/png;base64,iVBORw0KGgo="]
    links = markdown.locator("a[href]").evaluate_all("all => all.map((a) => [a.textContent, a.href, a.target, a.rel])")
    rel = "noopener noreferrer nofollow"
    assert links == [
        ["three", "https://example.org/a", "_blank", rel],
        ["five", "https://example.org/p.png", "_blank", rel],
    ]
    assert blank.evaluate("() => window.hacked") is None
    assert [url for url in requests if "example.org" in url] == []


@pytest.mark.parametrize("open_", [False, True])
@pytest.mark.parametrize(
    "text",
    ["```constructor\nx = 1\n```", "```__proto__\nx = 1\n```", 5_000 * ">" + " x = 1"],
    ids=["constructor", "__proto__", "nested"],
)
def test_no_markdown_keeps_the_page_from_showing_what_else_is_said(blank: Page, text: str, open_: bool) -> None:
    blank.evaluate(
        """([text, open]) => gallery.saved('x', { entries: [
            gallery.entry({ kind: 'text', text: text + '\\n\\nthen' }, { open }),
            gallery.entry({ kind: 'text', text: 'the end' }),
        ] })""",
        [text, open_],
    )
    expect(blank.locator(".markdown").last).to_have_text("the end")
    expect(blank.locator(".markdown").first).to_contain_text("x = 1")


def test_a_paragraph_that_is_too_long_to_be_searched_for_emphasis_is_shown_as_it_came(blank: Page) -> None:
    blank.evaluate(
        """([short, long]) => gallery.saved('x', { entries: [
            gallery.entry({ kind: 'text', text: short }), gallery.entry({ kind: 'text', text: long }),
        ] })""",
        ["**x = 1**", "**x = 1** " + 1_250 * "_a__"],
    )
    expect(blank.locator(".markdown").first.locator("strong")).to_have_text("x = 1")
    expect(blank.locator(".markdown").last).to_contain_text("**x = 1** _a__")


def test_names_that_are_words_of_the_language_of_the_page_are_names(blank: Page) -> None:
    blank.evaluate(
        """() => gallery.saved('x', { entries: [
            gallery.entry({ kind: 'turn_started', agent: 'constructor' }),
            gallery.entry({ kind: 'toString', says: 'hologram' }),
            gallery.entry({ kind: 'text', text: 'the end' }),
        ] })"""
    )
    expect(blank.locator(".turn-head .agent-name")).to_have_text("constructor")
    expect(blank.locator(".kind-raw")).to_contain_text("toString")
    expect(blank.locator(".markdown")).to_have_text("the end")


def test_nothing_hides_in_names_of_files_and_tools_or_in_what_programs_print(blank: Page) -> None:
    blank.evaluate(
        """() => gallery.saved('x', { entries: [
            gallery.entry({ kind: 'file_change', change_id: 'c', path: 'src/a\\u202eyp.sh' }),
            gallery.entry({ kind: 'tool_call', name: 'read', status: 'completed', title: 'Read',
                locations: [{ path: 'b\\u200b.py' }], content: '\\u001b[31mred\\u001b[0m \\u202elive' }),
            gallery.entry({ kind: 'permission', request_id: 'r', tool: 'wr\\u202eite', title: 'Write',
                tool_kind: 'edit', diffs: [{ path: 'c\\u202e.py', old: '', new: 'x' }] }, { open: true }),
        ] })"""
    )
    expect(blank.locator(".path")).to_have_text("src/aU+202Eyp.sh")
    blank.locator("details.tool summary").first.click()
    expect(blank.locator(".places li")).to_have_text("bU+200B.py")
    expect(blank.locator("pre.output")).to_have_text("red [U+202E]live")
    card = blank.get_by_role("group", name="Permission: Write")
    expect(card.locator(".caption")).to_have_text("cU+202E.py")
    expect(card.locator(".card-head .tag")).to_have_text("wrU+202Eite")


def test_a_saved_page_of_html_loads_nothing_by_its_styles_and_keeps_those_of_ours(blank: Page) -> None:
    requests: list[str] = []
    blank.on("request", lambda request: requests.append(request.url))
    far = "https://example.org/x.png"
    html = "".join(
        f"<style>{style}</style>"
        for style in (f"p {{ background: url({far}) }}", f"@import '{far}';", f"p {{ background: u\\72l({far}) }}")
    )
    html += f"<style>p {{ color: rgb(1, 2, 3) }}</style><p style='background: url({far})'>plums</p>"
    blank.evaluate("html => gallery.saved('x', { html })", html)
    plums = blank.get_by_text("plums")
    expect(plums).to_have_css("color", "rgb(1, 2, 3)")
    expect(plums).to_have_css("background-image", "none")
    assert [url for url in requests if "example.org" in url] == []


def test_stop_asks_once_and_shows_that_it_was_asked(blank: Page) -> None:
    view = live(blank, RUNNING)
    stop = view.get_by_role("button", name="Stop")
    stop.click()
    expect(view.get_by_role("button", name="Stopping …")).to_be_visible()
    assert [call["method"] for call in calls(blank, "/stop")] == ["POST"]
    tell(blank, "{ type: 'state', chat: { id: model.get('chat_id'), session_id: 's', run_status: 'idle' } }")
    expect(stop).to_be_hidden()


def test_a_permission_shows_every_character_of_the_input_and_is_answered_by_key(blank: Page) -> None:
    view = live(blank, RUNNING)
    card = view.get_by_role("group", name="Permission: Delete /tmp/sales-cache")
    expect(card.locator("pre.command")).to_have_text("rm -rf /tmp/sales-cache U+202E/emoh/U+202CU+200B && echo done")
    expect(card.get_by_role("button")).to_have_text(["Allow once1", "Always allow2", "Reject3"])
    blank.clock.set_fixed_time(datetime.now(UTC) + timedelta(seconds=5))
    card.press("3")
    blank.wait_for_function("() => model.sent.some((m) => m.route?.endsWith('permissions/p1'))")
    assert calls(blank, "permissions/p1")[0]["body"] == {"option_id": "c"}


def test_an_edit_is_asked_for_by_its_diff_with_the_call_at_hand(blank: Page) -> None:
    script = "{ ...gallery.RUNNING.at(-1), body: { ...gallery.RUNNING.at(-1).body, tool_kind: 'edit' } }"
    view = live(blank, f"{{}}, {{ entries: [{script}] }}")
    card = view.get_by_role("group", name="Permission: Delete /tmp/sales-cache")
    expect(card.get_by_role("region", name="Diff of sales/cache.py")).to_be_visible()
    expect(card.locator("pre.command")).to_have_count(0)
    card.get_by_text("The call as the agent made it").click()
    expect(card.locator("pre.command")).to_be_visible()


def test_the_keys_of_a_permission_are_deaf_for_a_moment_after_it_appears(blank: Page) -> None:
    began = datetime(2026, 1, 15, 14, 0, tzinfo=UTC)
    blank.clock.set_fixed_time(began)
    card = live(blank, RUNNING).get_by_role("group", name="Permission: Delete")
    card.press("1")
    assert calls(blank, "permissions/p1") == []
    blank.clock.set_fixed_time(began + timedelta(seconds=1))
    card.press("1")
    blank.wait_for_function("() => model.sent.some((m) => m.route?.endsWith('permissions/p1'))")


def test_a_file_is_named_as_it_is_seen_from_the_worktree_and_one_elsewhere_by_its_whole_path(blank: Page) -> None:
    blank.evaluate(
        """() => {
            const diff = (path) => ({ path, old: 'a\\n', new: 'b\\n' });
            const worktree = '/home/ana/.local/share/worktrees/s';
            gallery.saved('x', { entries: ['/src/a.py', '/../a.py'].map((path, n) => gallery.entry({
                kind: 'permission', request_id: `p${n}`, status: 'denied', title: 'Edit', tool_kind: 'edit',
                diffs: [diff(worktree + path)],
            })) });
        }"""
    )
    said = blank.locator(".kind-permission")
    for summary in said.locator("summary").all():
        summary.click()
    expect(said.locator(".caption")).to_have_text(["src/a.py", "/home/ana/.local/share/worktrees/s/../a.py"])


def test_an_answered_permission_says_what_was_answered_and_by_whom_and_keeps_the_focus(blank: Page) -> None:
    view = live(blank, RUNNING)
    view.get_by_role("group", name="Permission: Delete").focus()
    tell(
        blank,
        """{ type: 'page', page: { rev: 999, entries: [{ ...gallery.RUNNING.at(-1), rev: 999, open: false,
        body: { ...gallery.RUNNING.at(-1).body, status: 'denied', option_id: 'c', by: 'ana', waited_ms: 2000 }
        }] } }""",
    )
    expect(view.locator(".answered > summary")).to_contain_text("Denied")
    expect(view.locator(".answered > summary")).to_contain_text("Reject · by ana · after 2.0 s")
    expect(view.locator(".answered > summary")).to_be_focused()
    assert view.get_by_role("group", name="Permission: Delete").count() == 0


def asking(page: Page, fields: str = "") -> Locator:
    """A question's card, ready for keys."""
    began = datetime(2026, 1, 15, 14, 0, tzinfo=UTC)
    page.clock.set_fixed_time(began)
    body = f"{{ ...gallery.QUESTION, {fields} }}"
    view = live(page, f"{{}}, {{ entries: [gallery.entry({body}, {{ open: true }})] }}")
    card = view.get_by_role("group", name="Question: Where should the cache go?")
    card.wait_for()
    page.clock.set_fixed_time(began + timedelta(seconds=1))
    return card


def replied(page: Page) -> Any:
    page.wait_for_function("() => model.sent.some((m) => m.route?.endsWith('questions/que_1'))")
    (call,) = calls(page, "questions/que_1")
    return call["body"]["answer"]


def test_a_question_is_answered_by_one_of_its_choices(blank: Page) -> None:
    card = asking(blank)
    expect(card.get_by_role("radio")).to_have_count(3)
    expect(card.get_by_text("survives a restart")).to_be_visible()
    send = card.get_by_role("button", name="Answer")
    expect(send).to_have_attribute("aria-disabled", "true")
    send.click(force=True)
    assert calls(blank, "questions/que_1") == []
    card.get_by_label("In memory").check()
    send.click()
    assert replied(blank) == ["memory"]


def test_a_question_is_answered_by_keys_alone(blank: Page) -> None:
    card = asking(blank)
    card.press("1")
    card.get_by_role("radio", name="On disk").press("2")
    expect(card.get_by_role("radio", name="In memory")).to_be_focused()
    card.get_by_role("radio", name="In memory").press("Enter")
    assert replied(blank) == ["memory"]


def test_own_words_answer_a_question_in_the_place_of_a_choice(blank: Page) -> None:
    card = asking(blank)
    card.get_by_label("On disk").check()
    words = card.get_by_label("In your own words")
    words.press_sequentially("in 2 places")
    expect(card.get_by_label("On disk")).not_to_be_checked()
    words.press("Enter")
    assert replied(blank) == ["in 2 places"]


def test_several_choices_and_own_words_answer_a_question_that_takes_several(blank: Page) -> None:
    card = asking(blank, "multiple: true")
    card.get_by_label("On disk").check()
    card.get_by_label("Nowhere").check()
    card.get_by_label("In your own words").fill("there")
    card.get_by_role("button", name="Answer").click()
    assert replied(blank) == ["disk", "none", "there"]


def test_a_question_with_fixed_choices_has_no_room_for_own_words_and_can_be_declined(blank: Page) -> None:
    card = asking(blank, "custom: false")
    expect(card.get_by_role("textbox")).to_have_count(0)
    card.get_by_role("button", name="Decline").click()
    assert replied(blank) is None


def test_what_is_being_typed_outlives_what_comes_meanwhile(blank: Page) -> None:
    words = asking(blank).get_by_label("In your own words")
    words.fill("half a sen")
    tell(blank, "{ type: 'page', page: { rev: 999, entries: [gallery.entry({ kind: 'text', text: 'more' })] } }")
    blank.get_by_text("more", exact=True).wait_for()
    expect(words).to_have_value("half a sen")
    expect(words).to_be_focused()


def test_a_question_that_was_answered_says_what_and_by_whom(blank: Page) -> None:
    view = live(blank, "{}, { entries: gallery.ASKING.slice(0, 2) }")
    expect(view.locator(".question").first).to_contain_text("Answered January, May by ana · after 3.2 s")
    expect(view.locator(".question").last).to_contain_text("Declined nobody was there to answer")


def test_a_question_that_is_answered_keeps_the_focus(blank: Page) -> None:
    view = live(blank, "{}, { entries: [window.asked = gallery.entry(gallery.QUESTION, { open: true })] }")
    view.get_by_role("group", name="Question: ").focus()
    end = "{ ...asked, rev: 999, open: false, body: { ...asked.body, status: 'declined', by: 'ana' } }"
    tell(blank, f"{{ type: 'page', page: {{ rev: 999, entries: [{end}] }} }}")
    expect(view.locator(".question")).to_be_focused()


def test_a_prompt_that_was_refused_keeps_its_text_and_its_id(blank: Page) -> None:
    view = live(blank, "{ view: 'composer' }, { refuse: 'The queue is full. Wait for a turn to end.' }")
    box = view.get_by_role("textbox")
    box.fill("Make it faster")
    box.press("Control+Enter")
    expect(view.get_by_role("alert")).to_have_text("The queue is full. Wait for a turn to end.")
    expect(box).to_have_value("Make it faster")
    blank.evaluate("() => { model.refuse = ''; }")
    box.press("Control+Enter")
    expect(box).to_have_value("")
    first, second = (call["body"] for call in calls(blank, "/prompts"))
    assert first == second
    assert {name: first[name] for name in ("text", "agent", "mode")} == {
        "text": "Make it faster",
        "agent": "opencode",
        "mode": "ask",
    }
    box.fill("Another")
    view.get_by_role("button", name="Send").click()
    expect(box).to_have_value("")
    assert calls(blank, "/prompts")[2]["body"]["id"] != first["id"]


def test_an_empty_prompt_is_not_sent_and_says_so(blank: Page) -> None:
    view = live(blank, "{ view: 'composer' }, {}")
    view.get_by_role("textbox").fill("  ")
    view.get_by_role("button", name="Send").click()
    expect(view.get_by_role("alert")).to_contain_text("The prompt is empty.")
    assert calls(blank, "/prompts") == []


def test_an_agent_that_cannot_be_used_is_listed_with_the_reason(blank: Page) -> None:
    view = live(blank, "{ view: 'composer' }, {}")
    option = view.locator("option", has_text="Claude")
    expect(option).to_have_text("Claude (It is off.)")
    expect(option).to_be_disabled()
    assert option.get_attribute("title") == "It is off. Set c.CoderApp.agents to enable it."
    expect(view.get_by_role("combobox", name="Agent", exact=True)).to_have_value("opencode")


OFFER = """{ view: 'composer' }, { replies: { commands: [
  { agent: 'opencode', commands: [{ name: 'init', description: 'Makes rules' }, { name: 'review', hint: 'WHAT' }] },
  { agent: 'goose', commands: [{ name: 'compact' }] },
] } }"""


def test_a_slash_opens_the_agents_own_commands_and_the_keyboard_takes_one(blank: Page) -> None:
    view = live(blank, OFFER)
    box = view.get_by_role("textbox")
    box.press_sequentially("/")
    options = view.get_by_role("listbox").get_by_role("option")
    expect(options).to_have_text(["/initMakes rules", "/review WHAT"])
    assert box.get_attribute("aria-controls") == view.get_by_role("listbox").get_attribute("id")
    box.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    assert box.get_attribute("aria-activedescendant") == options.nth(1).get_attribute("id")
    box.press("Enter")
    expect(box).to_have_value("/review ")
    expect(view.get_by_role("listbox")).to_be_hidden()
    assert box.get_attribute("aria-activedescendant") is None
    assert calls(blank, "/prompts") == []


def test_the_list_of_commands_follows_what_is_typed_and_the_agent_and_goes_with_escape(blank: Page) -> None:
    view = live(blank, OFFER)
    box = view.get_by_role("textbox")
    box.press_sequentially("/re")
    expect(view.get_by_role("listbox").get_by_role("option")).to_have_text(["/review WHAT"])
    box.press("Escape")
    expect(view.get_by_role("listbox")).to_be_hidden()
    box.press("Backspace")
    expect(view.get_by_role("listbox").get_by_role("option")).to_have_text(["/review WHAT"])
    view.get_by_role("combobox", name="Agent", exact=True).select_option("goose")
    box.fill("/")
    expect(view.get_by_role("listbox").get_by_role("option")).to_have_text(["/compact"])
    view.get_by_role("listbox").get_by_role("option").click()
    expect(box).to_have_value("/compact ")
    box.fill("look at a/b")
    expect(view.get_by_role("listbox")).to_be_hidden()


def test_a_running_turn_is_told_something_more(blank: Page) -> None:
    view = live(blank, "{ view: 'composer' }, { chat: { run_status: 'running', turn_id: 't' } }")
    view.get_by_role("textbox").fill("also this")
    view.get_by_role("button", name="Tell it now").click()
    expect(view.get_by_role("textbox")).to_have_value("")
    assert [call["body"] for call in calls(blank, "/steer")] == [{"text": "also this"}]


def test_prompts_that_wait_can_be_taken_out_and_a_held_queue_goes_on(blank: Page) -> None:
    view = live(blank, "{ view: 'composer' }, { chat: { held: true, queued: gallery.QUEUED } }")
    expect(view.get_by_role("listitem")).to_have_count(2)
    view.get_by_role("button", name="Remove this prompt to goose from the queue").click()
    view.get_by_role("button", name="Continue").click()
    blank.wait_for_function("() => model.sent.some((m) => m.route?.endsWith('go-on'))")
    assert [call["method"] for call in calls(blank, "prompts/q2")] == ["DELETE"]


def test_a_change_is_applied_by_its_button_and_shows_what_became_of_it(blank: Page) -> None:
    view = live(blank, "{ view: 'diff' }, { replies: { apply: [{ ...gallery.CHANGES[0], status: 'applied' }] } }")
    file = view.get_by_role("article").filter(has_text="load.py")
    apply = file.get_by_role("button", name="Apply sales/load.py")
    apply.click()
    expect(file.get_by_text("Applied")).to_be_visible()
    expect(apply).to_be_hidden()
    assert [call["body"] for call in calls(blank, "changes/apply")] == [{"ids": ["c1"]}]


def test_all_open_changes_are_rejected_at_once(blank: Page) -> None:
    view = live(blank, "{ view: 'diff' }, { replies: { reject: [] } }")
    view.get_by_role("button", name="Reject all").click()
    blank.wait_for_function("() => model.sent.some((m) => m.route?.endsWith('changes/reject'))")
    assert [call["body"] for call in calls(blank, "changes/reject")] == [{"ids": ["c1", "c2", "c3"]}]


def test_a_diff_is_folded_and_unfolded_by_keyboard(blank: Page) -> None:
    view = live(blank, "{ view: 'diff' }, {}")
    head = view.locator("button.file-head").first
    expect(head).to_have_attribute("aria-expanded", "true")
    head.focus()
    blank.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-expanded", "false")
    expect(view.get_by_role("region", name="Diff of sales/load.py")).to_be_hidden()


def test_a_reader_who_scrolled_up_stays_there_until_she_jumps_to_the_latest(page: Page, address: str) -> None:
    page.goto(f"{address}?theme=light&many=120")
    page.wait_for_selector("body[data-ready]")
    scroller = page.get_by_role("log")
    at_end = "(s) => s.scrollHeight - s.scrollTop - s.clientHeight < 2"
    page.wait_for_function(
        f"() => ({at_end})(document.querySelector('.coder-nb-view').shadowRoot.querySelector('.scroller'))"
    )
    page.evaluate("() => stream('one paragraph\\n\\n'.repeat(30), 1)")
    page.get_by_text("one paragraph").nth(29).wait_for()
    assert scroller.evaluate(at_end)

    scroller.evaluate("(s) => { s.scrollTop -= 400; }")
    page.get_by_role("button", name="Jump to latest").wait_for()
    top = scroller.evaluate("(s) => s.scrollTop")
    page.evaluate("() => stream('and another\\n\\n'.repeat(30), 2)")
    page.get_by_text("and another").nth(29).wait_for(state="attached")
    assert scroller.evaluate("(s) => s.scrollTop") == top
    page.get_by_role("button", name="Jump to latest").click()
    assert scroller.evaluate(at_end)


def test_text_that_streams_is_the_same_in_the_end_as_text_that_came_at_once(blank: Page) -> None:
    answer = blank.evaluate("() => gallery.DONE.find((e) => e.body.kind === 'text').body.text")
    view = live(blank, "{}, { entries: [{ ...gallery.entry({ kind: 'text' }), id: 'grows', rev: 1, open: true }] }")
    view.get_by_text("Nothing was said yet.").wait_for(state="hidden")
    for seq, at in enumerate(range(0, len(answer), 23), start=1):
        part = {"epoch": "1", "entry_id": "grows", "offset": at, "text": answer[at : at + 23]}
        tell(blank, f"{{ type: 'delta', deltas: [{part!r}] }}", seq=seq)
        blank.evaluate("() => new Promise(requestAnimationFrame)")
    grown = view.locator(".markdown").inner_text()
    blank.evaluate(
        """(text) => model.emit({ op: 'frames', seq: 999, frames: [] }) ??
        gallery.saved('whole', { entries: [gallery.entry({ kind: 'text', text })] })""",
        answer,
    )
    whole = blank.locator("[data-title=whole] .markdown")
    whole.wait_for()
    assert grown == whole.inner_text()


def test_a_hole_in_the_kernels_messages_is_answered_by_a_hello_from_the_cursor(blank: Page) -> None:
    live(blank, RUNNING).get_by_role("button", name="Stop").wait_for()
    tell(blank, "{ type: 'page', page: { rev: 500 } }", seq=1)
    tell(blank, "{ type: 'page', page: { rev: 700 } }", seq=3)
    blank.wait_for_function("() => model.sent.filter((m) => m.op === 'hello').length === 2")
    hellos = blank.evaluate("() => model.sent.filter((m) => m.op === 'hello')")
    assert [hello["after"] for hello in hellos] == [None, 500]


def test_an_entry_of_an_unknown_kind_is_shown_as_it_came(blank: Page) -> None:
    blank.evaluate("() => gallery.saved('x', { entries: [gallery.entry({ kind: 'hologram', depth: 3 })] })")
    row = blank.locator("details", has_text="hologram")
    row.locator("summary").click()
    expect(row.locator("pre")).to_have_text('{\n  "kind": "hologram",\n  "depth": 3\n}')


def test_a_view_of_one_turn_shows_nothing_of_the_others(blank: Page) -> None:
    entries = "[...gallery.DONE, ...gallery.RUNNING]"
    view = live(blank, f"{{ turn_id: gallery.T2 }}, {{ entries: {entries} }}")
    expect(view.get_by_text("Now remove the cache.")).to_be_visible()
    expect(view.locator(".user")).to_have_count(1)
    expect(view.locator("header .agent-name")).to_have_text("goose")


def test_a_snapshot_that_cut_an_entry_short_does_not_replace_the_whole_one(blank: Page) -> None:
    live(blank, "{}, { entries: gallery.DONE }").get_by_text("+6").first.wait_for()
    blank.evaluate(
        """() => gallery.saved('again', { chat: { id: model.get('chat_id'), session_id: 's' },
        entries: gallery.DONE.map((e) => ({ ...e, body: { ...e.body, diffs: undefined } })) })"""
    )
    expect(blank.locator(".coder-nb-view")).to_have_count(2)
    expect(blank.locator("[data-title=again] .kind-tool_call .stat")).to_have_text(["+6−3"])


def test_a_chat_that_another_process_runs_says_who_does(blank: Page) -> None:
    view = live(blank, "{}, { chat: { runner: 'the kernel of lesson.ipynb' } }")
    expect(view.get_by_text("Run by the kernel of lesson.ipynb.")).to_be_visible()


def test_an_error_of_the_chat_is_said_whole(blank: Page) -> None:
    view = live(blank, "{}, { chat: { run_status: 'error', error: 'The disk is full. Free some space, then go on.' } }")
    expect(view.get_by_role("alert")).to_have_text("The disk is full. Free some space, then go on.")


def test_older_entries_are_brought_when_they_are_asked_for_and_the_reader_stays_where_she_is(blank: Page) -> None:
    older = "{ 'entries?before=7&limit=200': { entries: gallery.DONE.slice(0, 6) } }"
    view = live(blank, f"{{}}, {{ entries: gallery.DONE.slice(6), replies: {older} }}")
    view.get_by_role("button", name="Load older entries").dispatch_event("click")  # a click would scroll there first
    expect(view.get_by_text("The monthly totals in sales/ are wrong")).to_be_attached()
    positions = view.locator("[data-entry]").evaluate_all("(all) => all.map((one) => one.dataset.entry)")
    assert positions == sorted(positions)
    expect(view.get_by_role("button", name="Load older entries")).to_be_hidden()


def test_while_the_focus_is_in_a_view_its_keys_are_not_the_notebooks(blank: Page) -> None:
    blank.evaluate(
        """() => {
          window.reached = [];
          document.addEventListener('keydown', (event) => {
            if (!event.target.closest('[data-lm-suppress-shortcuts]')) reached.push(event.key);
          }, true);
        }"""
    )
    view = live(blank, "{ view: 'composer' }, {}")
    view.get_by_role("textbox").focus()
    for key in ("d", "Enter", "Control+Enter", "Escape"):
        blank.keyboard.press(key)
    assert [key for key in blank.evaluate("() => reached") if key != "Control"] == []
    blank.keyboard.press("Control+s")
    assert "s" in blank.evaluate("() => reached")


def test_a_view_that_was_closed_asks_nothing_more(blank: Page) -> None:
    live(blank, RUNNING).get_by_role("button", name="Stop").wait_for()
    sent = blank.evaluate(
        "() => new Promise((done) => { model.close(); setTimeout(() => done(model.sent.length), 50); })"
    )
    tell(blank, "{ type: 'page', page: { rev: 700 } }", seq=5)
    blank.evaluate("() => new Promise(requestAnimationFrame)")
    assert blank.evaluate("() => model.sent.length") == sent
    assert blank.locator(".coder-nb-view").count() == 0


def test_ten_thousand_entries_are_there_and_the_end_is_shown(page: Page, address: str) -> None:
    page.goto(f"{address}?theme=light&many=10000")
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    last = page.get_by_text("src/module_9998.py")
    last.wait_for(timeout=60_000)
    expect(last).to_be_in_viewport()
    chunks = page.locator(".chunk")
    assert chunks.count() == 201
    assert chunks.first.evaluate("(chunk) => getComputedStyle(chunk).contentVisibility") == "auto"
