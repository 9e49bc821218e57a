"""A history that a test keeps in memory, with the promises of `backends.history.History`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coder_nb.backends.history import HistoryItem, HistoryKey


class MemoryHistory:
    def __init__(self) -> None:
        self.items: dict[HistoryKey, list[HistoryItem]] = {}

    async def append(self, key: HistoryKey, items: Sequence[HistoryItem], **_: Any) -> None:
        kept = self.items.setdefault(key, []) if items else []
        known = {item.id for item in kept if item.id}
        kept.extend(item for item in items if item.id not in known)

    async def load(self, key: HistoryKey) -> list[bytes] | None:
        found = self.items.get(key)
        return None if found is None else [item.data for item in found]

    async def sessions(self, project: str) -> list[tuple[str, int]]:
        return [(key.session, 0) for key in self.items if key.project == project and not key.part]

    async def summaries(self, project: str) -> list[tuple[str, int, bytes]]:
        return []

    async def parts(self, project: str, session: str) -> list[str]:
        return [key.part for key in self.items if (key.project, key.session) == (project, session) and key.part]

    async def delete(self, key: HistoryKey) -> None:
        self.items.pop(key, None)
