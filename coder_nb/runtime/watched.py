"""What is known of one agent session or server beside what it tells of itself: its pulse, its memory, its restarts."""

from __future__ import annotations

import time
import weakref

from coder_nb.warm import health
from coder_nb.warm.health import Patience, Pulse
from coder_nb.warm.vitals import Vitals


class Watched:
    """Of one place in the pool; what is of the process alone begins anew with each that has the place."""

    def __init__(self) -> None:
        self._of: weakref.ref[object] | None = None
        self._pulse = Pulse()
        self.memory: int | None = None
        self.stopped = False
        self.started_at: int | None = None
        """Milliseconds since the epoch."""
        self.buried = False
        """Whether its death was noted."""
        self.ending = ""
        """Why we have ended it, as a sentence."""
        self.on_purpose = False
        """Whether that was because nobody needs it or somebody asked for it, so that its end is no crash."""
        self.restarts = 0
        self.why = ""
        """Why it was started again last."""

    def bind(self, thing: object, cause: str) -> None:
        """Whose place it is now; `cause` is why the one before ended by itself.

        One that was neither ended nor has ended by itself had to make way for a prompt that needs another one.
        """
        if self.is_of(thing):
            return
        if self._of is not None and (why := self.ending or cause):
            self.restarts, self.why = self.restarts + 1, why
        self._of, self._pulse, self.memory, self.ending = weakref.ref(thing), Pulse(), None, ""
        self.stopped = self.buried = self.on_purpose = False
        self.started_at = time.time_ns() // 1_000_000

    def is_of(self, thing: object) -> bool:
        return self._of is not None and self._of() is thing

    def looked(self, vitals: Vitals | None) -> None:
        """What a look at its process has shown."""
        self.memory = vitals.memory if vitals else None
        self.stopped = vitals is not None and vitals.stopped

    def checked(self, *, well: bool, patience: Patience) -> None:
        self._pulse = health.checked(self._pulse, well=well, now=time.monotonic(), patience=patience)

    def is_deaf(self, *, busy: bool, patience: Patience) -> bool:
        return health.verdict(self._pulse, busy=busy, now=time.monotonic(), patience=patience) == "deaf"
