"""Chats that begin with a transcript: forks, imports, native sessions that are gone on with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.changes import Change
from coder_nb.core.codec import encode
from coder_nb.core.entries import Entry
from coder_nb.core.sessions import ChatInfo, TurnInfo, free_name
from coder_nb.store.appending import entry_row, turn_row
from coder_nb.store.base import Lease
from coder_nb.store.changes import add
from coder_nb.store.database import Database, Statement, Tx, clean, param
from coder_nb.store.guard import guard_session
from coder_nb.store.schema import agent_sessions, chats, entries, turns

PER_REVISION = 100
"""How many entries share a revision, so that a reader gets a long transcript in pages."""

_KNOWN = Statement(select(chats.c.id).where(chats.c.id == param("chat_id")))
_NAMES = Statement(select(chats.c.name).where(chats.c.session_id == param("session_id")))
_CHAT_FIELDS = (
    "id", "session_id", "name", "title", "created_at", "rev", "last_pos", "run_status", "held",
)  # fmt: skip
_ADD_CHAT = Statement(insert(chats).values({name: param(name) for name in _CHAT_FIELDS}))
_ADD_ENTRY = Statement(insert(entries))
_ADD_TURN = Statement(insert(turns))
_ADD_AGENT = Statement(insert(agent_sessions))


class SqlCopies:
    """As `base.Copies` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def plant(
        self,
        lease: Lease,
        chat: ChatInfo,
        *,
        entries: Sequence[Entry],
        turns: Sequence[TurnInfo],
        agents: Sequence[AgentSessionInfo] = (),
        changes: Sequence[Change] = (),
    ) -> bool:
        async with self._database.write() as tx:
            await guard_session(tx, lease, chat.session_id)
            if await tx.row(_KNOWN, chat_id=chat.id):
                return False
            rows = list(_entry_rows(entries, chat.id))
            rev = max(rows[-1]["rev"] if rows else 0, len(turns))  # what comes later comes after all of it
            await self._add_chat(tx, chat, rev=rev, last_pos=len(rows))
            if rows:
                await tx.many(_ADD_ENTRY, rows)
            if turns:
                await tx.many(_ADD_TURN, [turn_row(turn, 1 + place) for place, turn in enumerate(turns)])
            if agents:
                await tx.many(_ADD_AGENT, map(_agent_row, agents))
            for change in changes:
                await add(tx, change)
            tx.touch(chat.id)
            return True

    async def _add_chat(self, tx: Tx, chat: ChatInfo, *, rev: int, last_pos: int) -> None:
        taken = {name for (name,) in await tx.rows(_NAMES, session_id=chat.session_id)}
        await tx.run(
            _ADD_CHAT,
            id=chat.id,
            session_id=chat.session_id,
            name=free_name(clean(chat.name), taken),
            title=clean(chat.title),
            created_at=chat.created_at,
            rev=rev,
            last_pos=last_pos,
            run_status="idle",
            held=0,
        )


def _entry_rows(given: Iterable[Entry], chat_id: str) -> Iterable[dict[str, Any]]:
    """The entries in their order, at 1, 2, 3 and so on; of two with the same native id only the first keeps it."""
    native: set[str] = set()
    for pos, entry in enumerate(given, 1):
        row = entry_row(entry, chat_id, pos=pos, rev=1 + (pos - 1) // PER_REVISION)
        if row["native_id"] in native:
            row["native_id"] = None
        elif row["native_id"]:
            native.add(row["native_id"])
        yield row


def _agent_row(info: AgentSessionInfo) -> dict[str, Any]:
    return {
        "chat_id": info.chat_id,
        "agent": info.agent,
        "backend": info.backend,
        "status": info.status,
        "native_id": info.native_id and clean(info.native_id),
        "host": info.host,
        "last_active_at": info.last_active_at,
        "body": encode(info),
    }
