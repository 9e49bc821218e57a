"""A chat's entries: appended and replaced under one counter, read by revision or by position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import CTE, ColumnElement, Select, Table, and_, func, literal_column, null, or_, select, true, union_all

from coder_nb.core.codec import decode_body, encode
from coder_nb.core.entries import Chunk, Entry, Page, Reasoning, Text
from coder_nb.store.appending import STREAMED, append
from coder_nb.store.base import ENCODED, Batch, Committed, Lease
from coder_nb.store.database import Database, Row, Statement, constant, param, patient
from coder_nb.store.guard import unknown
from coder_nb.store.schema import chats, chunks, entries

_columns = [entries.c[name] for name in ENCODED]
_AFTER, _CHAT, _LIMIT = param("after"), param("chat_id"), param("limit")

ROOM = 1_000_000
"""Bytes after which a page ends, whatever it may hold of entries: with the revision that reaches them."""


def _padded(part: int, **given: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """The columns of one part of an answer: those that are given, in the places of an entry's, and null elsewhere."""
    return [literal_column(str(part)).label("part"), *(given.get(name, null()).label(name) for name in ENCODED)]


def _texts(of: CTE | Table, *where: ColumnElement[bool]) -> Select[Any]:
    """The chunks of those entries that still stream."""
    return (
        select(*_padded(_A_CHUNK, id=chunks.c.entry_id, pos=chunks.c.offset, rev=chunks.c.rev, body=chunks.c.text))
        .select_from(of)
        .join(chunks, and_(chunks.c.chat_id == of.c.chat_id, chunks.c.entry_id == of.c.id))
        .where(of.c.open == constant(1), of.c.kind.in_([constant(kind) for kind in STREAMED]), *where)
    )


def _in_parts(*parts: Select[Any]) -> Statement:
    return Statement(union_all(*parts).order_by(*map(literal_column, ("part", "rev", "pos"))))


_A_CHAT, _AN_ENTRY, _A_CHUNK = range(3)
# A page is one statement, and so one trip: where the chat stands, what has changed, and the text of what streams.
_found = (
    union_all(
        select(entries.c.rev, func.length(entries.c.body).label("size")).where(
            entries.c.chat_id == _CHAT, entries.c.rev > _AFTER
        ),
        select(chunks.c.rev, func.length(chunks.c.text)).where(chunks.c.chat_id == _CHAT, chunks.c.rev > _AFTER),
    )
    .order_by(literal_column("rev"))
    .limit(_LIMIT)
    .subquery("found")
)
_counted = select(
    _found.c.rev,
    func.row_number().over(order_by=_found.c.rev).label("number"),
    func.sum(_found.c.size).over(order_by=_found.c.rev).label("bytes"),
).subquery("counted")
_last = (
    select(func.min(_counted.c.rev))
    .where(or_(_counted.c.number == _LIMIT, _counted.c.bytes >= constant(ROOM)))
    .scalar_subquery()
)
_page = select(chats.c.rev, func.coalesce(_last, chats.c.rev).label("upto")).where(chats.c.id == _CHAT).cte("page")
_of_page = (entries.c.chat_id == _CHAT, entries.c.rev > _AFTER, entries.c.rev <= _page.c.upto)
_READ = _in_parts(
    select(literal_column(str(_AN_ENTRY)).label("part"), *_columns).join(_page, true()).where(*_of_page),
    select(*_padded(_A_CHAT, rev=_page.c.rev, pos=_page.c.upto)),
    select(*_padded(_A_CHUNK, id=chunks.c.entry_id, pos=chunks.c.offset, rev=chunks.c.rev, body=chunks.c.text))
    .select_from(chunks)
    .join(_page, true())
    .where(chunks.c.chat_id == _CHAT, chunks.c.rev > _AFTER, chunks.c.rev <= _page.c.upto),
    # What is added keeps SQLite from looking for these by their revision, which would be all chunks of the chat.
    _texts(entries, *_of_page, chunks.c.rev + constant(0) <= _AFTER),
)
_below = (
    select(*_columns)
    .where(entries.c.chat_id == _CHAT, entries.c.pos < param("below"))
    .order_by(entries.c.pos.desc())
    .limit(_LIMIT)
    .cte("found")
)
_BEFORE = _in_parts(
    select(literal_column(str(_AN_ENTRY)).label("part"), *(_below.c[name] for name in ENCODED)),
    select(*_padded(_A_CHAT, rev=chats.c.rev, pos=chats.c.rev)).where(chats.c.id == _CHAT),
    _texts(_below),
)
_REV = Statement(select(chats.c.rev).where(chats.c.id == _CHAT))
_ALL = Statement(select(*_columns).where(entries.c.chat_id == _CHAT).order_by(entries.c.pos))
_MARKS = ("turn_started", "user_message", "checkpoint")
_LANDMARKS = Statement(
    select(*_columns)
    .where(entries.c.chat_id == _CHAT, entries.c.kind.in_([constant(kind) for kind in _MARKS]))
    .order_by(entries.c.pos)
)
_found_open = (
    select(*_columns)
    .where(entries.c.chat_id == _CHAT, entries.c.open == constant(1))
    .order_by(entries.c.pos)
    .cte("found")
)
_UNCLOSED = _in_parts(
    select(literal_column(str(_AN_ENTRY)).label("part"), *(_found_open.c[name] for name in ENCODED)),
    select(*_padded(_A_CHAT, rev=chats.c.rev, pos=chats.c.rev)).where(chats.c.id == _CHAT),
    _texts(_found_open),
)
_TEXTS = Statement(_texts(entries, entries.c.chat_id == _CHAT).order_by(chunks.c.offset))
_ID, _POS, _REVISION, _OPEN, _KIND, _BODY = map(ENCODED.index, ("id", "pos", "rev", "open", "kind", "body"))


