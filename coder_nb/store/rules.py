"""Rules by which permissions are answered, and the permissions that were asked."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from coder_nb.core import audit, codec
from coder_nb.core.audit import AuditRow
from coder_nb.core.entries import Entry, Permission
from coder_nb.core.rules import Rule
from coder_nb.store.database import Database, Row, Statement, clean, constant, param, patient
from coder_nb.store.guard import unknown
from coder_nb.store.schema import chats, entries, rules, sessions

_rules = select(rules.c.body, rules.c.revoked_at, rules.c.revoked_by)
_in_force = rules.c.revoked_at.is_(None)
_OWNER = param("of_owner")
_ADD = Statement(
    insert(rules).on_conflict_do_nothing(index_elements=[rules.c.owner, rules.c.digest], index_where=_in_force)
)
_SAME = Statement(_rules.where(rules.c.owner == _OWNER, rules.c.digest == param("of_digest"), _in_force))
_ALL = Statement(_rules.where(rules.c.owner == _OWNER).order_by(rules.c.created_at, rules.c.id))
_BY_ID = Statement(_rules.where(rules.c.owner == _OWNER, rules.c.id == param("rule_id")))
_HOLDING = Statement(
    _rules.where(
        rules.c.owner == _OWNER,
        _in_force,
        or_(
            rules.c.scope == constant("everywhere"),
            rules.c.session_id == param("in_session"),
            rules.c.path == param("in_path"),
        ),
    ).order_by(rules.c.created_at, rules.c.id)
)
_REVOKE = Statement(
    update(rules)
    .where(rules.c.owner == _OWNER, rules.c.id == param("rule_id"), _in_force)
    .values(revoked_at=param("at"), revoked_by=param("by_whom"))
)


def _asked(*where: ColumnElement[bool]) -> Select[tuple[object, ...]]:
    return (
        select(
            entries.c.id,
            entries.c.chat_id,
            chats.c.session_id,
            sessions.c.path,
            entries.c.turn_id,
            entries.c.agent,
            entries.c.ts,
            entries.c.body,
        )
        .select_from(entries)
        .join(chats, chats.c.id == entries.c.chat_id)
        .join(sessions, sessions.c.id == chats.c.session_id)
        .where(entries.c.kind == constant("permission"), *where)
        .order_by(entries.c.ts, entries.c.chat_id, entries.c.pos)
    )


_ASKED = Statement(_asked())
_ASKED_IN = Statement(_asked(entries.c.chat_id == param("in_chat")))


class SqlRules:
    """As `base.Rules` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def add(self, owner: str, rule: Rule) -> Rule:
        digest = _digest(rule)
        async with self._database.write() as tx:
            await tx.run(
                _ADD,
                id=rule.id,
                owner=owner,
                digest=digest,
                scope=rule.scope,
                session_id=rule.session_id,
                path=clean(rule.path) or None,
                created_at=rule.created_at,
                body=codec.encode(rule),
                revoked_at=None,
                revoked_by="",
            )
            found = await tx.row(_SAME, of_owner=owner, of_digest=digest)
        assert found is not None
        return _rule(found)

    @patient
    async def all(self, owner: str) -> tuple[Rule, ...]:
        async with self._database.read(once=True) as tx:
            return tuple(map(_rule, await tx.rows(_ALL, of_owner=owner)))

    @patient
    async def holding(self, owner: str, *, session_id: str, path: str) -> tuple[Rule, ...]:
        async with self._database.read(once=True) as tx:
            found = await tx.rows(_HOLDING, of_owner=owner, in_session=session_id, in_path=clean(path))
        return tuple(map(_rule, found))

    @patient
    async def revoke(self, owner: str, rule_id: str, *, at: int, by: str) -> bool:
        async with self._database.write() as tx:
            done = await tx.run(_REVOKE, of_owner=owner, rule_id=rule_id, at=at, by_whom=clean(by))
            if not done and not await tx.row(_BY_ID, of_owner=owner, rule_id=rule_id):
                raise unknown("rule", rule_id)
            return bool(done)

    @patient
    async def asked(self, chat_id: str | None = None) -> tuple[AuditRow, ...]:
        async with self._database.read(once=True) as tx:
            rows = await (tx.rows(_ASKED) if chat_id is None else tx.rows(_ASKED_IN, in_chat=chat_id))
        return tuple(row for row in map(_audit_row, rows) if row is not None)


def _digest(rule: Rule) -> str:
    """The same for rules that say the same about the same place."""
    said: Any = (rule.does, rule.scope, rule.session_id, rule.path, rule.covers)
    return hashlib.sha256(codec.encode(said)).hexdigest()


def _rule(row: Row) -> Rule:
    body, revoked_at, revoked_by = row
    return msgspec.structs.replace(codec.decode(body, Rule), revoked_at=revoked_at, revoked_by=revoked_by)


def _audit_row(row: Row) -> AuditRow | None:
    entry_id, chat_id, session_id, path, turn_id, agent, ts, body = row
    asked = codec.decode_body(body)
    if not isinstance(asked, Permission) or not asked.counted:
        return None
    entry = Entry(id=entry_id, chat_id=chat_id, body=asked, turn_id=turn_id, agent=agent, ts=ts)
    return audit.row(entry, asked, session_id=session_id, path=path)
