"""Which warm agent sessions are let go: facts and a clock in, names out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Key = tuple[str, str]
"""(chat id, agent)."""


class Fact(NamedTuple):
    """What the rules need to know of one warm agent session."""

    key: Key
    busy: bool
    last_active: float
    """By the clock that `now` comes from, in seconds."""


def idle(facts: Iterable[Fact], *, now: float, ttl: float) -> list[Key]:
    """Those not used for `ttl` seconds; never a busy one (law 10)."""
    return [fact.key for fact in facts if not fact.busy and now - fact.last_active >= ttl]


def over_limit(facts: Iterable[Fact], *, limit: int) -> list[Key]:
    """The least recently used ones beyond `limit`; busy ones count, and are never among them (law 10)."""
    known = list(facts)
    spare = sorted((fact for fact in known if not fact.busy), key=lambda fact: fact.last_active)
    return [fact.key for fact in spare[: max(0, len(known) - limit)]]
