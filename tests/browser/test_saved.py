"""What a document that was saved shows when it is opened by somebody who has neither its kernel nor its chat."""

from __future__ import annotations

from typing import Any

import anywidget
import nbformat
from harness import Notebook
from playwright.sync_api import expect

CHAT = "01jd0000000000000000000009"
MODEL = "0123456789abcdef" * 2
MIME = "application/vnd.coder-nb.chat.v1+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
VERSION = f"~{'.'.join(anywidget.__version__.split('.')[:2])}.*"
ANYWIDGET = {"model_name": "AnyModel", "model_module": "anywidget", "model_module_version": VERSION}
HOSTILE = {
    "_esm": "export default { render({ el }) { window.hacked = true; el.textContent = 'ran'; } }",
    "_anywidget_id": "hostile",
    "_view_name": "AnyView",
    "_view_module": "anywidget",
    "_view_module_version": VERSION,
    **{f"_{name}": value for name, value in ANYWIDGET.items()},
}


def snapshot(**more: Any) -> dict[str, Any]:
    text = {"kind": "text", "text": "The mean of the birds that were *weighed*."}
    entry = {"id": "e1", "chat_id": CHAT, "turn_id": "t1", "pos": 1, "rev": 1, "body": text}
    return {
        "version": 1,
        "view": "transcript",
        "chat": {"id": CHAT, "session_id": CHAT},
        "session": {"id": CHAT, "owner": "ana", "path": "/work"},
        "turn_id": None,
        "entries": [entry],
        "changes": [],
        "usage": [],
        **more,
    }


def saved(notebook: Notebook, data: dict[str, Any], **metadata: Any) -> Notebook:
    """A document whose first cell has such an output; nobody here has ever run it, so it is not trusted."""
    notebook.write(["1 + 1", "import ipywidgets; ipywidgets.Label('widgets work here')"], **metadata)
    document = nbformat.read(notebook.file, as_version=4)
    document.cells[0].outputs = [nbformat.v4.new_output("display_data", data=data)]
    nbformat.write(document, notebook.file)
    return notebook.open()


def test_a_saved_transcript_is_shown_where_neither_its_widget_nor_its_chat_is(notebook: Notebook) -> None:
    view = {"version_major": 2, "version_minor": 0, "model_id": MODEL}
    saved(notebook, {MIME: snapshot(), WIDGET_VIEW: view, "text/plain": "plain"})
    output = notebook.output(0)
    output.get_by_text("The mean of the birds that were weighed.").wait_for()
    output.get_by_text("Saved view").wait_for()
    assert "Error" not in output.inner_text()
    assert output.get_by_role("button", name="Stop").is_hidden()


def test_a_document_that_is_not_trusted_cannot_bring_a_widget_by_our_mime_type(notebook: Notebook) -> None:
    state = {"version_major": 2, "version_minor": 0, "state": {MODEL: {**ANYWIDGET, "state": HOSTILE}}}
    view = {"version_major": 2, "version_minor": 0, "model_id": MODEL}
    saved(notebook, {MIME: snapshot(), WIDGET_VIEW: view}, widgets={WIDGET_STATE: state})
    output = notebook.output(0)
    output.get_by_text("The mean of the birds that were weighed.").wait_for()
    notebook.run(1)
    notebook.output(1).locator(".widget-label").wait_for()
    assert notebook.page.evaluate("() => window.hacked") is None


def test_a_saved_view_that_is_no_chats_is_shown_and_nothing_in_it_runs_or_loads(notebook: Notebook) -> None:
    html = (
        "<h3>Cost</h3><p onclick='window.hacked = 1'>plums</p><script>window.hacked = 2</script>"
        "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' onload='window.hacked = 3'>"
        "<img class='far' src='http://127.0.0.1:9/x.png'><iframe src='http://127.0.0.1:9/'></iframe>"
    )
    saved(notebook, {MIME: {"version": 1, "html": html}, "text/plain": "plain"})
    output = notebook.output(0)
    output.get_by_text("plums").click()
    expect(output.locator("img")).to_have_count(2)
    assert output.locator("img.far").get_attribute("src") is None
    assert output.locator("iframe").count() == 0
    assert notebook.page.evaluate("window.hacked") is None
