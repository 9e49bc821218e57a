"""What the next prompt of a chat may ask of each agent, and what it would do with the agent's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from coder_nb.core.agents import AgentOffer, AgentSessionInfo, Memory
from coder_nb.core.permissions import MODES
from coder_nb.core.sessions import ChatInfo, SessionInfo, TurnInfo
from coder_nb.errors import CoderError
from coder_nb.runtime.context import Context
from coder_nb.runtime.memory import visible_turns, would_go_on


def memory(*, goes_on: bool, spoke: bool) -> Memory:
    """What an agent brings along: its own memory goes on where it can, and is else rebuilt if it has spoken before."""
    if goes_on:
        return "resumed"
    return "history" if spoke else "new"


def is_told(agent: str, turns: Sequence[TurnInfo], brings: Memory) -> bool:
    """Whether an agent is told of turns first: of those of others since its own, or of all where it knows none."""
    if brings == "resumed":
        return bool(turns) and turns[-1].agent != agent
    return bool(turns)


async def offered(context: Context, chat: ChatInfo, session: SessionInfo) -> tuple[AgentOffer, ...]:
    """One for each agent of the registry, in its order."""
    here = await _here(context, chat)
    lately = {info.agent: info for info in await context.store.agents.latest()}
    turns = [turn for turn in await visible_turns(context, chat.id) if turn.end]
    cwd = await _cwd(context, session) if here else None
    spoke = {turn.agent for turn in turns}
    made = []
    for agent in context.agents.names:
        goes_on = await would_go_on(context, chat.id, agent, here.get(agent), cwd)
        brings = memory(goes_on=goes_on, spoke=agent in spoke)
        told = is_told(agent, turns, brings)
        made.append(_offer(context, agent, brings, told, here.get(agent), lately.get(agent)))
    return tuple(made)


async def memories(
    context: Context, session: SessionInfo, known: Sequence[AgentSessionInfo]
) -> Mapping[tuple[str, str], Memory]:
    """What each agent session of a session, as it is written down, would bring to its next prompt."""
    cwd = await _cwd(context, session) if known else None
    found: dict[tuple[str, str], Memory] = {}
    for chat_id in {info.chat_id for info in known}:
        spoke = {turn.agent for turn in await visible_turns(context, chat_id) if turn.end}
        for info in (info for info in known if info.chat_id == chat_id):
            goes_on = await would_go_on(context, chat_id, info.agent, info, cwd)
            found[chat_id, info.agent] = memory(goes_on=goes_on, spoke=info.agent in spoke)
    return found


async def _here(context: Context, chat: ChatInfo) -> dict[str, AgentSessionInfo]:
    infos = await context.store.agents.of_session(chat.session_id)
    return {info.agent: info for info in infos if info.chat_id == chat.id}


async def _cwd(context: Context, session: SessionInfo) -> Path | None:
    """Where agents work; None where that is not made yet, or cannot be found."""
    if session.isolation == "none":
        return Path(session.path)
    if session.worktree is None:
        return None
    try:
        return Path(session.worktree) / (await context.worktrees.locate(Path(session.path))).subdirectory
    except CoderError:
        return None


def _offer(
    context: Context,
    agent: str,
    brings: Memory,
    told: bool,
    here: AgentSessionInfo | None,
    lately: AgentSessionInfo | None,
) -> AgentOffer:
    """With what the agent said of itself here, or else wherever it was used last."""
    most = context.settings.most_permissive_mode
    said = here if here is not None and (here.models or here.images is not None) else lately
    offer = AgentOffer(
        agent=agent,
        memory=brings,
        told=told,
        model=here.model if here is not None else None,
        modes=MODES[: MODES.index(most) + 1],
        carries=context.settings.attachment_limit,
    )
    if said is None:
        return offer
    return msgspec.structs.replace(
        offer, models=said.models, efforts=said.efforts, images=said.images, files=said.files
    )
