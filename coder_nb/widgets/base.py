"""What the widgets have in common: the traits of `docs/protocol.md`, and a correspondent in the kernel."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from coder_nb.client.cell import has_viewer
from coder_nb.client.chat import Chat
from coder_nb.client.screen import View
from coder_nb.client.session import Session
from coder_nb.client.snapshot import Snapshot
from coder_nb.widgets.bundle import loader
from coder_nb.widgets.comm import Correspondent, Mailbox
from coder_nb.widgets.mimebundle import Shown, static_bundle

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


class ChatView(anywidget.AnyWidget):
    """One view of a chat. Traits carry what to show, never control: that goes by REST or by messages."""

    _esm = loader()

    view = traitlets.Unicode().tag(sync=True)
    """Which view: ``transcript``, ``composer``, ``diff`` or ``usage``."""
    chat_id = traitlets.Unicode().tag(sync=True)
    turn_id = traitlets.Unicode("").tag(sync=True)
    """The one turn that is shown; empty for the whole chat."""
    runtime_id = traitlets.Unicode().tag(sync=True)
    """The runtime that the kernel speaks with: a page whose server has the same asks it directly."""
    snapshot = traitlets.Dict().tag(sync=True)
    """The first paint."""
    options = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        chat: Chat | Session,
        *,
        view: View,
        snapshot: Snapshot | None = None,
        turn_id: str = "",
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._chat = chat.main if isinstance(chat, Session) else chat
        self._kind: View = view
        link = self._chat._link
        painted = self._chat._snapshot() if snapshot is None else snapshot
        super().__init__(
            view=view,
            chat_id=self._chat.id,
            turn_id=turn_id,
            runtime_id=link.health.runtime_id,
            snapshot=painted.builtins(),
            options=options or {},
            **kwargs,
        )
        self._correspondent = Correspondent(link, self._chat.id, self.send)
        self.on_msg(Mailbox(self.comm, self._correspondent.receive).deliver)

    @property
    def greeted(self) -> bool:
        """Whether a front end shows this widget through the kernel."""
        return self._correspondent.greeted

    def close(self) -> None:
        """Takes the widget from every page, and ends its feed."""
        self._correspondent.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.bundle(self._chat._snapshot()), {}

    def bundle(self, snapshot: Snapshot) -> dict[str, Any]:
        """The widget where somebody may look at it, and what is right in its place where it is gone."""
        return with_widget(self.model_id, self._kind, snapshot)


def with_widget(model_id: str, view: Shown, snapshot: Snapshot) -> dict[str, Any]:
    """A bundle with a widget and its static form; without the widget where nobody is there to see it."""
    if not has_viewer():
        return static_bundle(view, snapshot)
    model: dict[str, Any] = {"version_major": 2, "version_minor": 0, "model_id": model_id}
    return {WIDGET_MIME: model, **static_bundle(view, snapshot, model_id=model_id)}
