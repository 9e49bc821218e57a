"""Sessions and their chats, over the wire."""

from __future__ import annotations

from coder_nb.client.wire import Wire
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo


class Sessions(Wire):
    async def open_session(
        self,
        path: str,
        *,
        name: str = "main",
        new: bool = False,
        isolation: Isolation | None = None,
        base: str | None = None,
    ) -> SessionInfo:
        asked = {"path": path, "name": name, "new": new, "isolation": isolation, "base": base}
        return await self._post("sessions", SessionInfo, asked)

    async def sessions(self) -> tuple[SessionInfo, ...]:
        return await self._get("sessions", tuple[SessionInfo, ...])

    async def get_session(self, session_id: str) -> SessionInfo:
        return await self._get(f"sessions/{session_id}", SessionInfo)

    async def open_chat(self, session_id: str, *, name: str = "main", new: bool = False) -> ChatInfo:
        return await self._post(f"sessions/{session_id}/chats", ChatInfo, {"name": name, "new": new})

    async def get_chat(self, chat_id: str) -> ChatInfo:
        return await self._get(f"chats/{chat_id}", ChatInfo)

    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        return await self._get(f"chats/{chat_id}/turns", tuple[TurnInfo, ...])
