"""How the work of a turn is ended before its time, and what the turn ends as then."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import msgspec

from coder_nb.backends.base import AgentSession
from coder_nb.backends.events import Done
from coder_nb.core.entries import End

_END_OF_STOP: dict[str, End] = {"crash": "interrupted", "exceed": "limited"}


class Why(NamedTuple):
    """Why a turn is stopped."""

    event: str
    message: str
    code: str
    hold: bool
    """Whether what waits has to wait on; the user's own Stop has seen to that for what was waiting then."""


class Stopping:
    """The end of a turn's work: the agent is told to end, and the work is left behind where it does not."""

    def __init__(self, *, patience: float) -> None:
        """A backend gives an agent up by itself; after this patience, in seconds, even that has failed."""
        self.why: Why | None = None
        self._patience = patience
        self._work: asyncio.Task[Done] | None = None
        self._last_resort: asyncio.TimerHandle | None = None

    @property
    def holds(self) -> bool:
        """Whether what waits has to wait on."""
        return self.why is not None and self.why.hold

    async def outcome(self, work: asyncio.Task[Done]) -> Done:
        """How the work ended; work that was to stop before it began does not begin."""
        self._work = work
        if self.why is not None:
            work.cancel()
        await asyncio.wait({work})
        if self._last_resort is not None:
            self._last_resort.cancel()
        return Done(end="cancelled") if work.cancelled() else work.result()

    async def end(self, agent: AgentSession | None) -> None:
        """Cancels what the agent that has the prompt does, or the work where none has it; does not wait for its end."""
        if agent is not None:
            if self._work is not None:
                self._last_resort = asyncio.get_running_loop().call_later(self._patience, self._work.cancel)
            await agent.cancel()
        elif self._work is not None:
            self._work.cancel()

    def judged(self, done: Done) -> Done:
        """What the turn ends as, in the light of why it was stopped, be it at the last moment."""
        if self.why is None:
            return done
        if self.why.event == "exceed" and done.end == "completed":
            return done  # it was so before it could be stopped
        end = _END_OF_STOP.get(self.why.event, "cancelled")
        return msgspec.structs.replace(done, end=end, message=self.why.message, code=self.why.code)
