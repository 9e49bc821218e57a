"""All text can be read: its computed contrast, over every text node of every view, in every theme."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

MEASURE = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((value, i) => value * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = ([r, g, b]) => {
    const linear = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const ratio = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const above = (element) => element.assignedSlot ?? element.parentElement ?? element.getRootNode().host ?? null;
  const background = (element) => {
    const layers = [];
    for (let one = element; one; one = above(one)) {
      const painted = one.tagName === 'svg' ? one.querySelector('rect')?.getAttribute('fill') : null;
      const color = rgba(painted ?? getComputedStyle(one).backgroundColor);
      if (color[3] > 0) layers.unshift(color);
      if (color[3] === 1) break;
    }
    return layers.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const found = [];
  const visit = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (element.shadowRoot) visit(element.shadowRoot);
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      const placeholder = element.placeholder && !element.value;
      if (!(own || placeholder) || ['STYLE', 'SCRIPT', 'TITLE'].includes(element.tagName)) continue;
      if (!element.checkVisibility({ visibilityProperty: true }) || element.closest('.sr')) continue;
      const style = getComputedStyle(element, placeholder ? '::placeholder' : null);
      const behind = background(element);
      const color = over(rgba(element.namespaceURI.endsWith('svg') ? style.fill : style.color), behind);
      found.push({ ratio: ratio(color, behind), text: (element.textContent || element.placeholder).trim().slice(0, 40),
                   where: `${element.tagName.toLowerCase()}.${element.className?.baseVal ?? element.className}` });
    }
  };
  visit(document);
  return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark", "dark-high-contrast", "none"])
@pytest.mark.parametrize("extra", ["", "&open"])
def test_every_text_has_a_contrast_of_at_least_four_and_a_half(
    page: Page, address: str, theme: str, extra: str
) -> None:
    page.goto(f"{address}?theme={theme}{extra}")
    page.wait_for_selector("body[data-ready]")
    page.get_by_text("Delete /tmp/sales-cache", exact=True).wait_for()
    texts: list[dict[str, Any]] = page.evaluate(MEASURE)
    assert len(texts) > 200
    low = sorted({(round(text["ratio"], 2), text["where"], text["text"]) for text in texts if text["ratio"] < 4.5})
    assert low == []


def test_the_views_follow_a_change_of_theme_in_the_open_page(page: Page, address: str) -> None:
    page.goto(f"{address}?theme=light")
    page.wait_for_selector(".coder-nb-view[data-theme=light]")
    page.evaluate("""() => { document.querySelector('link[rel=stylesheet]').href = '/theme/dark.css'; }""")
    page.wait_for_function(
        "() => getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim().toLowerCase() !== 'white'"
    )
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'false'; }")
    page.wait_for_selector(".coder-nb-view[data-theme=dark]")
