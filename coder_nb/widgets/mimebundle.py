"""What an output carries beside its widget: our own snapshot, HTML without any script, and plain text."""

from __future__ import annotations

from typing import Any, Literal

from coder_nb.client.screen import Bundle, View
from coder_nb.client.snapshot import Snapshot
from coder_nb.client.text import diff_text, transcript_text, usage_text
from coder_nb.widgets.html import diff_html, transcript_html, usage_html

Shown = View | Literal["all"]
CHAT_MIME = "application/vnd.coder-nb.chat.v1+json"


def static_bundle(view: Shown, snapshot: Snapshot, *, model_id: str | None = None) -> Bundle:
    """A view of a chat that is right wherever it is opened, without a kernel, a server or a script."""
    data: dict[str, Any] = {**snapshot.builtins(), "view": "transcript" if view == "all" else view}
    if model_id is not None:
        data["model_id"] = model_id
    return {CHAT_MIME: data, "text/html": _html(view, snapshot), "text/plain": _text(view, snapshot)}


def _html(view: Shown, snapshot: Snapshot) -> str:
    if view == "all":
        return transcript_html(snapshot) + diff_html(snapshot.changes) + usage_html(snapshot.usage)
    if view == "diff":
        return diff_html(snapshot.changes)
    if view == "usage":
        return usage_html(snapshot.usage)
    return transcript_html(snapshot)


def _text(view: Shown, snapshot: Snapshot) -> str:
    if view == "diff":
        return diff_text(snapshot.changes) or "No changes."
    if view == "usage":
        return usage_text(snapshot.usage) or "No usage was reported."
    return transcript_text(snapshot.entries) or "Nothing has been said yet."
