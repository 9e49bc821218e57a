"""Rules by which permissions are answered, and what was asked."""

from __future__ import annotations

from coder_nb.core.audit import AuditRow
from coder_nb.core.rules import AnyCovers, Does, Rule, Scope
from coder_nb.runtime.verbs.base import VerbGroup


class Ruling(VerbGroup):
    async def rules(self, session_id: str | None = None) -> tuple[Rule, ...]:
        if session_id is None:
            return await self._store.rules.all(self._host.owner)
        return await self._context.rulebook.holding(await self._store.catalog.get_session(session_id))

    async def make_rule(
        self, covers: AnyCovers, *, does: Does, scope: Scope, session_id: str | None = None, by: str | None = None
    ) -> Rule:
        session = None if session_id is None else await self._store.catalog.get_session(session_id)
        by, now = by or self._host.owner, self._context.now()
        owner = session.owner if session else self._host.owner
        rule = await self._context.rulebook.make(owner, session, covers, does=does, scope=scope, by=by, now=now)
        await self._context.pending.reconsider()
        return rule

    async def revoke(self, rule_id: str, *, by: str | None = None) -> bool:
        owner, now = self._host.owner, self._context.now()
        return await self._store.rules.revoke(owner, rule_id, at=now, by=by or owner)

    async def audit(self, chat_id: str | None = None) -> tuple[AuditRow, ...]:
        found = await self._store.rules.asked(chat_id)
        return found if chat_id is None else await self._of(chat_id, found)
