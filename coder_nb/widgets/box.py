"""All views of a chat in one box."""

from __future__ import annotations

from typing import Any

import ipywidgets

from coder_nb.client.chat import Chat
from coder_nb.client.session import Session
from coder_nb.widgets.base import with_widget
from coder_nb.widgets.composer import Composer
from coder_nb.widgets.diff import DiffPanel
from coder_nb.widgets.transcript import Transcript
from coder_nb.widgets.usage import UsageTable


class ChatBox(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Transcript and composer, with the changes and the usage in tabs beside them."""

    def __init__(self, chat: Chat | Session, **kwargs: Any) -> None:
        self._chat = chat.main if isinstance(chat, Session) else chat
        self.transcript = Transcript(self._chat)
        self.composer = Composer(self._chat)
        self.diff = DiffPanel(self._chat)
        self.usage = UsageTable(self._chat)
        talk = ipywidgets.VBox([self.transcript, self.composer])
        tab = ipywidgets.Tab([talk, self.diff, self.usage], titles=["Chat", "Changes", "Usage"])
        super().__init__([tab], **kwargs)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return with_widget(self.model_id, "all", self._chat._snapshot()), {}
