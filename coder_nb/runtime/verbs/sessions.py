"""Sessions and their chats: opened, listed, seen."""

from __future__ import annotations

from pathlib import Path

from coder_nb import errors, ids
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo, check_name
from coder_nb.runtime.verbs.base import VerbGroup


class Sessions(VerbGroup):
    async def open_session(
        self,
        path: str,
        *,
        name: str = "main",
        new: bool = False,
        isolation: Isolation | None = None,
        base: str | None = None,
    ) -> SessionInfo:
        check_name(name)
        repository = await self._context.worktrees.locate(Path(path))
        session = await self._store.catalog.open_session(
            self._host.owner,
            repository.path,
            name=name,
            new=new,
            session_id=ids.new_id(),
            now=self._context.now(),
            isolation=isolation or self._context.settings.isolation,
            base=base,
        )
        if session.isolation != (isolation or session.isolation) or session.base != (base or session.base):
            raise errors.Conflict(
                f"The session {session.name!r} of this directory was begun otherwise (isolation="
                f"{session.isolation!r}, base={session.base!r}): give another `name`, or `new=True`."
            )
        return session

    async def sessions(self) -> tuple[SessionInfo, ...]:
        return await self._store.catalog.sessions()

    async def get_session(self, session_id: str) -> SessionInfo:
        return await self._store.catalog.get_session(session_id)

    async def open_chat(self, session_id: str, *, name: str = "main", new: bool = False) -> ChatInfo:
        check_name(name)
        chat = await self._store.catalog.open_chat(
            session_id, name=name, new=new, chat_id=ids.new_id(), now=self._context.now()
        )
        return await self._host.as_seen(chat)

    async def get_chat(self, chat_id: str) -> ChatInfo:
        return await self._host.as_seen(await self._store.catalog.get_chat(chat_id))

    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        return await self._of(chat_id, await self._store.turns.of_chat(chat_id))
