"""The native histories of agents that keep none by themselves, item by item, as they wrote them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import case, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from coder_nb.backends.history import HistoryItem, HistoryKey
from coder_nb.ids import new_id
from coder_nb.store.database import Database, Statement, Tx, clean, constant, param, patient
from coder_nb.store.leases import now_ms
from coder_nb.store.schema import histories, history_items

_HISTORY = param("of_history")
_OF_SESSION = (histories.c.project == param("for_project"), histories.c.session == param("for_session"))
_OF_KEY = (*_OF_SESSION, histories.c.part == param("for_part"))
_MAIN = (histories.c.project == param("for_project"), histories.c.part == constant(""))

_new = insert(histories).values(
    id=param("new_id"),
    project=param("for_project"),
    session=param("for_session"),
    part=param("for_part"),
    last_seq=param("added"),
    written_at=now_ms(),
)
# The first statement of an append: whoever appends to the same history at the same time waits for it here.
_GROW = Statement(
    _new.on_conflict_do_update(
        index_elements=[histories.c.project, histories.c.session, histories.c.part],
        set_={
            "last_seq": histories.c.last_seq + _new.excluded.last_seq,
            "written_at": case(
                (histories.c.written_at > _new.excluded.written_at, histories.c.written_at),
                else_=_new.excluded.written_at,
            ),
        },
    ).returning(histories.c.id, histories.c.last_seq, histories.c.summary)
)
_ADD = Statement(insert(history_items).on_conflict_do_nothing())
_ADDED = Statement(
    select(history_items.c.seq).where(history_items.c.history_id == _HISTORY, history_items.c.seq >= param("from_seq"))
)
_SUMMARISE = Statement(update(histories).where(histories.c.id == _HISTORY).values(summary=param("new_summary")))
_LOAD = Statement(
    select(history_items.c.data)
    .join(histories, histories.c.id == history_items.c.history_id)
    .where(*_OF_KEY)
    .order_by(history_items.c.seq)
)
_SESSIONS = Statement(select(histories.c.session, histories.c.written_at).where(*_MAIN))
_SUMMARIES = Statement(
    select(histories.c.session, histories.c.written_at, histories.c.summary).where(
        *_MAIN, histories.c.summary.is_not(None)
    )
)
_PARTS = Statement(
    select(histories.c.part).where(*_OF_SESSION, histories.c.part != constant("")).order_by(histories.c.part)
)
_DELETE = Statement(delete(histories).where(*_OF_KEY))
_DELETE_SESSION = Statement(delete(histories).where(*_OF_SESSION))


class SqlHistory:
    """The kept histories, as `backends.history.History` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(
        self,
        key: HistoryKey,
        items: Sequence[HistoryItem],
        *,
        fold: Callable[[bytes | None, Sequence[HistoryItem]], bytes] | None = None,
    ) -> None:
        if not items:
            return
        async with self._database.write(begins_by_writing=True) as tx:
            grown = await tx.row(_GROW, new_id=new_id(), added=len(items), **_key(key))
            assert grown is not None  # an upsert gives its row
            history_id, last_seq, summary = grown
            fresh = await _add(tx, history_id, last_seq - len(items) + 1, items)
            if fold is not None and fresh:
                await tx.run(_SUMMARISE, of_history=history_id, new_summary=fold(summary, fresh))

    @patient
    async def load(self, key: HistoryKey) -> list[bytes] | None:
        async with self._database.read(once=True) as tx:
            return [data for (data,) in await tx.rows(_LOAD, **_key(key))] or None

    @patient
    async def sessions(self, project: str) -> list[tuple[str, int]]:
        async with self._database.read(once=True) as tx:
            return [(row[0], row[1]) for row in await tx.rows(_SESSIONS, for_project=clean(project))]

    @patient
    async def summaries(self, project: str) -> list[tuple[str, int, bytes]]:
        async with self._database.read(once=True) as tx:
            return [(row[0], row[1], row[2]) for row in await tx.rows(_SUMMARIES, for_project=clean(project))]

    @patient
    async def parts(self, project: str, session: str) -> list[str]:
        async with self._database.read(once=True) as tx:
            rows = await tx.rows(_PARTS, for_project=clean(project), for_session=clean(session))
        return [part for (part,) in rows]

    @patient
    async def delete(self, key: HistoryKey) -> None:
        async with self._database.write(begins_by_writing=True) as tx:
            if key.part:
                await tx.run(_DELETE, **_key(key))
            else:
                await tx.run(_DELETE_SESSION, for_project=clean(key.project), for_session=clean(key.session))


async def _add(tx: Tx, history_id: str, first_seq: int, items: Sequence[HistoryItem]) -> Sequence[HistoryItem]:
    """Adds what is not there yet, and gives just that."""
    rows = [
        {"history_id": history_id, "seq": seq, "item_id": item.id and clean(item.id), "data": item.data}
        for seq, item in enumerate(items, first_seq)
    ]
    if await tx.many(_ADD, rows) == len(rows):
        return items
    added = {seq for (seq,) in await tx.rows(_ADDED, of_history=history_id, from_seq=first_seq)}
    return [item for seq, item in enumerate(items, first_seq) if seq in added]


def _key(key: HistoryKey) -> dict[str, Any]:
    return {"for_project": clean(key.project), "for_session": clean(key.session), "for_part": clean(key.part)}
