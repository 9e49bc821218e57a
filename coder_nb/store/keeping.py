"""How long, and how much, is kept of what was said."""

from __future__ import annotations

from sqlalchemy import func, select, update

from coder_nb.core.retention import Weight
from coder_nb.store.base import Lease
from coder_nb.store.database import Database, Statement, constant, param, patient
from coder_nb.store.guard import guard_session
from coder_nb.store.schema import chats, entries, inbox, sessions

_of_chat = entries.c.chat_id == chats.c.id
_waits = select(func.count()).where(inbox.c.chat_id == chats.c.id, inbox.c.status == constant("waiting"))
_WEIGHTS = Statement(
    select(
        chats.c.id,
        chats.c.session_id,
        select(func.coalesce(func.sum(func.length(entries.c.body)), constant(0))).where(_of_chat).scalar_subquery(),
        select(func.coalesce(func.max(entries.c.ts), chats.c.created_at)).where(_of_chat).scalar_subquery(),
        chats.c.turn_id,
        _waits.scalar_subquery(),
        sessions.c.keep_days,
        sessions.c.keep_mib,
    )
    .join(sessions, sessions.c.id == chats.c.session_id)
    .order_by(chats.c.id)
)
_KEEP = Statement(
    update(sessions)
    .where(sessions.c.id == param("of_session"))
    .values(keep_days=param("keep_days"), keep_mib=param("keep_mib"))
)


class SqlKeeping:
    """As `base.Keeping` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def weights(self) -> list[Weight]:
        async with self._database.read(once=True) as tx:
            return [
                Weight(chat_id, session_id, int(size), used_at, turn is not None or waiting > 0, days, mib)
                for chat_id, session_id, size, used_at, turn, waiting, days, mib in await tx.rows(_WEIGHTS)
            ]

    @patient
    async def keep(self, lease: Lease, session_id: str, *, days: int | None, mib: int | None) -> None:
        async with self._database.write() as tx:
            await guard_session(tx, lease, session_id)
            await tx.run(_KEEP, of_session=session_id, keep_days=days, keep_mib=mib)
