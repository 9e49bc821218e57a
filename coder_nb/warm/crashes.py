"""How often each agent session or server has ended by itself, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable

from coder_nb.warm import breaker
from coder_nb.warm.breaker import Breaker, State

KEPT = 1000
"""Of how many it is kept; those that crashed longest ago are forgotten."""


class Crashes:
    """A breaker for each name, by the rules of `warm.breaker`."""

    def __init__(self, *, clock: Callable[[], float], limit: int) -> None:
        self._clock, self._limit = clock, limit
        self._breakers: dict[str, Breaker] = {}

    def note(self, name: str) -> State:
        """One more; returns how it stands now."""
        now = self._clock()
        self._breakers[name] = breaker.crashed(self._breakers.pop(name, Breaker()), now=now, limit=self._limit)
        if len(self._breakers) > KEPT:
            del self._breakers[next(iter(self._breakers))]
        return self.state(name)

    def forgive(self, name: str) -> None:
        """It has shown that it works."""
        self._breakers.pop(name, None)

    def starts_at(self, name: str) -> float | None:
        """From when on it may start by itself, by the clock; None where it has crashed too often."""
        return breaker.starts_at(self._breakers.get(name, Breaker()), now=self._clock(), limit=self._limit)

    def state(self, name: str) -> State:
        return breaker.state(self._breakers.get(name, Breaker()), now=self._clock(), limit=self._limit)

    def count(self, name: str) -> int:
        """How many are not forgotten."""
        return len(breaker.recent(self._breakers.get(name, Breaker()), now=self._clock()))

    def open(self) -> list[str]:
        """Those that are not started by themselves any more."""
        return [name for name in self._breakers if self.state(name) == "open"]