class SqlLog:
    """The log of every chat, as `base.Log` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def commit(self, lease: Lease, chat_id: str, batch: Batch) -> Committed:
        async with self._database.write(begins_by_writing=True) as tx:
            return await append(tx, lease, chat_id, batch)

    @patient
    async def read(self, chat_id: str, *, after: int = 0, limit: int = 500) -> Page:
        found = await self._parts(_READ, chat_id, after=after, limit=max(limit, 1))
        entries = found.entries()
        given = {entry.id for entry in entries}
        return Page(
            entries=tuple(entries),
            chunks=tuple(
                Chunk(entry_id=row[_ID], offset=row[_POS], text=_text(row[_BODY]), rev=row[_REVISION])
                for row in found.chunks
                if row[_ID] not in given
            ),
            rev=found.upto,
            more=found.upto < found.rev,
        )

    @patient
    async def before(self, chat_id: str, pos: int, *, limit: int = 500) -> Page:
        found = await self._parts(_BEFORE, chat_id, below=pos, limit=max(limit, 0))
        return Page(entries=tuple(sorted(found.entries(), key=lambda entry: entry.pos)), rev=found.rev)

    @patient
    async def landmarks(self, chat_id: str) -> tuple[Entry, ...]:
        async with self._database.read(once=True) as tx:
            return tuple(_entry(row, {}) for row in await tx.rows(_LANDMARKS, chat_id=chat_id))

    async def tail(self, chat_id: str, count: int) -> Page:
        return await self.before(chat_id, _END, limit=count)

    @patient
    async def unclosed(self, chat_id: str) -> tuple[Entry, ...]:
        found = await self._parts(_UNCLOSED, chat_id)
        return tuple(sorted(found.entries(), key=lambda entry: entry.pos))

    @patient
    async def encoded(self, chat_id: str) -> list[tuple[Any, ...]]:
        async with self._database.read() as tx:
            if not await tx.row(_REV, chat_id=chat_id):
                raise unknown("chat", chat_id)
            rows = await tx.rows(_ALL, chat_id=chat_id)
            streaming = [index for index, row in enumerate(rows) if row[_OPEN] and row[_KIND] in STREAMED]
            texts = _by_entry(row[1:] for row in await tx.rows(_TEXTS, chat_id=chat_id)) if streaming else {}
        for index in streaming:
            entry = _entry(rows[index], texts)
            rows[index] = (*rows[index][:_BODY], encode(entry.body))
        return rows

    async def _parts(self, statement: Statement, chat_id: str, **values: int) -> _Parts:
        async with self._database.read(once=True) as tx:
            rows = await tx.rows(statement, chat_id=chat_id, **values)
        of: tuple[list[Row], ...] = ([], [], [])
        for part, *row in rows:
            of[part].append(tuple(row))
        if not of[_A_CHAT]:
            raise unknown("chat", chat_id)
        ((chat,), entries, chunks) = of
        return _Parts(rev=chat[_REVISION], upto=chat[_POS], rows=entries, chunks=chunks)


class _Parts(NamedTuple):
    """An answer of several parts, taken apart."""

    rev: int
    upto: int
    rows: list[Row]
    chunks: list[Row]

    def entries(self) -> list[Entry]:
        """In the order of the answer; those that still stream come with all their committed text."""
        texts = _by_entry(self.chunks)
        return [_entry(row, texts) for row in self.rows]


_END = 2**62
"""Beyond every position."""


def _entry(row: Row, texts: Mapping[str, Sequence[Row]]) -> Entry:
    chat_id, entry_id, pos, rev, ts, turn_id, agent, parent, native_id, is_open, kind, data = row
    body = decode_body(data)
    if is_open and kind in STREAMED and isinstance(body, Text | Reasoning):
        body = msgspec.structs.replace(body, text=_spliced(body.text, texts.get(entry_id, ())))
    return Entry(
        id=entry_id,
        chat_id=chat_id,
        body=body,
        turn_id=turn_id,
        pos=pos,
        rev=rev,
        ts=ts,
        agent=agent,
        parent=parent,
        native_id=native_id,
        open=bool(is_open),
    )


def _by_entry(chunks: Iterable[Row]) -> dict[str, list[Row]]:
    texts: dict[str, list[Row]] = defaultdict(list)
    for row in chunks:
        texts[row[_ID]].append(row)
    return texts


def _spliced(text: str, chunks: Sequence[Row]) -> str:
    """A text with what its chunks add to it."""
    for row in sorted(chunks, key=itemgetter(_POS)):
        offset, part = row[_POS], _text(row[_BODY])
        if offset <= len(text) < offset + len(part):
            text += part[len(text) - offset :]
    return text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
