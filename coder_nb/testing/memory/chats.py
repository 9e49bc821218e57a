"""Sessions and chats in memory, and the turns that are played in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec.structs import replace

from coder_nb.core.changes import Change
from coder_nb.core.entries import AnyBody, End, Entry, Page, TurnEnded, TurnStarted, UserMessage
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo, doing
from coder_nb.core.stream import Frame, PageFrame, StateFrame
from coder_nb.errors import NotFound
from coder_nb.ids import new_id

T = TypeVar("T")

OWNER = "me"
"""Who does what nobody else is said to do."""


class Table(dict[str, T]):
    """What there is by its id; an id that nothing has is `NotFound`."""

    def __missing__(self, key: str) -> T:
        raise NotFound


class Chats:
    """What each group of verbs works with; `play` takes a chat's turn, of a prompt, and gives its end."""

    def __init__(self, play: Callable[[str, Prompt, str], Awaitable[TurnEnded | End | None]]) -> None:
        self._play = play
        self.chats = Table[ChatInfo]()
        self.changed = Table[list[Change]]()
        self._ended: dict[str, int] = {}
        """At which revision each chat's last turn ended."""
        self._sessions = Table[SessionInfo]()
        self._log = Table[dict[str, Entry]]()
        self._turns = Table[list[TurnInfo]]()
        self._readers: dict[str, set[asyncio.Queue[Frame]]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def commit(
        self,
        chat_id: str,
        body: AnyBody,
        *,
        turn_id: str,
        agent: str | None,
        entry_id: str | None = None,
        open: bool = False,
    ) -> Entry:
        log = self._log[chat_id]
        known = log.get(entry_id or "")
        rev = self.chats[chat_id].rev + 1
        entry = Entry(
            id=entry_id or new_id(),
            chat_id=chat_id,
            body=body,
            turn_id=turn_id,
            pos=known.pos if known else len(log) + 1,
            rev=rev,
            ts=1_700_000_000_000 + rev,
            agent=agent,
            open=open,
        )
        log[entry.id] = entry
        self.chats[chat_id] = replace(self.chats[chat_id], rev=rev)
        self.tell(chat_id, PageFrame(page=Page(entries=(entry,), rev=rev)))
        return entry

    def update(self, chat_id: str, **fields: object) -> ChatInfo:
        chat = replace(self.chats[chat_id], **fields)
        self.chats[chat_id] = replace(chat, attention=doing(chat))
        self.tell(chat_id, StateFrame(chat=self.chats[chat_id]))
        return self.chats[chat_id]

    def tell(self, chat_id: str, frame: Frame) -> None:
        for queue in self._readers[chat_id]:
            queue.put_nowait(frame)

    async def open_session(
        self,
        path: str,
        *,
        name: str = "main",
        new: bool = False,
        isolation: Isolation | None = None,
        base: str | None = None,
    ) -> SessionInfo:
        for session in self._sessions.values():
            if (session.path, session.name) == (path, name) and not new:
                return session
        session = SessionInfo(id=new_id(), owner=OWNER, path=path, name=f"{name}-2" if new else name, created_at=1)
        self._sessions[session.id] = session
        return session

    async def sessions(self) -> tuple[SessionInfo, ...]:
        return tuple(reversed(self._sessions.values()))

    async def get_session(self, session_id: str) -> SessionInfo:
        return self._sessions[session_id]

    async def open_chat(self, session_id: str, *, name: str = "main", new: bool = False) -> ChatInfo:
        session = self._sessions[session_id]
        for chat in self.chats.values():
            if (chat.session_id, chat.name) == (session_id, name) and not new:
                return chat
        return self.add_chat(session, new_id(), name)

    def add_chat(self, session: SessionInfo, chat_id: str, name: str) -> ChatInfo:
        chat = ChatInfo(id=chat_id, session_id=session.id, name=name, run_status="idle")
        self.chats[chat.id] = chat
        self._log[chat.id], self.changed[chat.id], self._turns[chat.id] = {}, [], []
        self._readers[chat.id] = set()
        self._sessions[session.id] = replace(session, chats=(*session.chats, chat.id))
        return chat

    async def get_chat(self, chat_id: str) -> ChatInfo:
        return self.chats[chat_id]

    async def close_session(self, session_id: str, *, force: bool = False) -> None:
        await self.get_session(session_id)

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        for chat_id in self._sessions[session_id].chats:
            del self.chats[chat_id]
        del self._sessions[session_id]

    async def close_chat(self, chat_id: str, *, force: bool = False) -> None:
        await self.get_chat(chat_id)

    async def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        await self.get_chat(chat_id)
        del self.chats[chat_id]

    def _run_next(self, chat_id: str) -> None:
        chat, running = self.chats[chat_id], self._running.get(chat_id)
        if chat.held or not chat.queued or (running is not None and not running.done()):
            return
        self._running[chat_id] = asyncio.get_running_loop().create_task(self._run(chat_id), name=f"turns of {chat_id}")

    async def _run(self, chat_id: str) -> None:
        stopped = False
        while not stopped and self.chats[chat_id].queued and not self.chats[chat_id].held:
            stopped = await self._turn(chat_id)

    async def _turn(self, chat_id: str) -> bool:
        """Plays one turn; returns whether it was stopped."""
        prompt, *rest = self.chats[chat_id].queued
        turn = TurnInfo(
            id=new_id(),
            chat_id=chat_id,
            prompt_id=prompt.id,
            agent=prompt.agent or "replay",
            state="running",
            started_at=1,
        )
        self._turns[chat_id].append(turn)
        self.update(chat_id, queued=tuple(rest), run_status="running", turn_id=turn.id)
        began = TurnStarted(agent=turn.agent, model=prompt.model, mode=prompt.mode, effort=prompt.effort)
        self.commit(chat_id, replace(began, prompt_id=prompt.id, cell=prompt.cell), turn_id=turn.id, agent=turn.agent)
        said_by_user = UserMessage(text=prompt.text, prompt_id=prompt.id, attachments=prompt.attachments)
        self.commit(chat_id, said_by_user, turn_id=turn.id, agent=turn.agent)
        stopped = False
        try:
            said = await self._play(chat_id, prompt, turn.id) or "completed"
        except asyncio.CancelledError:
            said, stopped = "cancelled", True
        body = said if isinstance(said, TurnEnded) else TurnEnded(end=said)
        self._turns[chat_id][-1] = replace(
            turn, state=body.end, end=body.end, message=body.message, code=body.code, ended_at=2
        )
        self.commit(chat_id, body, turn_id=turn.id, agent=turn.agent)
        self._ended[chat_id] = self.chats[chat_id].rev
        self.update(chat_id, run_status="idle", turn_id=None, asking=None, unseen=True)
        return stopped
