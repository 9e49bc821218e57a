"""What may be spent, and what is to be done about what was: pure, so that each case can be tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Scope = Literal["chat", "user", "day"]
_OF: Mapping[Scope, str] = {
    "chat": "This chat has cost",
    "user": "All your chats have cost",
    "day": "Today's chats have cost",
}


class Budgets(NamedTuple):
    """Limits in billionths of a dollar by what they are of, and whether a turn ends at one."""

    limits: Mapping[Scope, int]
    stops: bool = False

    @classmethod
    def of(cls, *, chat: float, user: float, day: float, stops: bool) -> Budgets:
        """From dollars, where 0 is no limit."""
        given: dict[Scope, float] = {"chat": chat, "user": user, "day": day}
        return cls({scope: round(limit * 1e9) for scope, limit in given.items() if limit > 0}, stops)


class Verdict(NamedTuple):
    """That a limit is reached: what to say, and whether the turn goes on."""

    text: str
    stop: bool


def judge(budgets: Budgets, spent: Mapping[Scope, int], last: int = 0) -> Verdict | None:
    """What is to be said and done when so much was spent, the last of it `last`, which is 0 as a turn begins.

    Where limits stop, a turn beyond one is stopped; else it is said once, when a limit is reached.
    """
    for scope, limit in budgets.limits.items():
        used = spent.get(scope, 0)
        if used >= limit and (budgets.stops or used - last < limit):
            return Verdict(_sentence(scope, used, limit, budgets.stops), budgets.stops)
    return None


def _sentence(scope: Scope, used: int, limit: int, stops: bool) -> str:
    done = "No turn goes on beyond it" if stops else "Turns go on, as `budget_stops` is not set"
    said = f"{_OF[scope]} ${used / 1e9:.2f}, and the budget is ${limit / 1e9:.2f}."
    return f"{said} {done}: the setting `budget_{scope}` is the limit."
