"""The notebook as a screen: live widgets where somebody can see them, and what stays when they are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from coder_nb.client.cell import kernel, person_present
from coder_nb.client.chat import Chat
from coder_nb.client.screen import Bundle, Display, View
from coder_nb.client.snapshot import Snapshot, opening
from coder_nb.core.values import Prompt
from coder_nb.widgets.mimebundle import static_bundle

if TYPE_CHECKING:
    from coder_nb.widgets.base import ChatView


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

    def widget(self, chat: Chat) -> Any:
        """Transcript and composer, with the changes and the usage in tabs beside it."""
        import ipywidgets

        talk = ipywidgets.VBox([_make("transcript")(chat), _make("composer")(chat)])
        panels = [talk, _make("diff")(chat), _make("usage")(chat)]
        tab = ipywidgets.Tab(panels, titles=["Chat", "Changes", "Usage"])
        return ipywidgets.VBox([tab])


class LiveOutput:
    """One output of a cell, live while its turn runs, and replaced by what stays at its end."""

    def __init__(self, chat: Chat, prompt: Prompt) -> None:

        link = chat._link
        snapshot = link.run(opening, link.verbs, chat.id)
        self._id = prompt.id
        self._widget: ChatView | None = None
        if has_viewer():
            self._widget = _make("transcript")(chat, snapshot=snapshot, options={"prompt_id": prompt.id})
            bundle = self._widget.bundle(snapshot)
        else:
            bundle = static_bundle("transcript", snapshot)
        _publish(bundle, self._id)

    def begin(self, turn_id: str) -> None:
        """Ties the widget to its turn."""
        if self._widget is not None:
            self._widget.turn_id = turn_id

    def finish(self, snapshot: Snapshot) -> None:
        """Replaces the output by the whole turn."""
        bundle = static_bundle("transcript", snapshot) if self._widget is None else self._widget.bundle(snapshot)
        _publish(bundle, self._id, update=True)


def _publish(bundle: Bundle, display_id: str, *, update: bool = False) -> None:
    from IPython.display import publish_display_data

    publish: Any = publish_display_data
    publish(bundle, transient={"display_id": display_id}, update=update)


def has_viewer() -> bool:
    """Whether somebody may look at a widget: programs that execute a notebook by themselves allow no `input()`, and
    what they save is read where no widget lives."""
    return kernel() is not None and person_present()


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
