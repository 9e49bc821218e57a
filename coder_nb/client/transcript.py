"""What happened in a chat or a turn, to iterate over, to look at, and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from coder_nb.client.live import teller_of
from coder_nb.client.snapshot import Snapshot, newest, take_turn
from coder_nb.core.entries import Entry, ToolCall

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.client.chat import Chat


class Entries(Sequence[Entry]):
    """The entries of a transcript, as they were when it was asked for."""

    def __init__(self, chat: Chat, entries: tuple[Entry, ...], *, turn_id: str | None = None) -> None:
        self._chat = chat
        self._entries = entries
        self._turn_id = turn_id

    @property
    def frame(self) -> pd.DataFrame:
        """One row an entry."""
        from coder_nb.analysis.frames import entries_frame

        return entries_frame(self._entries)

    @property
    def tool_calls(self) -> pd.DataFrame:
        """One row a tool call."""
        from coder_nb.analysis.frames import frame
        from coder_nb.analysis.tables import TOOL_CALLS

        link = self._chat._link
        teller = link.run(teller_of, link.verbs, self._chat.id)
        return frame((teller.call(one) for one in self._entries if isinstance(one.body, ToolCall)), TOOL_CALLS)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, index: int | slice) -> Entry | tuple[Entry, ...]:
        return self._entries[index]

    def __repr__(self) -> str:
        return f"<{len(self)} entries of the chat {self._chat.name!r}>"

    def __str__(self) -> str:
        from coder_nb.client.text import transcript_text

        return transcript_text(self._entries)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._chat._bundle("transcript", self._snapshot())

    def _snapshot(self) -> Snapshot:
        link = self._chat._link
        if self._turn_id is not None:
            return link.run(take_turn, link.verbs, self._chat.id, self._turn_id, self._entries)
        return self._chat._snapshot(newest(self._entries))
