"""Going back, and the end of things, over the wire."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from coder_nb.client.wire import Wire
from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.risk import Risk, WorktreeInfo


class _Restored(msgspec.Struct):
    undo: str


class Ends(Wire):
    async def checkpoints(self, chat_id: str) -> tuple[CheckpointInfo, ...]:
        return await self._get(f"chats/{chat_id}/checkpoints", tuple[CheckpointInfo, ...])

    async def restore(self, chat_id: str, turn_id: str, *, files: bool = True, conversation: bool = True) -> str:
        body = {"turn_id": turn_id, "files": files, "conversation": conversation}
        return (await self._post(f"chats/{chat_id}/restore", _Restored, body)).undo

    async def risk(self, session_id: str) -> Risk:
        return await self._get(f"sessions/{session_id}/risk", Risk)

    async def stash(self, session_id: str) -> Risk:
        return await self._post(f"sessions/{session_id}/stash", Risk)

    async def keep_branch(self, session_id: str, name: str) -> Risk:
        return await self._post(f"sessions/{session_id}/branch", Risk, {"name": name})

    async def close_session(self, session_id: str, *, force: bool = False) -> None:
        await self._request("POST", f"sessions/{session_id}/close", {"force": force})

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        await self._request("DELETE", f"sessions/{session_id}?{urlencode({'force': str(force).lower()})}")

    async def close_chat(self, chat_id: str, *, force: bool = False) -> None:
        await self._request("POST", f"chats/{chat_id}/close", {"force": force})

    async def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        await self._request("DELETE", f"chats/{chat_id}?{urlencode({'force': str(force).lower()})}")

    async def worktrees(self) -> tuple[WorktreeInfo, ...]:
        return await self._get("worktrees", tuple[WorktreeInfo, ...])

    async def reap(self, *, dry_run: bool = False) -> tuple[WorktreeInfo, ...]:
        return await self._post("worktrees/reap", tuple[WorktreeInfo, ...], {"dry_run": dry_run})
