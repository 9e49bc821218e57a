"""The transcript of a chat, as a widget."""

from __future__ import annotations

from typing import Any

from coder_nb.client.chat import Chat
from coder_nb.client.session import Session
from coder_nb.widgets.base import ChatView


class Transcript(ChatView):
    """What is said and done in a chat, growing as it happens, with a Stop button."""

    def __init__(self, chat: Chat | Session, **kwargs: Any) -> None:
        super().__init__(chat, view="transcript", **kwargs)
