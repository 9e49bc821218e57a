"""Rules and the audit, over the wire."""

from __future__ import annotations

from coder_nb.client.wire import Done, Wire
from coder_nb.core.audit import AuditRow
from coder_nb.core.rules import AnyCovers, Does, Rule, Scope


class Ruling(Wire):
    async def rules(self, session_id: str | None = None) -> tuple[Rule, ...]:
        return await self._get("rules" if session_id is None else f"sessions/{session_id}/rules", tuple[Rule, ...])

    async def make_rule(
        self, covers: AnyCovers, *, does: Does, scope: Scope, session_id: str | None = None, by: str | None = None
    ) -> Rule:
        body = {"covers": covers, "does": does, "scope": scope, "session_id": session_id}
        return await self._post("rules", Rule, body)

    async def revoke(self, rule_id: str, *, by: str | None = None) -> bool:
        return (await self._send("DELETE", f"rules/{rule_id}", Done)).done

    async def audit(self, chat_id: str | None = None) -> tuple[AuditRow, ...]:
        return await self._get("audit" if chat_id is None else f"chats/{chat_id}/audit", tuple[AuditRow, ...])
