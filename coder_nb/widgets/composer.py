"""The composer of a chat, as a widget."""

from __future__ import annotations

from typing import Any

from coder_nb.client.chat import Chat
from coder_nb.client.session import Session
from coder_nb.widgets.base import ChatView


class Composer(ChatView):
    """A field to prompt from, with the choice of agent and mode, and the queue of what waits."""

    def __init__(self, chat: Chat | Session, **kwargs: Any) -> None:
        super().__init__(chat, view="composer", **kwargs)
