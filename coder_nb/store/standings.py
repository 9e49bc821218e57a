"""Where chats stand: what there is to know of each without reading it, and whether somebody has looked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ScalarSelect, and_, case, func, select, update

from coder_nb.store.base import Standing
from coder_nb.store.database import Database, Row, Statement, constant, param, patient
from coder_nb.store.guard import unknown
from coder_nb.store.schema import chats, entries, inbox, sessions, turns


def _request(column: str) -> ScalarSelect[Any]:
    """Of the oldest request that waits for an answer in a chat."""
    asking = (entries.c.open == constant(1), entries.c.kind.in_([constant("permission"), constant("question")]))
    found = select(entries.c[column]).where(entries.c.chat_id == chats.c.id, *asking)
    return found.order_by(entries.c.pos).limit(1).scalar_subquery()


UNSEEN = (chats.c.ended_rev > chats.c.seen_rev).label("unseen")
"""Whether a turn of a chat has ended since somebody looked."""
ASKS = _request("kind").label("asks")

_last_turn = select(func.max(turns.c.rev)).where(turns.c.chat_id == chats.c.id).correlate(chats).scalar_subquery()
_waiting = select(func.count()).where(inbox.c.chat_id == chats.c.id, inbox.c.status == constant("waiting"))
_standings = (
    select(
        chats.c.id.label("chat_id"),
        chats.c.session_id,
        sessions.c.path,
        sessions.c.name.label("session"),
        chats.c.name,
        chats.c.title,
        chats.c.created_at,
        chats.c.turn_id,
        chats.c.starting,
        ASKS,
        _request("ts").label("asked_at"),
        _waiting.scalar_subquery().label("queued"),
        chats.c.held,
        (chats.c.run_status == constant("error")).label("failed"),
        chats.c.error,
        UNSEEN,
        turns.c.agent,
        turns.c.started_at,
        turns.c.ended_at,
    )
    .select_from(chats)
    .join(sessions, sessions.c.id == chats.c.session_id)
    .outerjoin(turns, and_(turns.c.chat_id == chats.c.id, turns.c.rev == _last_turn))
    .order_by(chats.c.created_at, chats.c.id)
)
_FIELDS = tuple(column.name for column in _standings.selected_columns)
_TRUTHS = ("starting", "held", "failed", "unseen")
_EVERY = Statement(_standings.where(chats.c.archived_at.is_(None), sessions.c.archived_at.is_(None)))
_OF = Statement(_standings.where(chats.c.id == param("chat_id")))

_upto = case((chats.c.rev < param("upto"), chats.c.rev), else_=param("upto", chats.c.rev))
_SEEN = Statement(
    update(chats)
    .where(chats.c.id == param("of_chat"), chats.c.ended_rev > chats.c.seen_rev, chats.c.ended_rev <= _upto)
    .values(seen_rev=_upto)
)


class SqlStandings:
    """As `base.Standings` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def every(self) -> tuple[Standing, ...]:
        async with self._database.read(once=True) as tx:
            return tuple(map(_standing, await tx.rows(_EVERY)))

    @patient
    async def of(self, chat_id: str) -> Standing:
        async with self._database.read(once=True) as tx:
            found = await tx.row(_OF, chat_id=chat_id)
        if found is None:
            raise unknown("chat", chat_id)
        return _standing(found)

    @patient
    async def seen(self, chat_id: str, rev: int) -> bool:
        async with self._database.write() as tx:
            if not await tx.run(_SEEN, of_chat=chat_id, upto=rev):
                if not await tx.row(_OF, chat_id=chat_id):
                    raise unknown("chat", chat_id)
                return False
            tx.touch(chat_id)
            return True


def _standing(row: Row) -> Standing:
    fields = dict(zip(_FIELDS, row, strict=True))
    return Standing(**fields | {name: bool(fields[name]) for name in _TRUTHS})
