"""The usage and cost of a chat, as a widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coder_nb.client.chat import Chat
from coder_nb.client.session import Session
from coder_nb.widgets.base import ChatView

if TYPE_CHECKING:
    import pandas as pd


class UsageTable(ChatView):
    """Tokens and cost as they are reported; `frame` is the table as data."""

    def __init__(self, chat: Chat | Session, **kwargs: Any) -> None:
        super().__init__(chat, view="usage", **kwargs)

    @property
    def frame(self) -> pd.DataFrame:
        """The DataFrame that the table shows, as it is at this moment."""
        return self._chat.usage()
