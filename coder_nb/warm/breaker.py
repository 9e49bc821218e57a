"""When what ended by itself is started again: at once, later each time, and after too many times not at all."""

from __future__ import annotations

from typing import Literal, NamedTuple

WINDOW = 600.0
"""Seconds after which a crash is forgotten."""
FIRST, LONGEST = 1.0, 60.0
"""Seconds of the second start's delay, which doubles each time, and of the longest one."""


class Breaker(NamedTuple):
    """The crashes of one agent session, or of one server, that are not forgotten."""

    crashes: tuple[float, ...] = ()
    """By the clock that `now` comes from, the first first."""


State = Literal["closed", "waiting", "open"]


def crashed(breaker: Breaker, *, now: float, limit: int) -> Breaker:
    """One crash more; no more are kept than are needed to see that there were too many."""
    return Breaker((*recent(breaker, now=now), now)[-(limit + 1) :])


def recent(breaker: Breaker, *, now: float) -> tuple[float, ...]:
    """The crashes that still count."""
    return tuple(at for at in breaker.crashes if now - at < WINDOW)


def starts_at(breaker: Breaker, *, now: float, limit: int) -> float | None:
    """From when on it may start by itself: at once after a first crash. None where it has crashed too often.

    With the limit nought it never starts by itself. A prompt starts it in any case.
    """
    count = len(recent(breaker, now=now))
    if count > limit:
        return None
    return breaker.crashes[-1] + (min(LONGEST, FIRST * 2 ** (count - 2)) if count > 1 else 0.0) if count else now


def state(breaker: Breaker, *, now: float, limit: int) -> State:
    """``open``: it is not started by itself any more."""
    at = starts_at(breaker, now=now, limit=limit)
    return "open" if at is None else "waiting" if at > now else "closed"
