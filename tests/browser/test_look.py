"""Whether it can be read in both themes, and worked without a mouse and outside a secure context."""

from __future__ import annotations

import pytest
from harness import Notebook, until

START = """
import coder_nb as cnb
from coder_nb.recordings import make_practice
session = cnb.session(make_practice())
"""
CONTRASTS = """() => {
  const parse = color => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const luminance = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const above = element => element.assignedSlot ?? element.parentElement ?? element.getRootNode().host ?? null;
  const ground = element => {
    const layers = [];
    for (let one = element; one; one = above(one)) layers.push(parse(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const faded = element => {
    let opacity = 1;
    for (let one = element; one; one = above(one)) opacity *= Number(getComputedStyle(one).opacity);
    return opacity;
  };
  const found = [];
  const look = element => {
    const back = ground(element), ink = parse(getComputedStyle(element).color);
    ink[3] *= faded(element);
    const [light, dark] = [luminance(over(ink, back)), luminance(back)].sort((a, b) => b - a);
    return { where: element.className || element.tagName, ratio: (light + 0.05) / (dark + 0.05) };
  };
  const walk = root => {
    for (const node of root.childNodes) {
      if (node.nodeType === 3 && node.textContent.trim() && root.nodeType === 1 && root.checkVisibility()) {
        found.push({ text: node.textContent.trim().slice(0, 40), ...look(root) });
      }
      if (node.nodeType === 1 && !['STYLE', 'SCRIPT', 'OPTION'].includes(node.tagName)) {
        walk(node);
        if (node.shadowRoot) walk(node.shadowRoot);
      }
    }
  };
  for (const view of document.querySelectorAll('.coder-nb-view')) walk(view.shadowRoot);
  return found;
}"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_every_text_can_be_read(notebook: Notebook, theme: str) -> None:
    notebook.write(
        [
            START,
            "turn = await session.prompt('The Tufted puffins should be the heaviest, but summary.py says that they are "
            "lighter than the Horned ones. Find out why, and fix it.', agent='replay', mode='accept_edits')",
            "session.changes",
            "waiting = session.prompt('think hm; plan a, b; write new.txt text', agent='scripted', mode='ask')",
            "session.widget()",
            "cnb.widgets.UsageTable(session)",
        ]
    ).open()
    notebook.theme("Light" if theme == "Light" else "Dark")
    for index in range(6):
        notebook.run(index)
    notebook.output(3).get_by_role("group", name="Permission").wait_for()
    notebook.output(4).locator(".composer").wait_for()
    notebook.output(5).locator(".usage-table").wait_for()
    for details in notebook.page.locator(".transcript details:not([open]) > summary").all():
        if details.is_visible():
            details.click()
    texts = notebook.page.evaluate(CONTRASTS)
    assert len(texts) > 150
    assert not [text for text in texts if text["ratio"] < 4.5]
    notebook.output(3).get_by_role("button", name="Reject").first.click()


def focused(notebook: Notebook) -> str:
    """The name of what has the focus, inside shadow roots."""
    script = """() => {
      let one = document.activeElement;
      while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
      return one?.getAttribute('aria-label') || one?.textContent || '';
    }"""
    return str(notebook.page.evaluate(script))


def press(notebook: Notebook, name: str) -> None:
    """Goes to a button by Tab, and presses Enter."""
    for _ in range(80):
        if focused(notebook).startswith(name):
            return notebook.page.keyboard.press("Enter")
        notebook.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {name}")


def test_stop_permissions_and_apply_are_reached_by_keyboard(notebook: Notebook) -> None:
    notebook.write(
        [
            START,
            "turn = session.run('write new.txt text; hang', agent='scripted')",
            "session.changes",
        ]
    ).open()
    notebook.run(0)
    notebook.start(1)
    shown = notebook.output(1)
    shown.get_by_role("group", name="Permission").wait_for()
    press(notebook, "Allow")
    shown.get_by_text("Allowed").wait_for()
    notebook.page.keyboard.press("Shift+Tab")
    press(notebook, "Stop")
    shown.get_by_text("Stopped").first.wait_for()
    notebook.wait(1)
    notebook.run(2)
    notebook.output(2).locator(".file-change").wait_for()
    press(notebook, "Apply new.txt")
    notebook.output(2).locator(".change-status").get_by_text("Applied").wait_for()


def test_it_works_where_the_page_is_no_secure_context(notebook: Notebook) -> None:
    notebook.page.add_init_script("delete Crypto.prototype.randomUUID; delete Crypto.prototype.subtle;")
    notebook.write([START + "session.widget()"]).open()
    notebook.run(0)
    shown = notebook.output(0)
    box = shown.locator(".composer textarea")
    until(box.is_enabled, "the composer is ready", page=notebook.page)
    shown.get_by_label("Agent", exact=True).select_option("scripted")
    box.fill("say hello")
    shown.get_by_role("button", name="Send").click()
    shown.locator(".transcript").get_by_text("hello", exact=True).wait_for()
