"""Turns, and what they used."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Select, select

from coder_nb.core import usage
from coder_nb.core.codec import decode_body
from coder_nb.core.entries import Entry, Usage
from coder_nb.core.sessions import TurnInfo
from coder_nb.core.usage import UsageRow
from coder_nb.store.database import Database, Row, Statement, constant, param, patient
from coder_nb.store.schema import chats, entries, sessions, turns

_turns = select(*(turns.c[name] for name in TurnInfo.__struct_fields__)).order_by(turns.c.chat_id, turns.c.rev)
_OF_CHAT = Statement(_turns.where(turns.c.chat_id == param("chat_id")))
_UNFINISHED = Statement(
    _turns.join(chats, chats.c.id == turns.c.chat_id)
    .join(sessions, sessions.c.id == chats.c.session_id)
    .where(sessions.c.path == param("path"), turns.c.end.is_(None))
)


def _usage(*where: ColumnElement[bool]) -> Select[tuple[object, ...]]:
    return (
        select(
            entries.c.id,
            entries.c.chat_id,
            chats.c.session_id,
            entries.c.turn_id,
            entries.c.agent,
            entries.c.ts,
            entries.c.body,
        )
        .select_from(entries)
        .join(chats, chats.c.id == entries.c.chat_id)
        .where(entries.c.kind == constant("usage"), *where)
        .order_by(entries.c.chat_id, entries.c.pos)
    )


_USAGE, _USAGE_OF = Statement(_usage()), Statement(_usage(entries.c.chat_id == param("chat_id")))


class SqlTurns:
    """As `base.Turns` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def of_chat(self, chat_id: str) -> tuple[TurnInfo, ...]:
        async with self._database.read(once=True) as tx:
            return _turn_infos(await tx.rows(_OF_CHAT, chat_id=chat_id))

    @patient
    async def unfinished(self, path: str) -> tuple[TurnInfo, ...]:
        async with self._database.read(once=True) as tx:
            return _turn_infos(await tx.rows(_UNFINISHED, path=path))

    @patient
    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        async with self._database.read(once=True) as tx:
            rows = await (tx.rows(_USAGE) if chat_id is None else tx.rows(_USAGE_OF, chat_id=chat_id))
        return tuple(found for found in map(_usage_row, rows) if found is not None)


def _turn_infos(rows: Iterable[Row]) -> tuple[TurnInfo, ...]:
    return tuple(TurnInfo(**dict(zip(TurnInfo.__struct_fields__, row, strict=True))) for row in rows)


def _usage_row(row: Row) -> UsageRow | None:
    entry_id, chat_id, session_id, turn_id, agent, ts, data = row
    body = decode_body(data)
    if not isinstance(body, Usage):
        return None
    entry = Entry(id=entry_id, chat_id=chat_id, body=body, turn_id=turn_id, agent=agent, ts=ts)
    return usage.row(entry, body, session_id=session_id)
