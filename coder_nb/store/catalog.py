"""Sessions and their chats."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from coder_nb.core.codec import decode
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, free_name
from coder_nb.store import agents
from coder_nb.store.base import Lease
from coder_nb.store.database import Database, Row, Statement, Tx, clean, constant, param, patient
from coder_nb.store.guard import guard_chat, guard_session, unknown
from coder_nb.store.schema import chats, inbox, sessions, worktrees
from coder_nb.store.standings import ASKS, UNSEEN

_ACTIVE = constant("active")
_SESSION, _CHAT = param("session_id"), param("chat_id")

# A session comes once for each of its chats, a chat once for each of its queued prompts: one trip for the whole.
_sessions = (
    select(
        sessions.c.id,
        sessions.c.owner,
        sessions.c.path,
        sessions.c.name,
        sessions.c.title,
        sessions.c.created_at,
        worktrees.c.path.label("worktree"),
        func.nullif(worktrees.c.branch, constant("")).label("branch"),
        worktrees.c.base_commit,
        worktrees.c.host,
        sessions.c.archived_at,
        sessions.c.isolation,
        sessions.c.base,
        chats.c.id.label("chats"),
    )
    .select_from(sessions)
    .outerjoin(worktrees, and_(worktrees.c.session_id == sessions.c.id, worktrees.c.status == _ACTIVE))
    .outerjoin(chats, chats.c.session_id == sessions.c.id)
    .order_by(sessions.c.created_at, sessions.c.id, chats.c.created_at, chats.c.id)
)
_SESSION_FIELDS = tuple(column.name for column in _sessions.selected_columns)
_SESSIONS = Statement(_sessions)
_SESSION_BY_ID = Statement(_sessions.where(sessions.c.id == _SESSION))
_SESSION_NAMES = Statement(
    select(sessions.c.name, sessions.c.id).where(sessions.c.owner == param("owner"), sessions.c.path == param("path"))
)
_ADD_SESSION = Statement(insert(sessions).on_conflict_do_nothing())
_ARCHIVE_SESSION = Statement(
    update(sessions).where(sessions.c.id == param("of_session")).values(archived_at=param("archived_at"))
)
_DELETE_SESSION = Statement(delete(sessions).where(sessions.c.id == _SESSION))

_CHAT_FIELDS = (
    "id", "session_id", "name", "title", "created_at", "rev", "run_status", "inbox_cursor", "turn_id", "held", "error",
    "archived_at", "starting",
)  # fmt: skip
_chats = (
    select(*(chats.c[name] for name in _CHAT_FIELDS), UNSEEN, ASKS, inbox.c.body)
    .select_from(chats)
    .outerjoin(inbox, and_(inbox.c.chat_id == chats.c.id, inbox.c.status == constant("waiting")))
    .order_by(chats.c.created_at, chats.c.id, inbox.c.seq)
)
_CHAT_BY_ID = Statement(_chats.where(chats.c.id == _CHAT))
_CHATS_OF = Statement(_chats.where(chats.c.session_id == _SESSION))
_CHAT_NAMES = Statement(select(chats.c.name, chats.c.id).where(chats.c.session_id == _SESSION))
_ADD_CHAT = Statement(insert(chats).on_conflict_do_nothing())
_ARCHIVE_CHAT = Statement(update(chats).where(chats.c.id == param("of_chat")).values(archived_at=param("archived_at")))
_DELETE_CHAT = Statement(delete(chats).where(chats.c.id == _CHAT))


class SqlCatalog:
    """The catalog, as `base.Catalog` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def open_session(
        self,
        owner: str,
        path: str,
        *,
        name: str,
        new: bool,
        session_id: str,
        now: int,
        isolation: Isolation = "worktree",
        base: str | None = None,
    ) -> SessionInfo:
        async with self._database.write() as tx:
            while True:  # until nobody else has taken the name meanwhile
                taken: dict[str, str] = dict(await tx.rows(_SESSION_NAMES, owner=owner, path=path))
                if session_id in taken.values():
                    return await _session(tx, session_id)
                if name in taken and not new:
                    await tx.run(_ARCHIVE_SESSION, of_session=taken[name], archived_at=None)
                    return await _session(tx, taken[name])
                await tx.run(
                    _ADD_SESSION,
                    id=session_id,
                    owner=owner,
                    path=path,
                    name=free_name(name, taken),
                    title="",
                    created_at=now,
                    archived_at=None,
                    isolation=isolation,
                    base=base and clean(base),
                    keep_days=None,
                    keep_mib=None,
                )

    @patient
    async def get_session(self, session_id: str) -> SessionInfo:
        async with self._database.read(once=True) as tx:
            return await _session(tx, session_id)

    @patient
    async def sessions(self) -> tuple[SessionInfo, ...]:
        async with self._database.read(once=True) as tx:
            return _session_infos(await tx.rows(_SESSIONS))

    @patient
    async def archive_session(self, lease: Lease, session_id: str, *, at: int | None) -> None:
        async with self._database.write() as tx:
            await guard_session(tx, lease, session_id)
            await tx.run(_ARCHIVE_SESSION, of_session=session_id, archived_at=at)

    @patient
    async def delete_session(self, lease: Lease, session_id: str) -> None:
        async with self._database.write() as tx:
            await guard_session(tx, lease, session_id)
            ended = await agents.of_session(tx, session_id)
            await tx.run(_DELETE_SESSION, session_id=session_id)
            await agents.forget(tx, ended)
        await self._database.scrub()

    @patient
    async def open_chat(self, session_id: str, *, name: str, new: bool, chat_id: str, now: int) -> ChatInfo:
        async with self._database.write() as tx:
            await _session(tx, session_id)
            while True:  # until nobody else has taken the name meanwhile
                taken: dict[str, str] = dict(await tx.rows(_CHAT_NAMES, session_id=session_id))
                if chat_id in taken.values():
                    return await _chat(tx, chat_id)
                if name in taken and not new:
                    await tx.run(_ARCHIVE_CHAT, of_chat=taken[name], archived_at=None)
                    return await _chat(tx, taken[name])
                await tx.run(_ADD_CHAT, **_new_chat(chat_id, session_id, free_name(name, taken), now))

    @patient
    async def get_chat(self, chat_id: str) -> ChatInfo:
        async with self._database.read(once=True) as tx:
            return await _chat(tx, chat_id)

    @patient
    async def chats(self, session_id: str) -> tuple[ChatInfo, ...]:
        async with self._database.read(once=True) as tx:
            return _chat_infos(await tx.rows(_CHATS_OF, session_id=session_id))

    @patient
    async def archive_chat(self, lease: Lease, chat_id: str, *, at: int | None) -> None:
        async with self._database.write() as tx:
            await guard_chat(tx, lease, chat_id)
            await tx.run(_ARCHIVE_CHAT, of_chat=chat_id, archived_at=at)

    @patient
    async def delete_chat(self, lease: Lease, chat_id: str) -> None:
        async with self._database.write() as tx:
            await guard_chat(tx, lease, chat_id)
            ended = await agents.of_chat(tx, chat_id)
            await tx.run(_DELETE_CHAT, chat_id=chat_id)
            await agents.forget(tx, ended)
        await self._database.scrub()


