"""What a store promises of rules, and of the permissions that were asked; part of `store_conformance`."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from coder_nb.core.entries import Entry, Permission, PermissionOption
from coder_nb.core.rules import AnyCovers, Commands, Edits, Line, Rule, Scope, Uses
from coder_nb.errors import NotFound
from coder_nb.ids import new_id
from coder_nb.store.base import Batch, Owner, Store
from coder_nb.testing.contracts import Contract, refuses

_PATH = "/work/project"
_PYTEST = Commands(("pytest", "-q"))


def _rule(covers: AnyCovers = _PYTEST, scope: Scope = "everywhere", **fields: object) -> Rule:
    made = Rule(id=new_id(), does="allow", scope=scope, covers=covers, by="ann", created_at=5)
    return replace(made, **fields)


async def _session(store: Store, path: str = _PATH) -> str:
    made = await store.catalog.open_session("ann", path, name="main", new=True, session_id=new_id(), now=1)
    return made.id


async def r1_a_rule_is_kept_as_it_was_made(store: Store, here: Owner) -> None:
    session_id = await _session(store)
    kinds: tuple[AnyCovers, ...] = (_PYTEST, Line("a\n'b' \\ \u00e9" * 300), Edits("src/"), Uses("x__y"))
    made = [
        _rule(covers, "session", session_id=session_id, entry_id="e", created_at=n) for n, covers in enumerate(kinds)
    ]
    for rule in made:
        assert await store.rules.add("ann", rule) == rule
    assert await store.rules.all("ann") == tuple(made)


async def r2_it_holds_where_it_says_and_for_its_owner(store: Store, here: Owner) -> None:
    session_id, other = await _session(store), await _session(store)
    session = await store.rules.add("ann", _rule(scope="session", session_id=session_id))
    project = await store.rules.add("ann", _rule(scope="project", path=_PATH, created_at=6))
    everywhere = await store.rules.add("ann", _rule(created_at=7))
    await store.rules.add("bob", _rule(Edits()))

    async def holding(owner: str, session_id: str, path: str) -> list[str]:
        return [rule.id for rule in await store.rules.holding(owner, session_id=session_id, path=path)]

    assert await holding("ann", session_id, _PATH) == [session.id, project.id, everywhere.id]
    assert await holding("ann", other, _PATH) == [project.id, everywhere.id]
    assert await holding("ann", other, "/elsewhere") == [everywhere.id]
    assert len(await holding("bob", session_id, _PATH)) == 1
    assert await holding("eve", session_id, _PATH) == []
    assert await store.rules.all("eve") == ()


async def r3_the_same_said_twice_is_one_rule_also_at_once(store: Store, here: Owner) -> None:
    made = await asyncio.gather(*(store.rules.add("ann", _rule()) for _ in range(4)))
    assert len({rule.id for rule in made}) == 1
    assert len(await store.rules.all("ann")) == 1
    await store.rules.add("ann", _rule(does="deny"))
    await store.rules.add("bob", _rule())
    assert len(await store.rules.all("ann")) == 2


async def r4_a_rule_that_is_revoked_holds_no_more_and_stays_known(store: Store, here: Owner) -> None:
    session_id = await _session(store)
    rule = await store.rules.add("ann", _rule())
    await refuses(NotFound, store.rules.revoke("bob", rule.id, at=9, by="bob"))
    assert await store.rules.revoke("ann", rule.id, at=9, by="ann")
    assert not await store.rules.revoke("ann", rule.id, at=10, by="late")
    await refuses(NotFound, store.rules.revoke("ann", new_id(), at=1, by="ann"))
    assert await store.rules.holding("ann", session_id=session_id, path=_PATH) == ()
    assert await store.rules.all("ann") == (replace(rule, revoked_at=9, revoked_by="ann"),)
    again = await store.rules.add("ann", _rule(created_at=11))
    assert again.id != rule.id
    assert await store.rules.holding("ann", session_id=session_id, path=_PATH) == (again,)


async def r5_a_sessions_rules_go_with_it(store: Store, here: Owner) -> None:
    session_id = await _session(store)
    await store.rules.add("ann", _rule(scope="session", session_id=session_id))
    kept = await store.rules.add("ann", _rule(scope="project", path=_PATH))
    lease = await store.leases.acquire(_PATH, here, ttl=60)
    await store.catalog.delete_session(lease, session_id)
    assert await store.rules.all("ann") == (kept,)


async def r6_what_was_asked_is_told_of_the_entries_each_permission_once(store: Store, here: Owner) -> None:
    session_id = await _session(store)
    chats = [
        await store.catalog.open_chat(session_id, name=name, new=False, chat_id=new_id(), now=2) for name in ("a", "b")
    ]
    lease = await store.leases.acquire(_PATH, here, ttl=60)
    asked = Permission(
        request_id="p",
        title="Run it",
        tool="terminal",
        tool_kind="execute",
        input={"command": "pytest -q"},
        options=(PermissionOption(id="yes", label="Allow", kind="allow_once"),),
    )
    given = replace(asked, status="allowed", option_id="yes", by="ann", waited_ms=30, rules=("r",), why="a rule")
    for first, chat, bodies in zip((100, 200), chats, ((asked,), (given, replace(given, counted=False))), strict=True):
        entries = tuple(
            Entry(id=new_id(), chat_id=chat.id, body=body, turn_id="t", agent="qwen", ts=first + at)
            for at, body in enumerate(bodies)
        )
        await store.log.commit(lease, chat.id, Batch(entries=entries))
    waiting, answered = await store.rules.asked()
    assert (waiting.chat_id, waiting.session_id, waiting.path) == (chats[0].id, session_id, _PATH)
    assert (waiting.status, waiting.by, waiting.answer, waiting.answered_at) == ("pending", None, None, None)
    assert (waiting.tool, waiting.tool_kind, waiting.title, waiting.command) == (
        *("terminal", "execute", "Run it"),
        "pytest -q",
    )
    assert (waiting.turn_id, waiting.agent, waiting.ts) == ("t", "qwen", 100)
    assert (answered.status, answered.by, answered.answer, answered.answered_at) == ("allowed", "ann", "Allow", 230)
    assert (answered.rules, answered.why) == (("r",), "a rule")
    assert await store.rules.asked(chats[1].id) == (answered,)


CONTRACTS: tuple[Contract, ...] = (
    r1_a_rule_is_kept_as_it_was_made,
    r2_it_holds_where_it_says_and_for_its_owner,
    r3_the_same_said_twice_is_one_rule_also_at_once,
    r4_a_rule_that_is_revoked_holds_no_more_and_stays_known,
    r5_a_sessions_rules_go_with_it,
    r6_what_was_asked_is_told_of_the_entries_each_permission_once,
)
"""All of them, in their order."""
