"""Links by which a chat can be looked at."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from coder_nb.core.copies import Share
from coder_nb.errors import NotFound
from coder_nb.store.database import Database, Row, Statement, clean, param, patient
from coder_nb.store.guard import unknown
from coder_nb.store.schema import shares

_shares = select(shares.c.id, shares.c.chat_id, shares.c.made_by, shares.c.created_at, shares.c.revoked_at)
_ADD = Statement(insert(shares))
_OF_CHAT = Statement(_shares.where(shares.c.chat_id == param("chat_id")).order_by(shares.c.created_at, shares.c.id))
_BY_ID = Statement(_shares.where(shares.c.id == param("share_id")))
_BY_SECRET = Statement(_shares.where(shares.c.secret_hash == param("secret"), shares.c.revoked_at.is_(None)))
_REVOKE = Statement(
    update(shares).where(shares.c.id == param("share_id"), shares.c.revoked_at.is_(None)).values(revoked_at=param("at"))
)


class SqlShares:
    """As `base.Shares` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, share: Share, secret_hash: str) -> None:
        async with self._database.write() as tx:
            await tx.run(
                _ADD,
                id=share.id,
                chat_id=share.chat_id,
                secret_hash=secret_hash,
                made_by=clean(share.by),
                created_at=share.created_at,
                revoked_at=None,
            )

    @patient
    async def of_chat(self, chat_id: str) -> tuple[Share, ...]:
        async with self._database.read(once=True) as tx:
            return tuple(map(_share, await tx.rows(_OF_CHAT, chat_id=chat_id)))

    @patient
    async def find(self, secret_hash: str) -> Share:
        async with self._database.read(once=True) as tx:
            found = await tx.row(_BY_SECRET, secret=secret_hash)
        if found is None:
            raise NotFound("This link leads nowhere: it was revoked, or its chat deleted. Ask who gave it to you.")
        return _share(found)

    async def revoke(self, share_id: str, *, at: int) -> bool:
        async with self._database.write() as tx:
            done = await tx.run(_REVOKE, share_id=share_id, at=at)
            if not done and not await tx.row(_BY_ID, share_id=share_id):
                raise unknown("link", share_id)
            return bool(done)


def _share(row: Row) -> Share:
    share_id, chat_id, by, created_at, revoked_at = row
    return Share(id=share_id, chat_id=chat_id, by=by, created_at=created_at, revoked_at=revoked_at)
