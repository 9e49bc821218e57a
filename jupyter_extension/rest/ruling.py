"""What the routes about rules and the audit do: one call of the runtime each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from coder_nb.core.audit import AuditRow
from coder_nb.core.rules import AnyCovers, Does, Rule, Scope
from coder_nb.core.verbs import Verbs
from jupyter_extension.base import Caller
from jupyter_extension.rest.values import Done


class MakeRule(Struct, frozen=True, kw_only=True):
    """What is to be allowed or forbidden without asking; a session is needed but for a rule that holds everywhere."""

    covers: AnyCovers
    does: Does
    scope: Scope
    session_id: Annotated[str, Meta(pattern="^[a-z0-9]{26}$")] | None = None


async def all_rules(runtime: Verbs) -> tuple[Rule, ...]:
    return await runtime.rules()


async def rules(runtime: Verbs, session_id: str) -> tuple[Rule, ...]:
    return await runtime.rules(session_id)


async def make_rule(runtime: Verbs, body: MakeRule, caller: Caller) -> Rule:
    return await runtime.make_rule(
        body.covers, does=body.does, scope=body.scope, session_id=body.session_id, by=caller.name
    )


async def revoke(runtime: Verbs, rule_id: str, caller: Caller) -> Done:
    return Done(done=await runtime.revoke(rule_id, by=caller.name))


async def whole_audit(runtime: Verbs) -> tuple[AuditRow, ...]:
    return await runtime.audit()


async def audit(runtime: Verbs, chat_id: str) -> tuple[AuditRow, ...]:
    return await runtime.audit(chat_id)
