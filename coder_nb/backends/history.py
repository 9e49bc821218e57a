"""The histories that we keep for agents which keep none by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from coder_nb.core.entries import Value


class HistoryKey(Value):
    """Which history: a project, a session in it, and a part of that session, empty for the main one."""

    project: str
    session: str
    part: str = ""


class HistoryItem(Value):
    """One entry, as the agent wrote it."""

    data: bytes
    """JSON, kept as it is, lone surrogates and NUL escaped."""
    id: str | None = None
    """Stored once a history; items without one are all kept."""


class History(Protocol):
    """The histories of agents that keep none by themselves; every call is one transaction."""

    async def append(
        self,
        key: HistoryKey,
        items: Sequence[HistoryItem],
        *,
        fold: Callable[[bytes | None, Sequence[HistoryItem]], bytes] | None = None,
    ) -> None:
        """Adds items in their order, those with a known id left out.

        `fold` makes the summary anew from the last one and the items that were not known. Without items nothing is
        touched, and no history is made.
        """

    async def load(self, key: HistoryKey) -> list[bytes] | None:
        """All items in their order; None where nothing was ever written."""

    async def sessions(self, project: str) -> list[tuple[str, int]]:
        """Sessions with a main part, and when it was last written, in milliseconds since the epoch."""

    async def summaries(self, project: str) -> list[tuple[str, int, bytes]]:
        """Session, time and summary of each that has one."""

    async def parts(self, project: str, session: str) -> list[str]:
        """The parts of a session beside the main one."""

    async def delete(self, key: HistoryKey) -> None:
        """Removes a part; the main one takes all parts and the summary along."""
