"""Copies of chats, and links to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace

from coder_nb.core import export, redaction
from coder_nb.core.agents import NativeSession
from coder_nb.core.copies import Files, Share
from coder_nb.core.export import Exported
from coder_nb.core.sessions import ChatInfo
from coder_nb.core.stream import Frame, Hello
from coder_nb.errors import NotFound
from coder_nb.ids import id_of, new_id
from coder_nb.testing.memory.chats import OWNER
from coder_nb.testing.memory.reading import Reading


class Copies(Reading):
    """No agent of it keeps sessions by itself, and nothing is ever let go, however little is to be kept."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._shares: dict[str, Share] = {}

    async def native_sessions(self, session_id: str, agent: str) -> tuple[NativeSession, ...]:
        await self.get_session(session_id)
        return ()

    async def adopt(self, session_id: str, agent: str, native_id: str, *, name: str | None = None) -> ChatInfo:
        await self.get_session(session_id)
        raise NotFound(f"{agent} keeps no such session: `session.native_sessions()` lists those there are.")

    async def fork(
        self, chat_id: str, *, turn_id: str | None = None, files: Files = "shared", name: str | None = None
    ) -> ChatInfo:
        whole = self._exported(chat_id)
        kept = export.kept_turns(whole.turns, turn_id)
        entries = export.up_to(whole.entries, kept[-1].id if kept else None)
        session, name = whole.session, name or f"{whole.chat.name}-fork"
        if files != "shared":
            session = await self.open_session(session.path, name=f"{session.name}-fork", new=True)
        made = self.add_chat(session, new_id(), name)
        return self._plant(made, replace(whole, entries=entries, turns=tuple(kept)))

    async def export(self, chat_id: str, *, redact: bool = True) -> Exported:
        plain = export.durable(self._exported(chat_id))
        hides = redaction.Redactor(redaction.secrets_seen(plain.entries))
        return export.redacted(plain, hides) if redact else plain

    async def import_chat(self, session_id: str, exported: Exported, *, name: str | None = None) -> ChatInfo:
        session, chat_id = await self.get_session(session_id), id_of(session_id, exported.chat.id)
        if chat_id in self.chats:
            return self.chats[chat_id]
        return self._plant(self.add_chat(session, chat_id, name or exported.chat.name), exported)

    async def keep(self, session_id: str, *, days: int | None = None, mib: int | None = None) -> None:
        await self.get_session(session_id)

    async def share(self, chat_id: str, *, by: str | None = None) -> Share:
        await self.get_chat(chat_id)
        share = Share(id=new_id(), chat_id=chat_id, by=by or OWNER, created_at=1, link=new_id())
        self._shares[share.id] = share
        return share

    async def shares(self, chat_id: str) -> tuple[Share, ...]:
        await self.get_chat(chat_id)
        return tuple(replace(share, link="") for share in self._shares.values() if share.chat_id == chat_id)

    async def unshare(self, chat_id: str, share_id: str) -> bool:
        share = self._shares.get(share_id)
        if share is None or share.chat_id != chat_id:
            raise NotFound("This chat has no such link: `chat.shares()` lists those it has.")
        self._shares[share_id] = replace(share, revoked_at=share.revoked_at or 2)
        return share.revoked_at is None

    async def shared(self, link: str, *, tail: int = 200) -> AsyncIterator[Frame]:
        """Until the link is revoked, which is seen with the next frame; what it shows is shown as it is."""
        found = next((share for share in self._shares.values() if share.link == link and not share.revoked_at), None)
        if found is None:
            raise NotFound
        async for frame in self.stream(found.chat_id, tail=tail):
            if self._shares[found.id].revoked_at is not None:
                return
            yield replace(frame, may_execute=False) if isinstance(frame, Hello) else frame

    def _exported(self, chat_id: str) -> Exported:
        chat = self.chats[chat_id]
        return Exported(
            chat=chat,
            session=self._sessions[chat.session_id],
            entries=tuple(sorted(self._log[chat_id].values(), key=lambda entry: entry.pos)),
            turns=tuple(self._turns[chat_id]),
            changes=tuple(self.changed[chat_id]),
        )

    def _plant(self, chat: ChatInfo, given: Exported) -> ChatInfo:
        """A new chat with the transcript of another one."""
        entries, turns = export.copied(given, chat.id, id_of)
        self._log[chat.id] = {entry.id: replace(entry, rev=1) for entry in entries}
        self._turns[chat.id] = list(turns)
        return self.update(chat.id, rev=1, title=given.chat.title)
