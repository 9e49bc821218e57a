"""One batch into a chat's log, within a transaction: entries, streamed text, the turn and the run state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert  # compiles for SQLite as well, where it means the same

from coder_nb.core.codec import encode
from coder_nb.core.entries import Chunk, Entry
from coder_nb.core.lifecycle import PROMPT
from coder_nb.core.sessions import TurnInfo
from coder_nb.errors import Conflict
from coder_nb.store.base import Batch, Committed, Lease, RunState
from coder_nb.store.database import Statement, Tx, clean, constant, param
from coder_nb.store.guard import lease_values, runs_chat, unknown, why_not
from coder_nb.store.schema import chats, chunks, entries, inbox, sessions, turns

STREAMED = ("text", "reasoning")
"""The kinds of entries whose text arrives in chunks."""

_CHAT, _ENTRY = param("for_chat"), param("for_entry")

_NEXT_REV = Statement(
    update(chats)
    .where(chats.c.id == _CHAT, runs_chat())
    .values(rev=chats.c.rev + 1, last_pos=chats.c.last_pos + param("added"))
    .returning(chats.c.rev, chats.c.last_pos)
)
_INSERT = Statement(insert(entries).on_conflict_do_nothing())
_twin = entries.alias()
_taken = select(_twin.c.id).where(
    _twin.c.chat_id == _CHAT, _twin.c.native_id == param("native_id"), _twin.c.id != entries.c.id
)
_REPLACE = Statement(
    update(entries)
    .where(entries.c.chat_id == _CHAT, entries.c.id == _ENTRY)
    .values(
        {c.name: param(c.name) for c in entries.c if c.name not in ("chat_id", "id", "pos", "native_id")}
        | {"native_id": case((exists(_taken), entries.c.native_id), else_=param("native_id", entries.c.native_id))}
    )
)
_STANDING = Statement(
    select(entries.c.id, entries.c.pos, entries.c.ts).where(
        entries.c.chat_id == _CHAT, or_(entries.c.id == _ENTRY, entries.c.native_id == param("native"))
    )
)
_MOVE = Statement(update(entries).where(entries.c.chat_id == _CHAT, entries.c.id == _ENTRY).values(pos=param("to_pos")))
_LAST_POS = Statement(update(chats).where(chats.c.id == _CHAT).values(last_pos=param("to_pos")))

_new_chunk = insert(chunks).from_select(
    ["chat_id", "entry_id", "offset", "rev", "text"],
    select(
        entries.c.chat_id,
        entries.c.id,
        param("offset", chunks.c.offset),
        param("rev", chunks.c.rev),
        param("text", chunks.c.text),
    ).where(entries.c.chat_id == _CHAT, entries.c.id == _ENTRY, entries.c.open == constant(1)),
)
_ADD_CHUNK = Statement(
    _new_chunk.on_conflict_do_update(
        index_elements=[chunks.c.chat_id, chunks.c.entry_id, chunks.c.offset],
        set_={"text": _new_chunk.excluded.text, "rev": _new_chunk.excluded.rev},
        where=func.length(_new_chunk.excluded.text) > func.length(chunks.c.text),
    )
)
_COMPACT = Statement(delete(chunks).where(chunks.c.chat_id == _CHAT, chunks.c.entry_id == _ENTRY))

_new_turn = insert(turns)
_PUT_TURN = Statement(
    _new_turn.on_conflict_do_update(
        index_elements=[turns.c.id],
        set_={c.name: _new_turn.excluded[c.name] for c in turns.c if c.name not in ("id", "chat_id", "rev")},
        where=turns.c.end.is_(None),
    )
)


def _if_given(name: str) -> Any:
    return func.coalesce(param(name, chats.c[name]), chats.c[name])


def _or_cleared(name: str, clear: str) -> Any:
    return case((param(clear, chats.c.held) == constant(1), None), else_=_if_given(name))


_PUT_STATE = Statement(
    update(chats)
    .where(chats.c.id == _CHAT)
    .values(
        run_status=_if_given("run_status"),
        inbox_cursor=_if_given("inbox_cursor"),
        held=_if_given("held"),
        turn_id=_or_cleared("turn_id", "clear_turn"),
        error=_or_cleared("error", "clear_error"),
        title=case((chats.c.title == constant(""), param("title", chats.c.title)), else_=chats.c.title),
        starting=_if_given("starting"),
        ended_rev=case((param("clear_turn", chats.c.held) == constant(1), chats.c.rev), else_=chats.c.ended_rev),
    )
)
_TITLE_SESSION = Statement(
    update(sessions)
    .where(
        sessions.c.id == select(chats.c.session_id).where(chats.c.id == _CHAT).scalar_subquery(),
        sessions.c.title == constant(""),
    )
    .values(title=param("title"))
)
_prompt = (inbox.c.id == param("prompt_id"), inbox.c.chat_id == _CHAT)
_START_PROMPT = Statement(
    update(inbox)
    .where(*_prompt, inbox.c.status == constant("waiting"))
    .values(status=constant(PROMPT["waiting"]["take"]))
)
_PROMPT_IS = Statement(select(inbox.c.status).where(*_prompt))


async def append(tx: Tx, lease: Lease, chat_id: str, batch: Batch) -> Committed:
    """Writes a batch under the chat's next revision, if the lease still allows it."""
    new = [entry for entry in batch.entries if not entry.pos]
    bumped = await tx.row(_NEXT_REV, for_chat=chat_id, added=len(new), **lease_values(lease))
    if bumped is None:
        raise await why_not(tx, lease, chat_id)
    rev, last_pos = bumped
    tx.touch(chat_id, rev)
    placed = await _write_entries(tx, chat_id, batch.entries, rev=rev, next_pos=last_pos - len(new) + 1)
    if batch.chunks:
        stands = {entry.id: entry_id for entry, (entry_id, _) in zip(batch.entries, placed, strict=True)}
        await _write_chunks(tx, chat_id, batch.chunks, rev, stands)
    if batch.turn is not None:
        await tx.run(_PUT_TURN, **turn_row(batch.turn, rev))
    if batch.state is not None:
        await _write_state(tx, chat_id, batch.state)
    return Committed(rev=rev, positions=tuple(pos for _, pos in placed), ids=tuple(entry_id for entry_id, _ in placed))


