"""What the tests of views do with a page of the gallery."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page


def live(page: Page, script: str) -> Locator:
    """Shows a view as `gallery.live("x", traits, script)`; its model stays as `window.model`."""
    page.evaluate("([script]) => { window.model = eval(`gallery.live('x', ${script})`); }", [script])
    return page.locator(".coder-nb-view")


def calls(page: Page, route: str) -> list[dict[str, Any]]:
    """The calls whose route ends so, that the view has made."""
    found: list[dict[str, Any]] = page.evaluate(
        "(route) => model.sent.filter((m) => m.op === 'call' && m.route.endsWith(route))", route
    )
    return found
