"""One prompt on a server under way: what it says, how it stands, and its one end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from coder_nb.backends.base import Asked
from coder_nb.backends.events import AnyEvent, Done, Noticed, UserSaid
from coder_nb.backends.opencode.ending import done
from coder_nb.backends.opencode.requests import Requests
from coder_nb.backends.opencode.server import Refused
from coder_nb.backends.opencode.state import State
from coder_nb.backends.registry import AgentSpec
from coder_nb.errors import AgentDied, AgentFailed, CoderError

SILENCE = 10.0
"""Seconds without a word about a running turn after which the server is asked how it stands."""
DOUBT = 0.25
"""The same, where something was said that may have ended the turn, or the turn is being stopped."""
_MISSING = 3
"""How often a prompt that the server has not seen is asked for before the turn fails."""


class Ground(NamedTuple):
    """What a turn needs of its session."""

    state: State
    spec: AgentSpec
    requests: Requests
    grace: float
    """How long it may take to stop."""
    alive: Callable[[], bool]
    ask: Callable[[], Awaitable[None]]
    """Asks the server how the turn stands."""
    abort: Callable[[], None]
    """Tells the server to stop, beside."""
    give_up: Callable[[], None]
    """The native session is of no use any more."""


class Turn:
    """It ends once: by what is said of its own prompt's answer, by the server's word, by a Stop, or with the server."""

    def __init__(self, asked: Asked, ground: Ground) -> None:
        self.asked = asked
        self.began = time.time()
        self.sent = False
        self.stopping = False
        self.ended = False
        self._ground = ground
        self._events: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        """What it says; None only wakes whoever waits."""
        self._known = False
        """Whether it was told under which id the server keeps the prompt."""
        self._doubtful = False
        self._overdue = False
        """Whether the server is to be asked at once."""
        self._idle = 0
        """How often in a row the server has said that nothing runs, although the turn has no end."""
        self._deadline: asyncio.TimerHandle | None = None

    # What it says ----------------------------------------------------------------------------------------------------

    async def next(self) -> AnyEvent:
        """What is said next; where it is silent, the server is asked."""
        while True:
            silence = DOUBT if self._doubtful or self.stopping else SILENCE
            try:
                async with asyncio.timeout(0.0 if self._overdue and self._events.empty() else silence):
                    event = await self._events.get()
            except TimeoutError:
                self._overdue = False
                if self.sent and not self.ended:
                    await self._ground.ask()
                continue
            if event is not None:
                return event

    def say(self, events: Iterable[AnyEvent]) -> None:
        """What it has to say; nothing any more once it has ended."""
        if self.ended:
            return
        state = self._ground.state
        if state.accepted and not self._known:
            self._known = True
            self._events.put_nowait(UserSaid(text="", native_id=state.message_id))
        for event in events:
            self._events.put_nowait(event)

    # How it stands ---------------------------------------------------------------------------------------------------

    def doubt(self) -> None:
        """Something was said that may have ended it: the server is asked soon."""
        self._doubtful = True
        self._events.put_nowait(None)

    def missed(self) -> None:
        """Something may have been said that was not heard: the server is asked at once."""
        self._overdue = True
        self._events.put_nowait(None)

    def stands(self, *, busy: bool) -> None:
        """Takes the server's word: a turn that nothing runs for has ended, whether its end was heard or not."""
        if busy:
            self._idle, self._doubtful = 0, False
            if self.stopping:
                self._ground.abort()
            return
        state = self._ground.state
        self._idle += 1
        taken = self._doubtful = state.accepted or state.error is not None
        if (
            (state.accepted and state.answered)
            or (self._idle > 1 and taken)
            or (self._idle >= _MISSING and not self.stopping)
        ):
            self.finish()

    # Its end ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """It has ended as the session says."""
        self.end(done(self._ground.state, self._ground.spec, stopping=self.stopping, alive=self._ground.alive()))

    def fail(self, error: Refused | CoderError) -> None:
        """It cannot go on. One that is being stopped ends as cancelled, whatever else goes wrong in it."""
        alive = self._ground.alive() and not isinstance(error, AgentDied)
        if self.stopping:
            self.end(Done(end="cancelled", alive=alive))
            return
        if isinstance(error, Refused):
            label = self._ground.spec.label
            error = AgentFailed(f"{label} did not take the prompt: {error.message}. Prompt again to retry.")
        self.end(Done(end="failed", message=error.message, code=error.code, alive=alive))

    def end(self, end: Done) -> None:
        """The one place where a turn ends; a second end changes nothing."""
        if self.ended:
            return
        self.ended = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._ground.requests.refuse_all()
        self._events.put_nowait(end)

    def stop(self) -> None:
        """Tells the server to stop; the turn then ends by itself, within its grace."""
        if self.stopping or self.ended:
            return
        self.stopping = True
        self._ground.requests.refuse_all()
        if self.sent:
            self._ground.abort()
        self._deadline = asyncio.get_running_loop().call_later(self._ground.grace, self._give_up)
        self._events.put_nowait(None)

    def _give_up(self) -> None:
        """The native session does not answer a Stop: it is left alone, and the server with the other chats lives on."""
        if self.ended:
            return
        self._ground.give_up()
        text = (
            f"{self._ground.spec.label} did not stop within {self._ground.grace:g} s: its session was given up, and "
            "the next prompt starts a new one."
        )
        self._events.put_nowait(Noticed(text=text, code="session_given_up", level="warning"))
        self.end(Done(end="cancelled", code="session_given_up", alive=False))
