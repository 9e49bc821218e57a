"""What all turns of a runtime share, and the few things that several of them do with it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import msgspec

from coder_nb import ids, prices
from coder_nb.backends.base import AgentSession, ForkOf, Opening
from coder_nb.backends.events import AnyEvent, CommandsChanged, Noticed
from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.entries import Command, Usage
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.sessions import TurnInfo
from coder_nb.core.transcript import visible
from coder_nb.errors import CoderError, NotFound
from coder_nb.runtime.agents import Agents
from coder_nb.runtime.asking import Pending, Presence
from coder_nb.runtime.attention import Lookout
from coder_nb.runtime.begun import Begun, Sorter
from coder_nb.runtime.feed import Feed
from coder_nb.runtime.journal import Journal, key_of
from coder_nb.runtime.recap import WAITS, Story
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

_replace = msgspec.structs.replace
RECAP_PAGE = 100
"""How many entries are read at once when it is looked for what an agent has missed."""
IDLE_CHATS = 256
"""In how many chats what agents say between two turns is kept."""
KEPT_HERE = ("claude", "native")
"""The backends whose agents' memories are in our store."""
IDLE_EVENTS = 100
"""How much of what an agent says between two turns is kept, the latest."""


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
        self._idle = Idle()
        self.latest_commands: dict[str, tuple[Command, ...]] = {}
        """What each agent told last, in whatever chat."""
        self._facts: WeakKeyDictionary[AgentSession, Facts] = WeakKeyDictionary()
        self._prompted: WeakSet[AgentSession] = WeakSet()

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

    async def open_agent(
        self,
        lease: Lease,
        chat_id: str,
        agent: str,
        *,
        cwd: Path,
        mode: PermissionMode,
        model: str | None,
        effort: str | None = None,
        env: Mapping[str, str] | None = None,
        began: Callable[[Begun], None],
    ) -> AgentSession:
        """Starts an agent session, with its earlier native session where that is within reach."""
        known = await self.store.agents.get(chat_id, agent)
        facts = Facts(lease, self.agents.config_hash(agent, cwd), known)
        native_id = known.native_id if known and self._is_within_reach(known) and not facts.changed else None
        turns = [turn for turn in await self.visible_turns(chat_id) if turn.agent == agent and turn.end]
        opening = Opening(
            agent=agent,
            chat_id=chat_id,
            cwd=cwd,
            mode=mode,
            model=model,
            effort=effort,
            native_id=native_id,
            fork=None if native_id or known is None else await self._fork(known),
            turns=len(turns),
            env=dict(env or {}),
        )

        def keep(event: AnyEvent) -> None:
            if isinstance(event, CommandsChanged):
                facts.commands = self.latest_commands[agent] = event.commands
            self._idle.add((chat_id, agent), event)

        passed = self.stopwatch()
        try:
            session = await self.agents.open(opening, idle_events=Sorter(chat_id, agent, keep, began))
        except CoderError as error:
            self.journal.note("agent_failed", chat=chat_id, agent=agent, code=error.code)
            raise
        told = {"pid": session.pid, "resumed": session.resumed, "ms": passed()}
        self.journal.note("agent_started", chat=chat_id, agent=agent, **told)
        self._facts[session] = facts
        try:
            await self.remember(lease, chat_id, agent, session, settled=False)
        except BaseException:  # nobody would hold it, and the next turn would start another one (law 10)
            await session.close()
            raise
        return session

    def facts(self, session: AgentSession) -> Facts:
        """What is kept of a session that was opened here."""
        return self._facts[session]

    async def visible_turns(self, chat_id: str) -> list[TurnInfo]:
        """The turns of a chat that no restore has hidden."""
        turns = await self.store.turns.of_chat(chat_id)
        if not turns:
            return []
        landmarks = await self.store.log.landmarks(chat_id)
        hidden = {entry.turn_id for entry in landmarks} - {entry.turn_id for entry in visible(landmarks)}
        return [turn for turn in turns if turn.id not in hidden]

    def _is_within_reach(self, known: AgentSessionInfo) -> bool:
        """Whether an agent's memory is where it was: on this host, or in our own store, which goes anywhere."""
        return known.host in (None, self.host) or self.agents.spec(known.agent).backend in KEPT_HERE

    async def _fork(self, known: AgentSessionInfo) -> ForkOf | None:
        """What a session that was never opened branches off from, where that still holds what the fork shows."""
        fork = known.forked_from
        if fork is None or not self._is_within_reach(known):
            return None
        if fork.turns == await self._turns_taken(fork.chat_id, known.agent):
            return ForkOf(native_id=fork.native_id)
        return None if fork.at is None else ForkOf(native_id=fork.native_id, at=fork.at)

    async def _turns_taken(self, chat_id: str, agent: str) -> int | None:
        """How many turns an agent has taken in a chat; None where the chat is gone."""
        try:
            turns = await self.store.turns.of_chat(chat_id)
        except NotFound:
            return None
        return sum(turn.agent == agent for turn in turns)

    async def remember(self, lease: Lease, chat_id: str, agent: str, session: AgentSession, *, settled: bool) -> None:
        """Writes down by what an agent session can be resumed, and how it is."""
        status = "crashed" if not session.alive else "warm" if settled else "busy"
        if not session.alive:
            self.journal.bury(key_of(chat_id, agent), session.stderr_tail(), session.explain())
            self.journal.note("agent_crashed", chat=chat_id, agent=agent, pid=session.pid)
        known = await self.store.agents.get(chat_id, agent)
        facts, can = self._facts[session], session.capabilities
        info = AgentSessionInfo(
            chat_id=chat_id,
            agent=agent,
            backend=self.agents.spec(agent).backend,
            status=status,  # type: ignore[arg-type]  # one of three members of the Literal
            native_id=session.native_id,
            earlier=_given_up(known, session.native_id),
            model=facts.model or (known.model if known else None),
            models=can.models,
            efforts=dict(can.efforts),
            images=can.images,
            files=can.files,
            commands=facts.commands,
            config_hash=facts.config_hash,
            host=self.host,
            pid=session.pid,
            last_active_at=self.now(),
        )
        await self.store.agents.put(lease, info)

    async def keep_in_mind(self, key: Key, session: AgentSession) -> None:
        """Writes down how a session is that has no turn."""
        await self.remember(self._facts[session].lease, *key, session, settled=True)

    def died(self, key: Key, session: AgentSession, start: Start | None) -> State:
        """An agent has ended in its turn: that counts, and one with a process of its own is wanted again.

        One that shares a server is as soon opened again with its next prompt: the server is what is started.
        """
        state = self.crashes.note(key_of(*key))
        if start is not None and session.pid is not None and state != "open":
            self.pool.want(key, start)
        return state

    async def would_go_on(self, chat_id: str, agent: str, known: AgentSessionInfo | None, cwd: Path | None) -> bool:
        """Whether a prompt finds an agent's own memory, as its session would be opened now in that directory."""
        session = self.pool.get((chat_id, agent))
        if session is not None and session.alive:
            return session in self._prompted or session.resumed in ("resumed", "forked")
        if known is None:
            return False
        if known.native_id is None:
            return await self._fork(known) is not None
        as_it_was = cwd is None or known.config_hash in ("", self.agents.config_hash(agent, cwd))
        return as_it_was and self._is_within_reach(known)

    def said_between_turns(self, chat_id: str, agent: str) -> list[AnyEvent]:
        """What an agent said while it had no turn (its commands, its mode), once: it goes into the next turn."""
        return self._idle.take((chat_id, agent))

    def commands_are(self, agent: str, session: AgentSession, commands: tuple[Command, ...]) -> None:
        """An agent has said which commands it has; `remember` writes them down."""
        self._facts[session].commands = self.latest_commands[agent] = commands

    def _is_command(self, session: AgentSession, prompt: str) -> bool:
        """Whether a prompt is one of the agent's own commands, before which nothing can be put."""
        word = prompt.split(maxsplit=1)[0]
        names = {command.name.lstrip("/") for command in self._facts[session].commands}
        return word.startswith("/") and word[1:] in names

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

    async def recap(
        self, chat_id: str, agent: str, session: AgentSession, prompt: str, *, turn_id: str
    ) -> tuple[str, Noticed | None]:
        """What the agent has to be told before its prompt, and what to say where its memory had to be rebuilt by it."""
        remembers = session.resumed in ("resumed", "forked") or session in self._prompted
        story = Story(agent, turn_id=turn_id, knows=remembers)
        page = await self.store.log.tail(chat_id, RECAP_PAGE)
        while page.entries and not story.full:
            story.add(reversed(page.entries))
            page = await self.store.log.before(chat_id, page.entries[0].pos, limit=RECAP_PAGE)
        rebuilt = not remembers and await self._has_spoken(chat_id, agent, but=turn_id)
        text = story.text(rebuilt=rebuilt)
        if text and self._is_command(session, prompt):
            return "", Noticed(text=f"{agent} is told with its next prompt what it has missed.", code=WAITS)
        self._prompted.add(session)
        return text, _rebuilt(agent, changed=self._facts[session].changed) if rebuilt else None

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


def _nobody(chat_id: str) -> None:
    """Nobody wants to hear of it."""


def _given_up(known: AgentSessionInfo | None, native_id: str | None) -> tuple[str, ...]:
    """The native ids that an agent session has had, but for the one that it has now."""
    if known is None:
        return ()
    had = (*known.earlier, *((known.native_id,) if known.native_id else ()))
    return tuple(dict.fromkeys(each for each in had if each != native_id))


def _rebuilt(agent: str, *, changed: bool) -> Noticed:
    if changed:
        text = f"The settings of {agent} have changed: it began a new session, and was given the conversation so far."
        return Noticed(text=text, code="config_changed")
    text = f"{agent} could not go on with its own memory: it was given the conversation so far."
    return Noticed(text=text, code="memory_rebuilt")
