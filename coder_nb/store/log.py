"""A chat's entries: appended and replaced under one counter, read by revision or by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import literal_column, select, union_all

from coder_nb.core.codec import decode_body, encode
from coder_nb.core.entries import Chunk, Entry, Page, Reasoning, Text
from coder_nb.store.appending import STREAMED, append
from coder_nb.store.base import ENCODED, Batch, Committed, Lease
from coder_nb.store.database import Database, Row, Statement, Tx, param
from coder_nb.store.guard import unknown
from coder_nb.store.schema import chats, chunks, entries

_columns = [entries.c[name] for name in ENCODED]
_AFTER, _CHAT = param("after"), param("chat_id")
_UPTO, _LIMIT = param("upto"), param("limit")

_REV = Statement(select(chats.c.rev).where(chats.c.id == _CHAT))
_revs = union_all(
    select(entries.c.rev).where(entries.c.chat_id == _CHAT, entries.c.rev > _AFTER),
    select(chunks.c.rev).where(chunks.c.chat_id == _CHAT, chunks.c.rev > _AFTER),
)
_LAST_OF_PAGE = Statement(_revs.order_by(literal_column("rev")).limit(1).offset(_LIMIT))
_BETWEEN = Statement(
    select(*_columns)
    .where(entries.c.chat_id == _CHAT, entries.c.rev > _AFTER, entries.c.rev <= _UPTO)
    .order_by(entries.c.rev, entries.c.pos)
)
_CHUNKS_BETWEEN = Statement(
    select(chunks.c.entry_id, chunks.c.offset, chunks.c.text, chunks.c.rev)
    .where(chunks.c.chat_id == _CHAT, chunks.c.rev > _AFTER, chunks.c.rev <= _UPTO)
    .order_by(chunks.c.rev, chunks.c.entry_id, chunks.c.offset)
)
_TEXT = Statement(
    select(chunks.c.offset, chunks.c.text)
    .where(chunks.c.chat_id == _CHAT, chunks.c.entry_id == param("entry_id"))
    .order_by(chunks.c.offset)
)
_BELOW = Statement(
    select(*_columns)
    .where(entries.c.chat_id == _CHAT, entries.c.pos < param("pos"))
    .order_by(entries.c.pos.desc())
    .limit(_LIMIT)
)
_ALL = Statement(select(*_columns).where(entries.c.chat_id == _CHAT).order_by(entries.c.pos))
_OPEN, _KIND, _BODY = (ENCODED.index(name) for name in ("open", "kind", "body"))


class SqlLog:
    """The log of every chat, as `base.Log` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit(self, lease: Lease, chat_id: str, batch: Batch) -> Committed:
        async with self._database.write(begins_by_writing=True) as tx:
            return await append(tx, lease, chat_id, batch)

    async def read(self, chat_id: str, *, after: int = 0, limit: int = 500) -> Page:
        async with self._database.read() as tx:
            rev = await _rev(tx, chat_id)
            if rev <= after:
                return Page(rev=rev)
            last = await tx.row(_LAST_OF_PAGE, chat_id=chat_id, after=after, limit=max(limit, 1) - 1)
            upto = last[0] if last else rev
            span = {"chat_id": chat_id, "after": after, "upto": upto}
            entries = await _decode(tx, await tx.rows(_BETWEEN, **span))
            chunks = await tx.rows(_CHUNKS_BETWEEN, **span)
        given = {entry.id for entry in entries}
        return Page(
            entries=tuple(entries),
            chunks=tuple(
                Chunk(entry_id=entry_id, offset=offset, text=_text(text), rev=chunk_rev)
                for entry_id, offset, text, chunk_rev in chunks
                if entry_id not in given
            ),
            rev=upto,
            more=upto < rev,
        )

    async def before(self, chat_id: str, pos: int, *, limit: int = 500) -> Page:
        async with self._database.read() as tx:
            rev = await _rev(tx, chat_id)
            rows = await tx.rows(_BELOW, chat_id=chat_id, pos=pos, limit=max(limit, 0))
            return Page(entries=tuple(await _decode(tx, rows[::-1])), rev=rev)

    async def tail(self, chat_id: str, count: int) -> Page:
        return await self.before(chat_id, _END, limit=count)

    async def encoded(self, chat_id: str) -> list[tuple[Any, ...]]:
        async with self._database.read() as tx:
            await _rev(tx, chat_id)
            rows = await tx.rows(_ALL, chat_id=chat_id)
            for index, row in enumerate(rows):
                if row[_OPEN] and row[_KIND] in STREAMED:
                    (entry,) = await _decode(tx, [row])
                    rows[index] = (*row[:_BODY], encode(entry.body))
            return rows


_END = 2**62
"""Beyond every position."""


async def _rev(tx: Tx, chat_id: str) -> int:
    found = await tx.row(_REV, chat_id=chat_id)
    if found is None:
        raise unknown("chat", chat_id)
    return int(found[0])


async def _decode(tx: Tx, rows: Sequence[Row]) -> list[Entry]:
    """Rows of `ENCODED` as entries; those that still stream come with all their committed text."""
    return [
        await _assemble(tx, entry) if entry.open and entry.kind in STREAMED else entry for entry in map(_entry, rows)
    ]


def _entry(row: Row) -> Entry:
    chat_id, entry_id, pos, rev, ts, turn_id, agent, parent, native_id, is_open, _kind, body = row
    return Entry(
        id=entry_id,
        chat_id=chat_id,
        body=decode_body(body),
        turn_id=turn_id,
        pos=pos,
        rev=rev,
        ts=ts,
        agent=agent,
        parent=parent,
        native_id=native_id,
        open=bool(is_open),
    )


async def _assemble(tx: Tx, entry: Entry) -> Entry:
    body = entry.body
    if not isinstance(body, Text | Reasoning):
        return entry
    text = body.text
    for offset, data in await tx.rows(_TEXT, chat_id=entry.chat_id, entry_id=entry.id):
        part = _text(data)
        if offset <= len(text) < offset + len(part):
            text += part[len(text) - offset :]
    return msgspec.structs.replace(entry, body=msgspec.structs.replace(body, text=text))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
