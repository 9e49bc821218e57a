"""The notebook as a screen: live widgets where somebody can see them, and what stays when they are gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from coder_nb.client.cell import has_viewer, kernel
from coder_nb.client.chat import Chat
from coder_nb.client.screen import Bundle, Display, View
from coder_nb.client.snapshot import Snapshot, opening
from coder_nb.core.prompts import Prompt
from coder_nb.widgets.html import page_html, transcript_html
from coder_nb.widgets.mimebundle import static_bundle

if TYPE_CHECKING:
    from coder_nb.widgets.base import ChatView


PATIENCE = 0.5
"""How long a cell waits for a turn to begin before it shows that the prompt waits, in seconds."""


class Notebook:
    """Shows chats in the outputs of cells."""

    def follow(self, chat: Chat, prompt: Prompt) -> Display | None:
        """Shows a prompt's turn live in the running cell; None where there is no kernel to show it by."""
        return LiveOutput(chat, prompt) if kernel() is not None else None

    def bundle(self, chat: Chat, view: View, snapshot: Snapshot) -> Bundle:
        """A live widget with its static form; without a kernel, the static form."""
        if not has_viewer():
            return static_bundle(view, snapshot)
        return _make(view)(chat, snapshot=snapshot, turn_id=snapshot.turn_id or "").bundle(snapshot)

    def static(self, snapshot: Snapshot) -> str:
        """The chat as HTML."""
        return transcript_html(snapshot)

    def page(self, snapshot: Snapshot) -> str:
        """The chat as a page that stands alone."""
        return page_html(snapshot)

    def widget(self, chat: Chat) -> Any:
        """Transcript and composer, with the changes and the usage in tabs beside it."""
        from coder_nb.widgets.box import ChatBox

        return ChatBox(chat)


class LiveOutput:
    """One output of a cell: a line while its prompt waits, its turn as it grows, and in the end what stays of it."""

    def __init__(self, chat: Chat, prompt: Prompt) -> None:
        link = chat._link
        self._chat, self._display_id = chat, prompt.id
        self._opening = link.run(opening, link.verbs, chat.id)
        self._make = _make("transcript") if has_viewer() else None
        self._begun = threading.Event()
        self._lock = threading.Lock()
        self._published = False
        self._widget: ChatView | None = None

    def wait(self) -> None:
        """Gives the turn a moment to begin, so that most outputs are their turn from the first."""
        if not self._begun.wait(PATIENCE):
            with self._lock:
                if not self._begun.is_set():
                    self._publish(_line("The prompt waits for its turn."))

    def begin(self, turn_id: str) -> None:
        """Puts the turn in the place of the line, or there at once."""
        snapshot = replace(self._opening, turn_id=turn_id)
        with self._lock:
            if self._make is not None:
                self._widget = self._make(self._chat, snapshot=snapshot, turn_id=turn_id)
            self._publish(self._bundle(snapshot))
            self._begun.set()

    def finish(self, snapshot: Snapshot | None) -> None:
        """Replaces it by the whole turn, as it stays."""
        with self._lock:
            withdrawn = _line("The prompt was taken out of the queue.")
            self._publish(withdrawn if snapshot is None else self._bundle(snapshot))
            self._begun.set()

    def _bundle(self, snapshot: Snapshot) -> Bundle:
        return static_bundle("transcript", snapshot) if self._widget is None else self._widget.bundle(snapshot)

    def _publish(self, bundle: Bundle) -> None:
        from IPython.display import publish_display_data

        publish: Any = publish_display_data
        publish(bundle, transient={"display_id": self._display_id}, update=self._published)
        self._published = True


def _line(text: str) -> Bundle:
    return {"text/html": f"<em>{text}</em>", "text/plain": text}


def _make(view: View) -> Callable[..., ChatView]:
    from coder_nb.widgets.composer import Composer
    from coder_nb.widgets.diff import DiffPanel
    from coder_nb.widgets.transcript import Transcript
    from coder_nb.widgets.usage import UsageTable

    classes: dict[View, Callable[..., ChatView]] = {
        "transcript": Transcript,
        "composer": Composer,
        "diff": DiffPanel,
        "usage": UsageTable,
    }
    return classes[view]