def entry_row(entry: Entry, chat_id: str, *, pos: int, rev: int) -> dict[str, Any]:
    """An entry as the columns of `entries`."""
    return {
        "chat_id": chat_id,
        "id": entry.id,
        "pos": pos,
        "rev": rev,
        "ts": entry.ts,
        "turn_id": entry.turn_id,
        "agent": entry.agent,
        "parent": entry.parent,
        "native_id": entry.native_id and clean(entry.native_id),
        "open": int(entry.open),
        "kind": entry.kind,
        "body": encode(entry.body),
    }


def turn_row(turn: TurnInfo, rev: int) -> dict[str, Any]:
    """A turn as the columns of `turns`."""
    row = {name: getattr(turn, name) for name in turn.__struct_fields__}
    return {**row, "rev": rev, **{name: clean(row[name]) for name in ("reason", "message", "code")}}


async def _write_entries(
    tx: Tx, chat_id: str, batch: Sequence[Entry], *, rev: int, next_pos: int
) -> list[tuple[str, int]]:
    """Writes entries in their order; returns the id and the position under which each stands."""
    if not batch:
        return []
    rows = []
    for entry in batch:
        rows.append(entry_row(entry, chat_id, pos=entry.pos or next_pos, rev=rev))
        next_pos += not entry.pos
    fresh = [row for row, entry in zip(rows, batch, strict=True) if not entry.pos]
    placed = [(row["id"], row["pos"]) for row in rows]
    if fresh and await tx.many(_INSERT, fresh) < len(fresh):
        stands = await _settle_repeats(tx, chat_id, fresh)
        placed = [
            (row["id"], row["pos"]) if entry.pos else stands.pop(0) for row, entry in zip(rows, batch, strict=True)
        ]
    known = [row | _key(chat_id, row["id"]) for row, entry in zip(rows, batch, strict=True) if entry.pos]
    if known:
        await _replace(tx, known)
    return placed


