"""The diff of a chat, as a widget."""

from __future__ import annotations

from typing import Any

from coder_nb.client.chat import Chat
from coder_nb.client.session import Session
from coder_nb.widgets.base import ChatView


class DiffPanel(ChatView):
    """What the chat's turns did to files, to apply or reject one by one or all."""

    def __init__(self, chat: Chat | Session, **kwargs: Any) -> None:
        super().__init__(chat, view="diff", **kwargs)