def _new_chat(chat_id: str, session_id: str, name: str, now: int) -> dict[str, Any]:
    return {
        "id": chat_id,
        "session_id": session_id,
        "name": name,
        "title": "",
        "created_at": now,
        "rev": 0,
        "last_pos": 0,
        "run_status": "initializing",
        "inbox_cursor": None,
        "turn_id": None,
        "held": 0,
        "error": None,
        "archived_at": None,
        "starting": 0,
        "ended_rev": 0,
        "seen_rev": 0,
    }


async def _session(tx: Tx, session_id: str) -> SessionInfo:
    found = _session_infos(await tx.rows(_SESSION_BY_ID, session_id=session_id))
    if not found:
        raise unknown("session", session_id)
    return found[0]


def _session_infos(rows: Sequence[Row]) -> tuple[SessionInfo, ...]:
    return tuple(_session_info(list(of_one)) for _, of_one in groupby(rows, key=itemgetter(0)))


def _session_info(rows: Sequence[Row]) -> SessionInfo:
    fields = dict(zip(_SESSION_FIELDS, rows[0], strict=True))
    return SessionInfo(**fields | {"chats": tuple(row[-1] for row in rows if row[-1] is not None)})


async def _chat(tx: Tx, chat_id: str) -> ChatInfo:
    found = _chat_infos(await tx.rows(_CHAT_BY_ID, chat_id=chat_id))
    if not found:
        raise unknown("chat", chat_id)
    return found[0]


def _chat_infos(rows: Sequence[Row]) -> tuple[ChatInfo, ...]:
    return tuple(_chat_info(list(of_one)) for _, of_one in groupby(rows, key=itemgetter(0)))


def _chat_info(rows: Sequence[Row]) -> ChatInfo:
    fields = dict(zip(_CHAT_FIELDS, rows[0], strict=False))
    *_, unseen, asks, _ = rows[0]
    truths = {name: bool(fields[name]) for name in ("held", "starting")} | {"unseen": bool(unseen)}
    queued = tuple(decode(row[-1], Prompt) for row in rows if row[-1] is not None)
    return ChatInfo(**fields | truths, asks=asks, queued=queued)
