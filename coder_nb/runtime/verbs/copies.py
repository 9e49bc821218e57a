"""Copies of chats, and links to them."""

from __future__ import annotations

from pathlib import Path

from coder_nb.core.agents import NativeSession
from coder_nb.core.copies import Files, Share
from coder_nb.core.export import Exported
from coder_nb.core.sessions import ChatInfo, check_name
from coder_nb.runtime import copying, forking, sharing
from coder_nb.runtime.verbs.base import VerbGroup


class Copies(VerbGroup):
    async def native_sessions(self, session_id: str, agent: str) -> tuple[NativeSession, ...]:
        return await self._context.agents.native_sessions(agent, Path(await self._host.path_of(session_id)))

    async def adopt(self, session_id: str, agent: str, native_id: str, *, name: str | None = None) -> ChatInfo:
        check_name(name or "")
        session = await self._store.catalog.get_session(session_id)
        lease = await self._host.lease_on(session.path)
        return await self._host.chat(
            await copying.adopted(self._context, lease, session, agent=agent, native_id=native_id, name=name)
        )

    async def fork(
        self, chat_id: str, *, turn_id: str | None = None, files: Files = "shared", name: str | None = None
    ) -> ChatInfo:
        check_name(name or "")
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._host.runner_of(chat)
        return await self._host.chat(
            await forking.fork(self._context, lease, chat, runner.tree, turn_id=turn_id, files=files, name=name)
        )

    async def export(self, chat_id: str, *, redact: bool = True) -> Exported:
        return await copying.exported(self._context, chat_id, redact=redact)

    async def import_chat(self, session_id: str, exported: Exported, *, name: str | None = None) -> ChatInfo:
        check_name(name or "")
        lease = await self._host.lease_on(await self._host.path_of(session_id))
        return await self._host.chat(await copying.imported(self._context, lease, session_id, exported, name=name))

    async def keep(self, session_id: str, *, days: int | None = None, mib: int | None = None) -> None:
        lease = await self._host.lease_on(await self._host.path_of(session_id))
        await self._store.keeping.keep(lease, session_id, days=days, mib=mib)

    async def share(self, chat_id: str, *, by: str | None = None) -> Share:
        return await sharing.share(self._context, chat_id, by=by or self._host.owner)

    async def shares(self, chat_id: str) -> tuple[Share, ...]:
        await self._store.catalog.get_chat(chat_id)
        return await self._store.shares.of_chat(chat_id)

    async def unshare(self, chat_id: str, share_id: str) -> bool:
        return await sharing.unshare(self._context, chat_id, share_id)
