"""What lives here, which agents there are, and what they cost."""

from __future__ import annotations

import msgspec

from coder_nb.core.agents import AgentInfo, AgentOffer, AgentSessionInfo
from coder_nb.core.health import Health
from coder_nb.core.stream import PROTOCOL
from coder_nb.core.usage import UsageRow
from coder_nb.runtime.offers import memories, offered
from coder_nb.runtime.verbs.base import VerbGroup

_replace = msgspec.structs.replace


class Insight(VerbGroup):
    async def health(self) -> Health:
        from coder_nb import __version__

        return Health(
            protocol=PROTOCOL,
            version=__version__,
            runtime_id=self._host.runtime_id,
            status="draining" if self._host.draining else "ok",
            agents_live=len(self._context.pool.facts()),
            turns_running=self._host.busy,
            readers=self._host.readers,
        )

    async def agents(self) -> tuple[AgentInfo, ...]:
        return await self._context.agents.infos()

    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        session = await self._store.catalog.get_session(session_id)
        known = await self._store.agents.of_session(session_id)
        brings = await memories(self._context, session, known)
        known = tuple(_replace(info, next=brings[info.chat_id, info.agent]) for info in known)
        if await self._host.leases.runner(await self._host.path_of(session_id)) is not None:
            return known  # as its runner wrote it down
        warm = {fact.key: fact.busy for fact in self._context.pool.facts()}
        return tuple(_as_it_is(info, warm.get((info.chat_id, info.agent))) for info in known)

    async def offers(self, chat_id: str) -> tuple[AgentOffer, ...]:
        chat = await self._store.catalog.get_chat(chat_id)
        return await offered(self._context, chat, await self._store.catalog.get_session(chat.session_id))

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        found = await self._store.turns.usage(chat_id)
        return found if chat_id is None else await self._of(chat_id, found)


def _as_it_is(info: AgentSessionInfo, busy: bool | None) -> AgentSessionInfo:
    """What was written down of an agent session, as the pool has it now: busy, warm, or None where it has none."""
    if busy is not None:
        return _replace(info, status="busy" if busy else "warm")
    return _replace(info, status="crashed" if info.status == "crashed" else "cold", pid=None)
