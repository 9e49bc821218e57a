"""What an agent brings to its next prompt in a chat.

An agent session is opened with its own memory where that is within reach, what it can be resumed by is written down,
and it is told what it has missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from coder_nb.backends.base import AgentSession, ForkOf, Opening
from coder_nb.backends.events import AnyEvent, CommandsChanged, Noticed
from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.sessions import TurnInfo
from coder_nb.core.transcript import visible
from coder_nb.errors import CoderError, NotFound
from coder_nb.runtime.begun import Begun, Sorter
from coder_nb.runtime.context import Context, Facts
from coder_nb.runtime.journal import key_of
from coder_nb.runtime.recap import WAITS, Story
from coder_nb.store.base import Lease
from coder_nb.warm.policy import Key

RECAP_PAGE = 100
"""How many entries are read at once when it is looked for what an agent has missed."""
KEPT_HERE = ("claude", "native")
"""The backends whose agents' memories are in our store."""


async def open_agent(
    context: Context,
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
    known = await context.store.agents.get(chat_id, agent)
    facts = Facts(lease, context.agents.config_hash(agent, cwd), known)
    native_id = known.native_id if known and _is_within_reach(context, known) and not facts.changed else None
    opening = Opening(
        agent=agent,
        chat_id=chat_id,
        cwd=cwd,
        mode=mode,
        model=model,
        effort=effort,
        native_id=native_id,
        fork=None if native_id or known is None else await _fork(context, known),
        turns=len([turn for turn in await visible_turns(context, chat_id) if turn.agent == agent and turn.end]),
        env=dict(env or {}),
    )

    def keep(event: AnyEvent) -> None:
        if isinstance(event, CommandsChanged):
            facts.commands = context.latest_commands[agent] = event.commands
        context.idle.add((chat_id, agent), event)

    return await _started(context, opening, facts, Sorter(chat_id, agent, keep, began))


async def _started(context: Context, opening: Opening, facts: Facts, idle_events: Sorter) -> AgentSession:
    chat_id, agent, passed = opening.chat_id, opening.agent, context.stopwatch()
    try:
        session = await context.agents.open(opening, idle_events=idle_events)
    except CoderError as error:
        context.journal.note("agent_failed", chat=chat_id, agent=agent, code=error.code)
        raise
    told = {"pid": session.pid, "resumed": session.resumed, "ms": passed()}
    context.journal.note("agent_started", chat=chat_id, agent=agent, **told)
    context.keep_facts(session, facts)
    try:
        await remember(context, facts.lease, chat_id, agent, session, settled=False)
    except BaseException:  # nobody would hold it, and the next turn would start another one (law 10)
        await session.close()
        raise
    return session


async def visible_turns(context: Context, chat_id: str) -> list[TurnInfo]:
    """The turns of a chat that no restore has hidden."""
    turns = await context.store.turns.of_chat(chat_id)
    if not turns:
        return []
    landmarks = await context.store.log.landmarks(chat_id)
    hidden = {entry.turn_id for entry in landmarks} - {entry.turn_id for entry in visible(landmarks)}
    return [turn for turn in turns if turn.id not in hidden]


def _is_within_reach(context: Context, known: AgentSessionInfo) -> bool:
    """Whether an agent's memory is where it was: on this host, or in our own store, which goes anywhere."""
    return known.host in (None, context.host) or context.agents.spec(known.agent).backend in KEPT_HERE


async def _fork(context: Context, known: AgentSessionInfo) -> ForkOf | None:
    """What a session that was never opened branches off from, where that still holds what the fork shows."""
    fork = known.forked_from
    if fork is None or not _is_within_reach(context, known):
        return None
    if fork.turns == await _turns_taken(context, fork.chat_id, known.agent):
        return ForkOf(native_id=fork.native_id)
    return None if fork.at is None else ForkOf(native_id=fork.native_id, at=fork.at)


async def _turns_taken(context: Context, chat_id: str, agent: str) -> int | None:
    """How many turns an agent has taken in a chat; None where the chat is gone."""
    try:
        turns = await context.store.turns.of_chat(chat_id)
    except NotFound:
        return None
    return sum(turn.agent == agent for turn in turns)


async def remember(
    context: Context, lease: Lease, chat_id: str, agent: str, session: AgentSession, *, settled: bool
) -> None:
    """Writes down by what an agent session can be resumed, and how it is."""
    status = "crashed" if not session.alive else "warm" if settled else "busy"
    if not session.alive:
        context.journal.bury(key_of(chat_id, agent), session.stderr_tail(), session.explain())
        context.journal.note("agent_crashed", chat=chat_id, agent=agent, pid=session.pid)
    known = await context.store.agents.get(chat_id, agent)
    facts, can = context.facts(session), session.capabilities
    info = AgentSessionInfo(
        chat_id=chat_id,
        agent=agent,
        backend=context.agents.spec(agent).backend,
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
        host=context.host,
        pid=session.pid,
        last_active_at=context.now(),
    )
    await context.store.agents.put(lease, info)


async def keep_in_mind(context: Context, key: Key, session: AgentSession) -> None:
    """Writes down how a session is that has no turn."""
    await remember(context, context.facts(session).lease, *key, session, settled=True)


async def would_go_on(
    context: Context, chat_id: str, agent: str, known: AgentSessionInfo | None, cwd: Path | None
) -> bool:
    """Whether a prompt finds an agent's own memory, as its session would be opened now in that directory."""
    session = context.pool.get((chat_id, agent))
    if session is not None and session.alive:
        return context.facts(session).prompted or session.resumed in ("resumed", "forked")
    if known is None:
        return False
    if known.native_id is None:
        return await _fork(context, known) is not None
    as_it_was = cwd is None or known.config_hash in ("", context.agents.config_hash(agent, cwd))
    return as_it_was and _is_within_reach(context, known)


async def recap(
    context: Context, chat_id: str, agent: str, session: AgentSession, prompt: str, *, turn_id: str
) -> tuple[str, Noticed | None]:
    """What the agent has to be told before its prompt, and what to say where its memory had to be rebuilt by it."""
    remembers = session.resumed in ("resumed", "forked") or context.facts(session).prompted
    story = Story(agent, turn_id=turn_id, knows=remembers)
    page = await context.store.log.tail(chat_id, RECAP_PAGE)
    while page.entries and not story.full:
        story.add(reversed(page.entries))
        page = await context.store.log.before(chat_id, page.entries[0].pos, limit=RECAP_PAGE)
    rebuilt = not remembers and await _has_spoken(context, chat_id, agent, but=turn_id)
    text = story.text(rebuilt=rebuilt)
    if text and _is_command(context, session, prompt):
        return "", Noticed(text=f"{agent} is told with its next prompt what it has missed.", code=WAITS)
    context.facts(session).prompted = True
    return text, _rebuilt(agent, changed=context.facts(session).changed) if rebuilt else None


async def _has_spoken(context: Context, chat_id: str, agent: str, *, but: str) -> bool:
    turns = await visible_turns(context, chat_id)
    return any(turn.agent == agent and turn.id != but for turn in turns)


def _is_command(context: Context, session: AgentSession, prompt: str) -> bool:
    """Whether a prompt is one of the agent's own commands, before which nothing can be put."""
    word = prompt.split(maxsplit=1)[0]
    names = {command.name.lstrip("/") for command in context.facts(session).commands}
    return word.startswith("/") and word[1:] in names


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
