"""The diff panel in a real page: hunks, layouts, keys, comments, and diffs of thousands of lines."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

LIVE = """([changes, replies, options]) => { window.model = gallery.live('x', { view: 'diff', options },
  { changes: eval(changes), replies: { ...gallery.REVIEWED, ...eval(`(${replies})`) } }); }"""


def panel(page: Page, changes: str = "gallery.REVIEW", replies: str = "{}", height: object = "none") -> Locator:
    page.evaluate(LIVE, [changes, replies, {"max_height": height}])
    view = page.locator(".coder-nb-view")
    view.locator(".files article").first.wait_for()
    return view


def bodies(page: Page, route: str) -> list[dict[str, Any]]:
    script = "(route) => model.sent.filter((m) => m.op === 'call' && m.route.endsWith(route)).map((m) => m.body)"
    found: list[dict[str, Any]] = page.evaluate(script, route)
    return found


def settled(page: Page, route: str, count: int = 1) -> list[dict[str, Any]]:
    page.wait_for_function(
        "([route, count]) => model.sent.filter((m) => m.route?.endsWith(route)).length === count", arg=[route, count]
    )
    return bodies(page, route)


def test_a_hunk_is_applied_alone_and_what_was_decided_is_folded_with_an_undo(blank: Page) -> None:
    rest = "{ ...gallery.REVIEW[0], hunks: gallery.REVIEW[0].hunks.slice(1) }"
    done = "{ ...gallery.REVIEW[0], id: 'r9', status: 'applied', hunks: gallery.REVIEW[0].hunks.slice(0, 1) }"
    view = panel(blank, replies=f"{{ apply: [{rest}, {done}], revert: [] }}")
    view.get_by_role("button", name="Apply hunk 1 of 2 of sales/load.py").click()
    file = view.get_by_role("article", name="sales/load.py")
    expect(file.locator(".decided-part")).to_have_count(2)
    assert bodies(blank, "changes/apply") == [{"ids": ["r1"], "hunks": {"r1": ["h1"]}}]
    assert file.locator(".part > .diff > .hunk").count() == 1
    file.locator(".decided-part").nth(1).get_by_role("button", name="Undo").click()
    assert settled(blank, "changes/revert") == [{"ids": ["r9"]}]


def test_the_keyboard_decides_and_stays_where_it_was(blank: Page) -> None:
    rest = "{ ...gallery.REVIEW[0], hunks: gallery.REVIEW[0].hunks.slice(1) }"
    view = panel(blank, replies=f"{{ apply: [{rest}], reject: [] }}")
    view.locator(".file-head").first.focus()
    blank.keyboard.press("j")
    expect(view.get_by_role("region", name="hunk 1 of 2 of sales/load.py")).to_be_focused()
    blank.keyboard.press("a")
    expect(view.get_by_role("region", name="hunk 1 of 1 of sales/load.py")).to_be_focused()
    assert bodies(blank, "changes/apply") == [{"ids": ["r1"], "hunks": {"r1": ["h1"]}}]
    blank.keyboard.press("n")
    expect(view.locator(".file-head").nth(1)).to_be_focused()
    blank.keyboard.press("r")
    assert settled(blank, "changes/reject") == [{"ids": ["r3"]}]
    blank.keyboard.press("x")
    expect(view.locator(".file-head").nth(1)).to_have_attribute("aria-expanded", "false")


def test_a_comment_stands_below_its_line_and_all_are_sent_as_shown(blank: Page) -> None:
    view = panel(blank)
    view.locator(".file-head").first.focus()
    for key in ("j", "ArrowUp", "ArrowUp", "ArrowDown", "c"):
        blank.keyboard.press(key)
    blank.keyboard.type("Why not infer them?")
    blank.keyboard.press("Control+Enter")
    expect(view.locator("tr.said")).to_contain_text("Why not infer them?")
    tray = view.get_by_role("region", name="Comments")
    expect(tray).to_contain_text("1 comment for opencode")
    tray.get_by_text("What will be sent").click()
    prompt = (
        "Please address this review comment on your changes:\n\nsales/load.py:17\n"
        '> frame = pd.read_csv(path, index_col=0, parse_dates=["day"])\nWhy not infer them?'
    )
    expect(tray.locator("pre")).to_have_text(prompt)
    tray.get_by_role("button", name="Send to the agent").click()
    (sent,) = settled(blank, "/prompts")
    assert (sent["text"], sent["agent"]) == (prompt, "opencode")
    expect(tray).to_be_hidden()


def test_side_by_side_is_remembered_and_gives_way_where_there_is_no_room(blank: Page) -> None:
    view = panel(blank)
    blank.locator(".coder-nb-view").get_by_role("button", name="Side by side").click()
    expect(view.locator("table.split").first).to_be_visible()
    marks = "".join(view.locator("table.split mark").all_inner_texts())
    assert ', parse_dates=["day"]' in marks
    blank.reload()
    blank.wait_for_selector("body[data-ready]")
    view = panel(blank)
    expect(view.locator("table.split").first).to_be_visible()
    blank.set_viewport_size({"width": 500, "height": 900})
    expect(view.locator("table.split")).to_have_count(0)


def test_unchanged_lines_are_unfolded_and_a_conflict_shows_both_sides(blank: Page) -> None:
    view = panel(blank)
    view.get_by_role("button", name="Show 13 unchanged lines").click()
    numbers = view.locator("td.number[data-side=new]").evaluate_all("(all) => all.slice(0, 20).map((n) => n.innerText)")
    assert numbers == [str(n) for n in range(1, 21)]
    clash = view.get_by_role("group", name="Conflict at line 2")
    expect(clash.locator("pre")).to_have_text(["LIMIT = 5_000  # mine", "LIMIT = 20_000"])
    expect(view.locator("img")).to_have_count(2)
    expect(view.get_by_text("Changed code cell 3")).to_be_visible()
    view.get_by_role("button", name="Show as JSON").click()
    expect(view.get_by_text("frame.amount.sum()\\n")).to_be_visible()


BUSY = """() => {
  window.gaps = [];
  let last = performance.now();
  const tick = () => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    setTimeout(tick);
  };
  const line = (n) => `${n % 3 ? '+' : '-'}    total_${n} = compute("${n}", ${n})  # line`;
  const lines = Array.from({ length: 600 }, (_, n) => line(n));
  const hunks = [gallery.hunk(1, 1, ...lines)];
  window.many = Array.from({ length: 10 }, (_, f) => gallery.change(`m${f}`, `src/f_${f}.py`, { hunks }));
  tick();
}"""


def test_thousands_of_lines_are_shown_without_a_stutter(blank: Page) -> None:
    blank.evaluate(BUSY)
    view = panel(blank, "window.many", height=600)
    rows = "document.querySelector('.coder-nb-view').shadowRoot.querySelectorAll('.files tr').length"
    blank.wait_for_function(f"{rows} === 6000")
    gaps = sorted(blank.evaluate("() => gaps"))
    assert len(gaps) > 20, "the page is let do other things meanwhile"
    assert gaps[len(gaps) // 2] < 60
    assert view.locator(".files").evaluate("(s) => s.scrollHeight") > 6000 * 19
