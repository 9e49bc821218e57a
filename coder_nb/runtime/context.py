"""What all turns of a runtime share, and the few things that several of them do with it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from weakref import WeakKeyDictionary, WeakValueDictionary

from coder_nb import ids
from coder_nb.backends.base import AgentSession
from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.entries import Command
from coder_nb.core.permissions import PermissionMode
from coder_nb.runtime.agents import Agents
from coder_nb.runtime.asking import Pending, Presence
from coder_nb.runtime.attention import Lookout
from coder_nb.runtime.begun import Idle
from coder_nb.runtime.feed import Feed
from coder_nb.runtime.journal import Journal, key_of
from coder_nb.runtime.recorder import Recorder
from coder_nb.runtime.routing import Situation
from coder_nb.runtime.rulebook import Rulebook
from coder_nb.runtime.spending import Spending
from coder_nb.settings import Settings
from coder_nb.store.base import Lease, Store
from coder_nb.warm.breaker import State
from coder_nb.warm.crashes import Crashes
from coder_nb.warm.policy import Key
from coder_nb.warm.pool import Pool, Start
from coder_nb.worktrees.worktrees import Worktrees


class Facts:
    """What is kept of an agent session beside what it tells of itself."""

    def __init__(self, lease: Lease, config_hash: str, known: AgentSessionInfo | None) -> None:
        self.lease = lease
        """Under which it was opened."""
        self.config_hash = config_hash
        self.changed = bool(known and known.config_hash and known.config_hash != config_hash)
        """Whether its settings are others than when its native session began."""
        self.commands: tuple[Command, ...] = known.commands if known else ()
        self.mode: PermissionMode | None = None
        """The mode of its last turn, and so of what it begins by itself."""
        self.model: str | None = None
        """The model that it has said last to have used."""
        self.prompted = False
        """Whether it was given a prompt here, and what was before that."""


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
        self.rulebook = Rulebook(settings, store)
        self.spending = Spending(settings, store)
        self.journal = Journal(self.now)
        self.lookout: Lookout | None = None
        """Who wants to hear of each chat that its state has changed, if anybody does."""
        self.crashes = Crashes(clock=time.monotonic, limit=settings.restarts)
        self.epoch = ids.new_id()
        self.host = socket.gethostname()
        self._feeds: WeakValueDictionary[str, Feed] = WeakValueDictionary()
        self.idle = Idle()
        self.latest_commands: dict[str, tuple[Command, ...]] = {}
        """What each agent told last, in whatever chat."""
        self._facts: WeakKeyDictionary[AgentSession, Facts] = WeakKeyDictionary()

    new_id: Callable[[], str] = staticmethod(ids.new_id)

    @staticmethod
    def now() -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    @staticmethod
    def stopwatch() -> Callable[[], int]:
        """Begins to measure; what it returns says how many milliseconds have passed, whatever the time of day does."""
        began = time.monotonic_ns()
        return lambda: (time.monotonic_ns() - began) // 1_000_000

    def feed(self, chat_id: str) -> Feed:
        """The listeners of a chat; gone when nobody writes or listens."""
        told = self.lookout.changed if self.lookout else _nobody
        return self._feeds.setdefault(chat_id, Feed(partial(told, chat_id)))

    def recorder(self, chat_id: str, turn_id: str, agent: str) -> Recorder:
        """The entries of a turn, as they come."""
        return Recorder(
            chat_id=chat_id,
            turn_id=turn_id,
            agent=agent,
            epoch=self.epoch,
            now=self.now,
            new_id=self.new_id,
            longest=self.settings.entry_limit,
        )

    @property
    def feeds(self) -> Mapping[str, Feed]:
        return self._feeds

    # Agent sessions --------------------------------------------------------------------------------------------------

    def keep_facts(self, session: AgentSession, facts: Facts) -> None:
        self._facts[session] = facts

    def facts(self, session: AgentSession) -> Facts:
        """What is kept of a session that was opened here."""
        return self._facts[session]

    def died(self, key: Key, session: AgentSession, start: Start | None) -> State:
        """An agent has ended in its turn: that counts, and one with a process of its own is wanted again.

        One that shares a server is as soon opened again with its next prompt: the server is what is started.
        """
        state = self.crashes.note(key_of(*key))
        if start is not None and session.pid is not None and state != "open":
            self.pool.want(key, start)
        return state

    def commands_are(self, agent: str, session: AgentSession, commands: tuple[Command, ...]) -> None:
        """An agent has said which commands it has; `remember` writes them down."""
        self._facts[session].commands = self.latest_commands[agent] = commands

    async def keeps_warm(self, key: Key, *, once: bool) -> bool:
        """Whether an agent is kept when its turn has ended; raises where the agent cannot be used any more."""
        others = [fact for fact in self.pool.facts() if fact.key != key]
        now = Situation(
            warm=self.pool.get(key) is not None,
            once=once,
            busy=sum(fact.busy for fact in others),
            max_live=self.settings.max_live,
            idle_eviction=self.settings.idle_eviction,
        )
        return (await self.agents.route(key[1], now)).way == "warm"


def _nobody(chat_id: str) -> None:
    """Nobody wants to hear of it."""
