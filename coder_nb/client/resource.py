"""The durable part of a chat, apart from who runs it and how it goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coder_nb.client.transcript import Entries
from coder_nb.core.entries import Value
from coder_nb.core.sessions import ChatInfo
from coder_nb.core.verbs import Verbs
from coder_nb.errors import NotFound

if TYPE_CHECKING:
    from coder_nb.client.chat import Chat

PREFIX = "coder-session/"
ATTEMPTS, PAUSE = 20, 0.25
"""How often, and how many seconds apart, it is tried to attach to what is not there yet."""


class ResourceInfo(Value):
    """The static facts; of them only `native_id` ever changes, when an agent makes its session known."""

    id: str
    chat_id: str
    session_id: str
    path: str
    created_at: int
    """Milliseconds since the epoch."""
    agent: str | None = None
    """The agent of the first turn; None before it."""
    native_id: str | None = None
    """That agent's own id of its session."""


class Resource:
    """What stays of a chat whatever happens to agents, kernels and servers; anything may attach to it by its id."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @property
    def id(self) -> str:
        return f"{PREFIX}{self._chat.id}"

    @property
    def session_info(self) -> ResourceInfo:
        """The static facts."""
        link = self._chat._link
        return link.run(_info, link.verbs, self._chat.id)

    @property
    def transcript(self) -> Entries:
        """What happened."""
        return self._chat.transcript

    def __repr__(self) -> str:
        return f"<Resource {self.id}>"


async def attach(verbs: Verbs, resource_id: str) -> ChatInfo:
    """The chat of a resource, by its id with or without the prefix.

    What is not found is looked for again for five seconds, since whoever made it may not have stored it yet; every
    other error is raised at once.
    """
    chat_id = resource_id.removeprefix(PREFIX)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await verbs.get_chat(chat_id)
        except NotFound:
            if attempt == ATTEMPTS:
                raise
            await asyncio.sleep(PAUSE)
    raise NotFound


async def _info(verbs: Verbs, chat_id: str) -> ResourceInfo:
    chat = await verbs.get_chat(chat_id)
    session = await verbs.get_session(chat.session_id)
    turns = await verbs.turns(chat_id)
    agent = turns[0].agent if turns else None
    known = [info for info in await verbs.agent_sessions(session.id) if info.chat_id == chat_id]
    first = next((info for info in known if agent in (None, info.agent)), None)
    return ResourceInfo(
        id=f"{PREFIX}{chat_id}",
        chat_id=chat_id,
        session_id=session.id,
        path=session.path,
        created_at=chat.created_at,
        agent=agent or (first.agent if first else None),
        native_id=first.native_id if first else None,
    )
