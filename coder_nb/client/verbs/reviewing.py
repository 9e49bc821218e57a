"""Changes and decisions, over the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coder_nb.client.wire import Wire
from coder_nb.core.changes import Change, FileContent, Preview


class Reviewing(Wire):
    async def changes(self, chat_id: str) -> tuple[Change, ...]:
        return await self._get(f"chats/{chat_id}/changes", tuple[Change, ...])

    async def apply(
        self,
        chat_id: str,
        change_ids: Sequence[str],
        *,
        hunks: Mapping[str, Sequence[str]] | None = None,
        to: str = "",
        commit: str = "",
    ) -> tuple[Change, ...]:
        body = {"ids": list(change_ids), "hunks": dict(hunks or {}), "to": to, "commit": commit}
        return await self._post(f"chats/{chat_id}/changes/apply", tuple[Change, ...], body)

    async def reject(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Change, ...]:
        body = {"ids": list(change_ids), "hunks": dict(hunks or {})}
        return await self._post(f"chats/{chat_id}/changes/reject", tuple[Change, ...], body)

    async def revert(self, chat_id: str, change_ids: Sequence[str]) -> tuple[Change, ...]:
        return await self._post(f"chats/{chat_id}/changes/revert", tuple[Change, ...], {"ids": list(change_ids)})

    async def preview(self, chat_id: str) -> tuple[Preview, ...]:
        return await self._get(f"chats/{chat_id}/changes/preview", tuple[Preview, ...])

    async def content(self, chat_id: str, change_id: str, *, old: bool = False) -> FileContent:
        side = "old" if old else "new"
        return await self._get(f"chats/{chat_id}/changes/{change_id}/content?side={side}", FileContent)
