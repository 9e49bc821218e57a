"""Chats that come from others: forks, imported files, native sessions that an agent kept by itself.

Each is made by one transaction, so that there is the whole of it or nothing; what was made before it (a session, a
copy of a worktree) is taken away again where that fails.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from coder_nb import ids
from coder_nb.core import export, redaction
from coder_nb.core.agents import AgentSessionInfo, ForkedFrom
from coder_nb.core.changes import Change
from coder_nb.core.entries import Entry, Notice, UserMessage
from coder_nb.core.export import Exported
from coder_nb.core.sessions import ChatInfo, SessionInfo, TurnInfo
from coder_nb.errors import AgentUnavailable
from coder_nb.runtime.context import Context
from coder_nb.runtime.told import Telling
from coder_nb.settings import Settings
from coder_nb.store.base import Lease

_replace = msgspec.structs.replace
_EVERYTHING = 2**62


# Out -----------------------------------------------------------------------------------------------------------------


async def exported(context: Context, chat_id: str, *, redact: bool) -> Exported:
    """The durable part of a chat, secrets hidden with `redact`."""
    chat = await context.store.catalog.get_chat(chat_id)
    session = await context.store.catalog.get_session(chat.session_id)
    page = await context.store.log.tail(chat_id, _EVERYTHING)
    whole = Exported(
        chat=chat,
        session=session,
        entries=page.entries,
        turns=await context.store.turns.of_chat(chat_id),
        changes=await context.store.changes.of_chat(chat_id),
    )
    plain = export.durable(whole)
    if not redact:
        return plain
    hides = redactor(context.settings, session, page.entries)
    return await asyncio.to_thread(export.redacted, plain, hides)  # seconds, where the chat is long


def redactor(settings: Settings, session: SessionInfo, entries: Sequence[Entry]) -> redaction.Redactor:
    """Hides the secrets of this process's environment and settings, of the session's ``.env`` files, and those that
    agents saw."""
    known = redaction.secrets_of(os.environ) | redaction.secrets_seen(entries)
    known |= redaction.secrets_within([settings.mcp_servers, settings.agents])
    for folder in {session.path, session.worktree or session.path}:
        for file in sorted(Path(folder).glob(".env*")):
            try:
                known |= redaction.secrets_in(file.read_text(errors="replace"))
            except OSError:  # a folder, or not ours to read: nor could an agent
                continue
    return redaction.Redactor(known)


# In ------------------------------------------------------------------------------------------------------------------


async def imported(context: Context, lease: Lease, session_id: str, given: Exported, *, name: str | None) -> str:
    """The chat that an exported one becomes in a session; imported again, it is the same one."""
    chat_id = ids.id_of(session_id, given.chat.id, *(f"{entry.id} {entry.ts}" for entry in given.entries))
    entries, turns = export.copied(given, chat_id, ids.id_of)
    chat = ChatInfo(
        id=chat_id,
        session_id=session_id,
        name=name or given.chat.name or "imported",
        title=given.chat.title,
        created_at=given.chat.created_at or context.now(),
    )
    await context.store.copies.plant(lease, chat, entries=entries, turns=turns)
    return chat_id


async def adopted(
    context: Context, lease: Lease, session: SessionInfo, *, agent: str, native_id: str, name: str | None
) -> str:
    """The chat that goes on with a native session, with what its agent tells of it; the same one each time."""
    for known in await context.store.agents.of_session(session.id):
        if (known.agent, known.native_id) == (agent, native_id):
            return known.chat_id
    chat_id = ids.id_of(session.id, agent, native_id)
    telling = Telling(chat_id, agent, now=context.now, id_of=ids.id_of)
    untold = ""
    try:
        await telling.take(context.agents.told(agent, native_id, Path(session.path)))
    except AgentUnavailable as error:  # it can be gone on with all the same
        untold = error.message
    entries = list(telling.entries)
    if untold:
        text = f"What was said in this session before is not shown: {untold}"
        entries.append(_notice(context, chat_id, text, code="history_untold"))
    first = next((entry.body.text for entry in entries if isinstance(entry.body, UserMessage)), "")
    chat = ChatInfo(
        id=chat_id,
        session_id=session.id,
        name=name or f"{agent}-{native_id[:8]}",
        title=" ".join(first.split())[:80],
        created_at=context.now(),
    )
    its = AgentSessionInfo(
        chat_id=chat_id,
        agent=agent,
        backend=context.agents.spec(agent).backend,
        status="cold",
        native_id=native_id,
        host=context.host,
    )
    await context.store.copies.plant(lease, chat, entries=entries, turns=telling.turns, agents=[its])
    return chat_id


# Forks ---------------------------------------------------------------------------------------------------------------


async def forked(
    context: Context,
    lease: Lease,
    source: ChatInfo,
    session_id: str,
    *,
    turn_id: str | None,
    name: str | None,
    pending: Sequence[Change] = (),
) -> str:
    """A chat in a session that begins with what another one held at the end of a turn, the last one by default.

    `pending` are changes that a copy of the worktree holds too, and that are decided there on their own.
    """
    turns = await context.store.turns.of_chat(source.id)
    kept = export.kept_turns(turns, turn_id)
    page = await context.store.log.tail(source.id, _EVERYTHING)
    entries = export.up_to(page.entries, kept[-1].id if kept else None)
    session = await context.store.catalog.get_session(source.session_id)
    chat = ChatInfo(
        id=ids.new_id(),
        session_id=session_id,
        name=name or f"{source.name}-fork",
        title=source.title,
        created_at=context.now(),
    )
    copy = Exported(chat=source, session=session, entries=entries, turns=tuple(kept))
    copies, copied_turns = export.copied(copy, chat.id, ids.id_of)
    place = f"after turn {len(kept)}" if kept else "at its beginning"
    text = f"Forked from the chat “{source.title or source.name}” {place}."
    known = [info for info in await context.store.agents.of_session(source.session_id) if info.chat_id == source.id]
    agents = [fork for info in known if (fork := _branch(context, info, chat.id, entries, kept, turns)) is not None]
    await context.store.copies.plant(
        lease,
        chat,
        entries=[*copies, _notice(context, chat.id, text, code="forked")],
        turns=copied_turns,
        agents=agents,
    )
    return chat.id


def _branch(
    context: Context,
    info: AgentSessionInfo,
    chat_id: str,
    entries: Sequence[Entry],
    kept: Sequence[TurnInfo],
    turns: Sequence[TurnInfo],
) -> AgentSessionInfo | None:
    """What an agent's session in a fork branches off from; None where it has to be told the conversation instead."""
    mine = sum(turn.agent == info.agent for turn in kept)
    if not mine or info.host not in (None, context.host):
        return None
    fork = info.forked_from
    if info.native_id is not None:
        said = [e for e in entries if isinstance(e.body, UserMessage) and e.agent == info.agent and e.native_id]
        fork = ForkedFrom(
            native_id=info.native_id,
            at=said[-1].native_id if len(said) == mine else None,
            chat_id=info.chat_id,
            turns=mine,
        )
    whole = mine == sum(turn.agent == info.agent for turn in turns)
    if fork is None or (fork.at is None and not whole):
        return None
    return AgentSessionInfo(
        chat_id=chat_id, agent=info.agent, backend=info.backend, status="cold", forked_from=fork, host=info.host
    )


def _notice(context: Context, chat_id: str, text: str, *, code: str) -> Entry:
    return Entry(id=context.new_id(), chat_id=chat_id, ts=context.now(), body=Notice(text=text, code=code))
