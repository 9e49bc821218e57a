"""What turns did to files, and what was decided about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from coder_nb.core.changes import Change, ChangeStatus
from coder_nb.core.codec import decode, encode
from coder_nb.store.base import Lease
from coder_nb.store.database import Database, Row, Statement, Tx, clean, constant, param, patient
from coder_nb.store.guard import guard_chat, unknown
from coder_nb.store.schema import changes, chats

_undecided = or_(changes.c.status == constant("pending"), changes.c.status == constant("conflict"))
_columns = (changes.c.body, changes.c.status, changes.c.note, changes.c.decided_at)
_SESSION, _CHAT, _ID = param("session_id"), param("chat_id"), param("change_id")

_CHAT_OF = Statement(select(changes.c.chat_id).where(changes.c.id == _ID))
_LAST_SEQ = Statement(select(func.coalesce(func.max(changes.c.seq), constant(0))).where(changes.c.chat_id == _CHAT))
_SUPERSEDE = Statement(
    update(changes)
    .where(changes.c.session_id == param("of_session"), changes.c.path == param("of_path"), _undecided)
    .values(status=constant("superseded"))
)
_ADD = Statement(insert(changes))
_DECIDE = Statement(
    update(changes)
    .where(changes.c.id == _ID)
    .values(status=param("status"), note=param("note"), decided_at=param("decided_at"))
)
_REVISE = Statement(
    update(changes)
    .where(changes.c.id == _ID)
    .values(
        path=param("path"),
        status=param("status"),
        note=param("note"),
        decided_at=param("decided_at"),
        body=param("body"),
    )
)
_OF_CHAT = Statement(
    select(*_columns)
    .where(changes.c.chat_id == _CHAT, changes.c.status != constant("superseded"))
    .order_by(changes.c.seq)
)
_OF_SESSION = Statement(select(*_columns).where(changes.c.session_id == _SESSION).order_by(changes.c.id))
_PENDING = Statement(
    select(*_columns)
    .join(chats, chats.c.id == changes.c.chat_id)
    .where(changes.c.session_id == _SESSION, _undecided)
    .order_by(chats.c.created_at, chats.c.id, changes.c.seq)
)
_GET = Statement(select(*_columns).where(changes.c.id == _ID))


class SqlChanges:
    """The changes of every chat, as `base.Changes` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def record(self, lease: Lease, changes: Sequence[Change]) -> None:
        async with self._database.write() as tx:
            await _guard(tx, lease, changes)
            for change in changes:
                if await tx.row(_CHAT_OF, change_id=change.id):
                    continue
                await tx.run(_SUPERSEDE, of_session=change.session_id, of_path=clean(change.path))
                await add(tx, change)

    @patient
    async def revise(self, lease: Lease, changes: Sequence[Change]) -> None:
        async with self._database.write() as tx:
            await _guard(tx, lease, changes)
            for change in changes:
                if await tx.row(_CHAT_OF, change_id=change.id):
                    await tx.run(_REVISE, change_id=change.id, **_values(change))
                else:
                    await add(tx, change)

    @patient
    async def decide(self, lease: Lease, decisions: Mapping[str, tuple[ChangeStatus, str]], *, now: int) -> None:
        async with self._database.write() as tx:
            guarded: set[str] = set()
            for change_id, (status, note) in decisions.items():
                found = await tx.row(_CHAT_OF, change_id=change_id)
                if found is None:
                    raise unknown("change", change_id)
                if found[0] not in guarded:
                    await guard_chat(tx, lease, found[0])
                    guarded.add(found[0])
                await tx.run(_DECIDE, change_id=change_id, status=status, note=clean(note), decided_at=now)

    @patient
    async def of_chat(self, chat_id: str) -> tuple[Change, ...]:
        async with self._database.read(once=True) as tx:
            return _changes(await tx.rows(_OF_CHAT, chat_id=chat_id))

    @patient
    async def pending(self, session_id: str) -> tuple[Change, ...]:
        async with self._database.read(once=True) as tx:
            return _changes(await tx.rows(_PENDING, session_id=session_id))

    @patient
    async def of_session(self, session_id: str) -> tuple[Change, ...]:
        async with self._database.read(once=True) as tx:
            return _changes(await tx.rows(_OF_SESSION, session_id=session_id))

    @patient
    async def get(self, change_id: str) -> Change:
        async with self._database.read(once=True) as tx:
            found = _changes(await tx.rows(_GET, change_id=change_id))
        if not found:
            raise unknown("change", change_id)
        return found[0]


async def _guard(tx: Tx, lease: Lease, changes: Iterable[Change]) -> None:
    for chat_id in dict.fromkeys(change.chat_id for change in changes):
        await guard_chat(tx, lease, chat_id)


async def add(tx: Tx, change: Change) -> None:
    """Adds a change to its chat, after those that are there."""
    ((last,),) = await tx.rows(_LAST_SEQ, chat_id=change.chat_id)
    fixed = {"id": change.id, "chat_id": change.chat_id, "session_id": change.session_id, "seq": last + 1}
    await tx.run(_ADD, **fixed, **_values(change))


def _values(change: Change) -> dict[str, object]:
    return {
        "path": clean(change.path),
        "status": change.status,
        "note": clean(change.note),
        "decided_at": change.decided_at,
        "body": encode(change),
    }


def _changes(rows: Iterable[Row]) -> tuple[Change, ...]:
    return tuple(
        msgspec.structs.replace(decode(body, Change), status=status, note=note, decided_at=decided_at)
        for body, status, note, decided_at in rows
    )
