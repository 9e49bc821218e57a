"""Whether what lives has gone deaf: independent failures of its health checks, and a grace while it is busy."""

from __future__ import annotations

from typing import Literal, NamedTuple

FAILURES = 3
"""How many independent checks in a row fail before something that is not busy counts as deaf."""


class Pulse(NamedTuple):
    """What the checks of one process have shown so far."""

    failures: int = 0
    deaf_since: float | None = None
    """When the first of them failed."""
    counted_at: float | None = None
    """When the last of them did."""


class Patience(NamedTuple):
    """How long something is waited for."""

    interval: float = 15.0
    """Failures closer to each other than this count as one, as they have one cause."""
    busy: float = 120.0
    """How long something busy may be deaf."""


Verdict = Literal["well", "doubtful", "deaf"]


def checked(pulse: Pulse, *, well: bool, now: float, patience: Patience) -> Pulse:
    """The pulse after a check."""
    if well:
        return Pulse()
    if pulse.counted_at is not None and now - pulse.counted_at < patience.interval:
        return pulse
    since = now if pulse.deaf_since is None else pulse.deaf_since
    return Pulse(pulse.failures + 1, since, now)


def verdict(pulse: Pulse, *, busy: bool, now: float, patience: Patience) -> Verdict:
    """``deaf``: it is to be ended. What is busy may only be slow, and is given its grace."""
    if pulse.deaf_since is None:
        return "well"
    if pulse.failures < FAILURES or (busy and now - pulse.deaf_since < patience.busy):
        return "doubtful"
    return "deaf"