async def _replace(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Puts rows in place of those that `_key` in them names; what has ended needs its chunks no more."""
    if await tx.many(_REPLACE, rows) < len(rows):
        raise unknown("entry", " or ".join(row["id"] for row in rows))
    ended = [row for row in rows if not row["open"] and row["kind"] in STREAMED]
    if ended:
        await tx.many(_COMPACT, ended)


async def _settle_repeats(tx: Tx, chat_id: str, fresh: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """After some of the rows were not inserted, because they are there already: replaces those, and closes the gaps.

    A row that was just inserted stands at the position given to it; whatever stands elsewhere was there before, by its
    id or by its native id (law 9).
    """
    placed: list[tuple[str, int]] = []
    next_pos = fresh[0]["pos"]
    for row in fresh:
        found = await tx.rows(_STANDING, native=row["native_id"], **_key(chat_id, row["id"]))
        entry_id, pos, ts = next((each for each in found if each[0] == row["id"]), found[0])
        if (entry_id, pos) == (row["id"], row["pos"]):
            pos, next_pos = next_pos, next_pos + 1
            await tx.run(_MOVE, to_pos=pos, **_key(chat_id, entry_id))
        else:
            began = row["ts"] if entry_id == row["id"] else ts
            await _replace(tx, [row | {"id": entry_id, "ts": began} | _key(chat_id, entry_id)])
        placed.append((entry_id, pos))
    await tx.run(_LAST_POS, for_chat=chat_id, to_pos=next_pos - 1)
    return placed


async def _write_chunks(tx: Tx, chat_id: str, batch: Sequence[Chunk], rev: int, stands: Mapping[str, str]) -> None:
    rows = [
        {
            "offset": chunk.offset,
            "rev": rev,
            "text": chunk.text.encode("utf-8", "surrogatepass"),
            **_key(chat_id, stands.get(chunk.entry_id, chunk.entry_id)),
        }
        for chunk in batch
    ]
    if await tx.many(_ADD_CHUNK, rows) == len(rows):
        return
    # Text that is known already, or of an entry that has ended, changes nothing; that of no entry is a mistake.
    for row in rows:
        if not await tx.row(_STANDING, native=None, for_chat=chat_id, for_entry=row["for_entry"]):
            raise unknown("entry", row["for_entry"])


async def _write_state(tx: Tx, chat_id: str, state: RunState) -> None:
    await tx.run(
        _PUT_STATE,
        for_chat=chat_id,
        run_status=state.run_status,
        inbox_cursor=state.inbox_cursor,
        held=None if state.held is None else int(state.held),
        turn_id=state.turn_id,
        clear_turn=int(state.clear_turn),
        error=None if state.error is None else clean(state.error),
        clear_error=int(state.clear_error),
        title=clean(state.title or ""),
        starting=None if state.starting is None else int(state.starting),
    )
    if state.inbox_cursor is not None:
        await _start_prompt(tx, chat_id, state.inbox_cursor)
    if state.title:
        await tx.run(_TITLE_SESSION, for_chat=chat_id, title=clean(state.title))


async def _start_prompt(tx: Tx, chat_id: str, prompt_id: str) -> None:
    if await tx.run(_START_PROMPT, for_chat=chat_id, prompt_id=prompt_id):
        return
    found = await tx.row(_PROMPT_IS, for_chat=chat_id, prompt_id=prompt_id)
    if found and found[0] == PROMPT["waiting"]["withdraw"]:
        raise Conflict("This prompt was withdrawn before its turn began: send it again to run it.")


def _key(chat_id: str, entry_id: str) -> dict[str, Any]:
    return {"for_chat": chat_id, "for_entry": entry_id}
