"""Sessions, their worktrees and chats, the chats' turns, agent sessions and usage."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.codec import decode, decode_body, encode
from coder_nb.core.entries import Usage
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo
from coder_nb.core.usage import UsageRow
from coder_nb.ids import new_id
from coder_nb.store.base import Lease
from coder_nb.store.database import Database, Row, Statement, Tx, clean, constant, param, patient
from coder_nb.store.guard import guard_chat, guard_session, unknown
from coder_nb.store.schema import agent_sessions, chats, entries, histories, inbox, sessions, turns, worktrees
from coder_nb.store.standings import ASKS, UNSEEN

_ACTIVE = constant("active")
_SESSION, _CHAT, _NAME = param("session_id"), param("chat_id"), param("name")

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

_tree = insert(worktrees).values(
    id=param("tree_id"),
    session_id=_SESSION,
    path=param("path"),
    branch=param("branch"),
    base_commit=param("base_commit"),
    host=param("host"),
    checkout=param("checkout"),
    status=_ACTIVE,
)
_ADD_TREE = Statement(_tree)
_MOVE_TREE = Statement(
    update(worktrees)
    .where(worktrees.c.session_id == param("of_session"), worktrees.c.status == _ACTIVE)
    .values({name: param(name) for name in ("path", "branch", "base_commit", "host", "checkout")})
)

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

_turns = select(*(turns.c[name] for name in TurnInfo.__struct_fields__)).order_by(turns.c.chat_id, turns.c.rev)
_TURNS_OF = Statement(_turns.where(turns.c.chat_id == _CHAT))
_UNFINISHED = Statement(
    _turns.join(chats, chats.c.id == turns.c.chat_id)
    .join(sessions, sessions.c.id == chats.c.session_id)
    .where(sessions.c.path == param("path"), turns.c.end.is_(None))
)

_agents = select(agent_sessions.c.body).order_by(agent_sessions.c.chat_id, agent_sessions.c.agent)
_AGENTS_OF = Statement(
    _agents.join(chats, chats.c.id == agent_sessions.c.chat_id).where(chats.c.session_id == _SESSION)
)
_AGENT = Statement(_agents.where(agent_sessions.c.chat_id == _CHAT, agent_sessions.c.agent == param("agent")))
_lately = (
    select(agent_sessions.c.agent, func.max(agent_sessions.c.last_active_at).label("at"))
    .group_by(agent_sessions.c.agent)
    .subquery()
)
_LATEST_AGENTS = Statement(
    _agents.join(
        _lately, and_(_lately.c.agent == agent_sessions.c.agent, _lately.c.at == agent_sessions.c.last_active_at)
    )
)
_AGENTS_OF_CHAT = Statement(_agents.where(agent_sessions.c.chat_id == _CHAT))
_SAME_NATIVE = Statement(
    select(agent_sessions.c.chat_id).where(agent_sessions.c.native_id == param("native_id")).limit(1)
)
_FORGET = Statement(delete(histories).where(histories.c.session == param("of_session")))
_agent = insert(agent_sessions)
_PUT_AGENT = Statement(
    _agent.on_conflict_do_update(
        index_elements=[agent_sessions.c.chat_id, agent_sessions.c.agent],
        set_={c.name: _agent.excluded[c.name] for c in agent_sessions.c if c.name not in ("chat_id", "agent")},
    )
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


_USAGE, _USAGE_OF = Statement(_usage()), Statement(_usage(entries.c.chat_id == _CHAT))


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
                    name=_free_name(name, taken),
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
            ended = [body for (body,) in await tx.rows(_AGENTS_OF, session_id=session_id)]
            await tx.run(_DELETE_SESSION, session_id=session_id)
            await _forget(tx, ended)
        await self._database.scrub()

    @patient
    async def set_worktree(
        self, lease: Lease, session_id: str, *, path: str, branch: str, base_commit: str, checkout: str = ""
    ) -> None:
        tree = {"path": path, "branch": branch, "base_commit": base_commit, "checkout": checkout}
        tree["host"] = socket.gethostname()
        async with self._database.write() as tx:
            await guard_session(tx, lease, session_id)
            if not await tx.run(_MOVE_TREE, of_session=session_id, **tree):
                await tx.run(_ADD_TREE, tree_id=new_id(), session_id=session_id, **tree)

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
                await tx.run(_ADD_CHAT, **_new_chat(chat_id, session_id, _free_name(name, taken), now))

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
            ended = [body for (body,) in await tx.rows(_AGENTS_OF_CHAT, chat_id=chat_id)]
            await tx.run(_DELETE_CHAT, chat_id=chat_id)
            await _forget(tx, ended)
        await self._database.scrub()

    @patient
    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        async with self._database.read(once=True) as tx:
            return _turn_infos(await tx.rows(_TURNS_OF, chat_id=chat_id))

    @patient
    async def unfinished(self, path: str) -> tuple[TurnInfo, ...]:
        async with self._database.read(once=True) as tx:
            return _turn_infos(await tx.rows(_UNFINISHED, path=path))

    @patient
    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        async with self._database.read(once=True) as tx:
            return tuple(decode(body, AgentSessionInfo) for (body,) in await tx.rows(_AGENTS_OF, session_id=session_id))

    @patient
    async def get_agent_session(self, chat_id: str, agent: str) -> AgentSessionInfo | None:
        async with self._database.read(once=True) as tx:
            found = await tx.row(_AGENT, chat_id=chat_id, agent=agent)
        return None if found is None else decode(found[0], AgentSessionInfo)

    @patient
    async def latest_agent_sessions(self) -> tuple[AgentSessionInfo, ...]:
        async with self._database.read(once=True) as tx:
            found = [decode(body, AgentSessionInfo) for (body,) in await tx.rows(_LATEST_AGENTS)]
        return tuple({info.agent: info for info in found}.values())

    @patient
    async def put_agent_session(self, lease: Lease, info: AgentSessionInfo) -> None:
        async with self._database.write() as tx:
            await guard_chat(tx, lease, info.chat_id)
            await tx.run(
                _PUT_AGENT,
                chat_id=info.chat_id,
                agent=info.agent,
                backend=info.backend,
                status=info.status,
                native_id=info.native_id and clean(info.native_id),
                host=info.host,
                last_active_at=info.last_active_at,
                body=encode(info),
            )

    @patient
    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        async with self._database.read(once=True) as tx:
            rows = await (tx.rows(_USAGE) if chat_id is None else tx.rows(_USAGE_OF, chat_id=chat_id))
        return tuple(usage for usage in map(_usage_row, rows) if usage is not None)


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


def _free_name(name: str, taken: Iterable[str]) -> str:
    names, number, free = set(taken), 1, name
    while free in names:
        number += 1
        free = f"{name}-{number}"
    return free


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


def _turn_infos(rows: Iterable[Row]) -> tuple[TurnInfo, ...]:
    return tuple(TurnInfo(**dict(zip(TurnInfo.__struct_fields__, row, strict=True))) for row in rows)


def _usage_row(row: Row) -> UsageRow | None:
    entry_id, chat_id, session_id, turn_id, agent, ts, data = row
    body = decode_body(data)
    if not isinstance(body, Usage):
        return None
    return UsageRow(
        entry_id=entry_id,
        chat_id=chat_id,
        session_id=session_id,
        turn_id=turn_id,
        agent=agent,
        ts=ts,
        tokens=body.tokens,
        model=body.model,
        cost_nanousd=body.cost_nanousd,
        cost_source=body.cost_source,
        counted=body.counted,
        native_id=body.native_id,
    )


async def _forget(tx: Tx, ended: Iterable[bytes]) -> None:
    """Removes the native histories kept for agent sessions that are gone, unless another goes on with them."""
    for body in ended:
        info = decode(body, AgentSessionInfo)
        for native_id in (info.native_id, *info.earlier):
            if native_id and not await tx.row(_SAME_NATIVE, native_id=clean(native_id)):
                await tx.run(_FORGET, of_session=clean(native_id))
