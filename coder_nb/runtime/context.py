"""What all turns of a runtime share, and the few things that several of them do with it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from weakref import WeakSet

import msgspec

from coder_nb import ids, prices
from coder_nb.backends.base import (
    AgentSession,
    AnyEvent,
    ForkOf,
    Opening,
    PlanUpdate,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
)
from coder_nb.core.entries import Usage
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.transcript import visible
from coder_nb.core.values import AgentSessionInfo, TurnInfo
from coder_nb.errors import NotFound
from coder_nb.pool.pool import Pool
from coder_nb.runtime.agents import Agents
from coder_nb.runtime.asking import Pending, Presence
from coder_nb.runtime.feed import Feed
from coder_nb.runtime.recap import Story
from coder_nb.settings import Settings
from coder_nb.store.base import Lease, Store
from coder_nb.worktrees.worktrees import Worktrees

_replace = msgspec.structs.replace
RECAP_PAGE = 100
"""How many entries are read at once when it is looked for what an agent has missed."""
IDLE_EVENTS = 100
"""How much of what an agent says between two turns is kept, the latest."""
OF_A_TURN = (TextDelta, ReasoningDelta, ToolUpdate, PlanUpdate)
"""What belongs to the turn in which it is said, and to no later one."""


class Context:
    """The parts of a runtime that its turns work with."""

    def __init__(self, settings: Settings, *, store: Store, pool: Pool, agents: Agents, worktrees: Worktrees) -> None:
        self.settings = settings
        self.store = store
        self.pool = pool
        self.agents = agents
        self.worktrees = worktrees
        self.presence = Presence(clock=time.monotonic)
        self.pending = Pending()
        self.epoch = ids.new_id()
        self.host = socket.gethostname()
        self._feeds: dict[str, Feed] = {}
        self._idle: dict[tuple[str, str], deque[AnyEvent]] = {}
        self._prompted: WeakSet[AgentSession] = WeakSet()

    new_id: Callable[[], str] = staticmethod(ids.new_id)

    @staticmethod
    def now() -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def feed(self, chat_id: str) -> Feed:
        """The listeners of a chat."""
        return self._feeds.setdefault(chat_id, Feed())

    @property
    def feeds(self) -> Mapping[str, Feed]:
        return self._feeds

    # Agent sessions --------------------------------------------------------------------------------------------------

    async def open_agent(
        self, lease: Lease, chat_id: str, agent: str, *, cwd: Path, mode: PermissionMode, model: str | None
    ) -> AgentSession:
        """Starts an agent session, with its earlier native session where it has one on this host."""
        known = await self.store.catalog.get_agent_session(chat_id, agent)
        native_id = known.native_id if known and known.host in (None, self.host) else None
        turns = [turn for turn in await self.visible_turns(chat_id) if turn.agent == agent and turn.end]
        opening = Opening(
            agent=agent,
            chat_id=chat_id,
            cwd=cwd,
            mode=mode,
            model=model,
            native_id=native_id,
            fork=None if native_id or known is None else await self._fork(known),
            turns=len(turns),
        )
        said = self._idle.setdefault((chat_id, agent), deque(maxlen=IDLE_EVENTS))

        def take(event: AnyEvent) -> None:
            if not isinstance(event, OF_A_TURN):  # what comes late changes nothing any more (law 1)
                said.append(event)

        session = await self.agents.open(opening, idle_events=take)
        try:
            await self.remember(lease, chat_id, agent, session, settled=False)
        except BaseException:  # nobody would hold it, and the next turn would start another one (law 10)
            await session.close()
            raise
        return session

    async def visible_turns(self, chat_id: str) -> list[TurnInfo]:
        """The turns of a chat that no restore has hidden."""
        turns = await self.store.catalog.turns(chat_id)
        if not turns:
            return []
        landmarks = await self.store.log.landmarks(chat_id)
        hidden = {entry.turn_id for entry in landmarks} - {entry.turn_id for entry in visible(landmarks)}
        return [turn for turn in turns if turn.id not in hidden]

    async def _fork(self, known: AgentSessionInfo) -> ForkOf | None:
        """What a session that was never opened branches off from, where that still holds what the fork shows."""
        fork = known.forked_from
        if fork is None or known.host not in (None, self.host):
            return None
        if fork.turns == await self._turns_taken(fork.chat_id, known.agent):
            return ForkOf(native_id=fork.native_id)
        return None if fork.at is None else ForkOf(native_id=fork.native_id, at=fork.at)

    async def _turns_taken(self, chat_id: str, agent: str) -> int | None:
        """How many turns an agent has taken in a chat; None where the chat is gone."""
        try:
            turns = await self.store.catalog.turns(chat_id)
        except NotFound:
            return None
        return sum(turn.agent == agent for turn in turns)

    async def remember(self, lease: Lease, chat_id: str, agent: str, session: AgentSession, *, settled: bool) -> None:
        """Writes down by what an agent session can be resumed, and how it is."""
        status = "crashed" if not session.alive else "warm" if settled else "busy"
        info = AgentSessionInfo(
            chat_id=chat_id,
            agent=agent,
            backend=self.agents.spec(agent).backend,
            status=status,  # type: ignore[arg-type]  # one of three members of the Literal
            native_id=session.native_id,
            models=session.capabilities.models,
            host=self.host,
            pid=session.pid,
            last_active_at=self.now(),
        )
        await self.store.catalog.put_agent_session(lease, info)

    def said_between_turns(self, chat_id: str, agent: str) -> list[AnyEvent]:
        """What an agent said while it had no turn (its commands, its mode), once: it goes into the next turn."""
        said = self._idle.get((chat_id, agent))
        events = list(said) if said else []
        if said:
            said.clear()
        return events

    async def recap(self, chat_id: str, agent: str, session: AgentSession, *, turn_id: str) -> tuple[str, bool]:
        """What the agent has to be told before its prompt, and whether its own memory had to be rebuilt by it."""
        remembers = session.resumed in ("resumed", "forked") or session in self._prompted
        self._prompted.add(session)
        story = Story(agent, turn_id=turn_id, knows=remembers)
        page = await self.store.log.tail(chat_id, RECAP_PAGE)
        while page.entries and not story.full:
            story.add(reversed(page.entries))
            page = await self.store.log.before(chat_id, page.entries[0].pos, limit=RECAP_PAGE)
        rebuilt = not remembers and await self._has_spoken(chat_id, agent, but=turn_id)
        return story.text(rebuilt=rebuilt), rebuilt

    async def _has_spoken(self, chat_id: str, agent: str, *, but: str) -> bool:
        turns = await self.visible_turns(chat_id)
        return any(turn.agent == agent and turn.id != but for turn in turns)

    # Money -----------------------------------------------------------------------------------------------------------

    async def priced(self, usage: Usage) -> Usage:
        """Usage with a computed cost where the agent reported none and the price of its model is known (law 17)."""
        if usage.cost_nanousd is not None or not usage.model:
            return usage
        cost = await asyncio.to_thread(prices.cost_nanousd, usage.tokens, usage.model)
        if cost is None:
            return usage
        return _replace(usage, cost_nanousd=cost, cost_source="computed")
