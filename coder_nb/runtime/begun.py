"""What agents say while no prompt of ours runs: turns that they begin by themselves, and what waits for the next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable

import msgspec

from coder_nb.backends.base import AgentSession
from coder_nb.backends.events import (
    AnyEvent,
    Done,
    Noticed,
    PlanUpdate,
    ReasoningDelta,
    SelfStarted,
    TextDelta,
    ToolUpdate,
)
from coder_nb.errors import AgentDied

IDLE_CHATS = 256
"""In how many chats what agents say between two turns is kept."""
IDLE_EVENTS = 100
"""How much of what an agent says between two turns is kept, the latest."""
BEGUN_CHARS = 1_000_000
"""How much of a turn that an agent has begun waits for its place."""
LEFT_OUT = (
    f"What the agent said from here on until its turn had a place is left out, as it was more than {BEGUN_CHARS:,} "
    "characters: prompt it to say it again."
)
OF_A_TURN = (TextDelta, ReasoningDelta, ToolUpdate, PlanUpdate)
"""What belongs to the turn in which it is said, and to no later one."""


class Begun:
    """A turn that an agent has begun; what it says of it waits here until the turn's place has come."""

    def __init__(self, chat_id: str, agent: str) -> None:
        self.chat_id, self.agent = chat_id, agent
        self._said: asyncio.Queue[AnyEvent] = asyncio.Queue()
        self._waits, self._left = True, BEGUN_CHARS

    def add(self, event: AnyEvent) -> None:
        """Takes what is said; while the turn waits, texts beyond the bound are left out, and the turn says so."""
        if self._waits and isinstance(event, OF_A_TURN):
            if self._left <= 0:
                return
            self._left -= len(msgspec.json.encode(event, enc_hook=str))
            if self._left <= 0:
                event = Noticed(text=LEFT_OUT, code="left_out", level="warning")
        self._said.put_nowait(event)

    async def events(self) -> AsyncIterator[AnyEvent]:
        """All that is said in it, its end included; from here on nothing is left out."""
        self._waits = False
        while True:
            event = await self._said.get()
            yield event
            if isinstance(event, Done):
                return

    async def no_other(self) -> AgentSession:
        """What stands for a start of the agent: only the process that has begun the turn can go on with it."""
        raise AgentDied(f"{self.agent} began a turn by itself and ended: prompt it to go on.")


class Idle:
    """What agents say while they have no turn, until it goes into their next one; bounded, the latest is kept."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, str], deque[AnyEvent]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._said)

    def add(self, key: tuple[str, str], event: AnyEvent) -> None:
        self._said.setdefault(key, deque(maxlen=IDLE_EVENTS)).append(event)
        self._said.move_to_end(key)
        if len(self._said) > IDLE_CHATS:
            self._said.popitem(last=False)

    def take(self, key: tuple[str, str]) -> list[AnyEvent]:
        return list(self._said.pop(key, ()))


class Sorter:
    """Takes what an agent says while no prompt of ours runs: a turn of its own, or something for its next one."""

    def __init__(
        self, chat_id: str, agent: str, keep: Callable[[AnyEvent], None], began: Callable[[Begun], None]
    ) -> None:
        self._chat_id, self._agent = chat_id, agent
        self._keep, self._began = keep, began
        self._now: Begun | None = None

    def __call__(self, event: AnyEvent) -> None:
        if isinstance(event, SelfStarted):
            self._now = Begun(self._chat_id, self._agent)
            self._began(self._now)
        elif self._now is not None:
            self._now.add(event)
            if isinstance(event, Done):
                self._now = None
        elif not isinstance(event, OF_A_TURN):  # what comes late changes nothing any more (law 1)
            self._keep(event)
