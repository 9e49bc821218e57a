"""Copies of chats and links to them, over the wire."""

from __future__ import annotations

from urllib.parse import urlencode

from coder_nb.client.wire import Done, Wire
from coder_nb.core.agents import NativeSession
from coder_nb.core.copies import Files, Share
from coder_nb.core.export import Exported
from coder_nb.core.sessions import ChatInfo


class Copies(Wire):
    async def native_sessions(self, session_id: str, agent: str) -> tuple[NativeSession, ...]:
        query = urlencode({"agent": agent})
        return await self._get(f"sessions/{session_id}/native-sessions?{query}", tuple[NativeSession, ...])

    async def adopt(self, session_id: str, agent: str, native_id: str, *, name: str | None = None) -> ChatInfo:
        body = {"agent": agent, "native_id": native_id, "name": name}
        return await self._post(f"sessions/{session_id}/adopt", ChatInfo, body)

    async def fork(
        self, chat_id: str, *, turn_id: str | None = None, files: Files = "shared", name: str | None = None
    ) -> ChatInfo:
        body = {"turn_id": turn_id, "files": files, "name": name}
        return await self._post(f"chats/{chat_id}/fork", ChatInfo, body)

    async def export(self, chat_id: str, *, redact: bool = True) -> Exported:
        return await self._get(f"chats/{chat_id}/export?redact={str(redact).lower()}", Exported)

    async def import_chat(self, session_id: str, exported: Exported, *, name: str | None = None) -> ChatInfo:
        return await self._post(f"sessions/{session_id}/import", ChatInfo, {"exported": exported, "name": name})

    async def keep(self, session_id: str, *, days: int | None = None, mib: int | None = None) -> None:
        await self._request("POST", f"sessions/{session_id}/keep", {"days": days, "mib": mib})

    async def share(self, chat_id: str, *, by: str | None = None) -> Share:
        return await self._post(f"chats/{chat_id}/shares", Share)

    async def shares(self, chat_id: str) -> tuple[Share, ...]:
        return await self._get(f"chats/{chat_id}/shares", tuple[Share, ...])

    async def unshare(self, chat_id: str, share_id: str) -> bool:
        return (await self._send("DELETE", f"chats/{chat_id}/shares/{share_id}", Done)).done
