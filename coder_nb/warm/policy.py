"""Which warm agent sessions are let go, and how: facts and a clock in, what to do out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Key = tuple[str, str]
"""(chat id, agent)."""
FAR = 2
"""How many times its ceiling of memory an agent takes before it is ended in the middle of its turn."""


class Fact(NamedTuple):
    """What the rules need to know of one warm agent session."""

    key: Key
    busy: bool
    last_active: float
    """By the clock that `now` comes from, in seconds."""
    alive: bool = True
    deaf: bool = False
    """Whether it lives and does not answer, as its health checks have established."""
    memory: int | None = None
    """Bytes, with all that it has started; None where nobody knows."""


class Limits(NamedTuple):
    """What the settings allow."""

    idle: float = 1800.0
    """Seconds."""
    live: int = 10
    memory: int = 0
    """Bytes for each; 0 is any."""


Way = Literal["forget", "evict", "restart", "end"]
"""``forget`` what is dead anyway, ``evict`` what is not needed, ``restart`` what is needed and cannot go on as it is;
``end`` what does harm, with its turn. The first three are of idle ones only (law 10)."""
Why = Literal["dead", "deaf", "memory", "idle", "limit"]


class Letting(NamedTuple):
    """What is to become of one, and the fact by which that was decided: where it is another by then, nothing is."""

    way: Way
    why: Why
    fact: Fact


def lettings(facts: Iterable[Fact], limits: Limits, *, now: float) -> list[Letting]:
    """What is to be done about each that cannot stay as it is; of the reasons, the first that fits."""
    known = list(facts)
    found = [found for fact in known if (found := _letting(fact, limits, now)) is not None]
    gone = {letting.fact.key for letting in found if letting.way != "restart"}
    restarted = {letting.fact.key for letting in found if letting.way == "restart"}
    left = [fact for fact in known if fact.key not in gone]
    beyond = {fact.key: fact for fact in over_limit(left, limit=limits.live)}
    found = [letting for letting in found if letting.fact.key not in restarted & beyond.keys()]
    return found + [Letting("evict", "limit", fact) for fact in beyond.values()]


class ServerFact(NamedTuple):
    """What the rules need to know of a server that lives and that several sessions share."""

    users: int
    turns: int
    unused_for: float
    """Seconds since it had a user."""
    deaf: bool = False
    memory: int | None = None


ServerWhy = Literal["unused", "deaf", "memory"]


def of_server(fact: ServerFact, limits: Limits, *, unused: float) -> ServerWhy | None:
    """Why a server is to be ended; None for one that may stay. Each of its users may take what one agent may."""
    if not fact.users and fact.unused_for > unused:
        return "unused"
    if fact.deaf:
        return "deaf"
    ceiling = limits.memory * max(1, fact.users) * (FAR if fact.turns else 1)
    return "memory" if limits.memory and (fact.memory or 0) > ceiling else None


def over_limit(facts: Iterable[Fact], *, limit: int) -> list[Fact]:
    """The least recently used ones beyond `limit`; busy ones count, and are never among them (law 10)."""
    known = list(facts)
    spare = sorted((fact for fact in known if not fact.busy), key=lambda fact: fact.last_active)
    return spare[: max(0, len(known) - limit)]


def still(letting: Letting, fact: Fact | None) -> bool:
    """Whether what was decided holds at the moment at which it is done: nobody has used the session since."""
    if fact is None or fact.busy != letting.fact.busy:
        return False
    return letting.way == "end" or fact.last_active == letting.fact.last_active


def _letting(fact: Fact, limits: Limits, now: float) -> Letting | None:
    heavy = (fact.memory or 0) / limits.memory if limits.memory else 0.0
    if fact.busy:  # a dead one's turn is ending by itself
        if fact.alive and (fact.deaf or heavy > FAR):
            return Letting("end", "deaf" if fact.deaf else "memory", fact)
        return None
    if not fact.alive:
        return Letting("forget", "dead", fact)
    if fact.deaf:
        return Letting("evict", "deaf", fact)
    if _is_idle(fact, now, limits.idle):
        return Letting("evict", "idle", fact)
    return Letting("restart", "memory", fact) if heavy > 1 else None


def _is_idle(fact: Fact, now: float, ttl: float) -> bool:
    return not fact.busy and now - fact.last_active >= ttl
