"""The warm agents: what lives, and what somebody wants of one of them."""

from __future__ import annotations

import msgspec

from coder_nb.core.health import AgentLog, LiveAgent
from coder_nb.errors import NotFound
from coder_nb.runtime.supervision import Supervisor
from coder_nb.runtime.verbs.base import VerbGroup

_replace = msgspec.structs.replace


class Pooling(VerbGroup):
    _supervisor: Supervisor

    async def pool(self) -> tuple[LiveAgent, ...]:
        await self._supervisor.measure()
        return tuple([await self._named(live) for live in self._supervisor.report()])

    async def evict(self, key: str) -> bool:
        return await self._supervisor.evict(key)

    async def restart(self, key: str) -> bool:
        return await self._supervisor.restart(key)

    async def agent_log(self, key: str) -> AgentLog:
        return AgentLog(key=key, happenings=self._context.journal.of(key), stderr=self._supervisor.log(key))

    async def _named(self, live: LiveAgent) -> LiveAgent:
        """With what its chat is about, where that is still there."""
        if live.chat_id is None:
            return live
        try:
            chat = await self._store.catalog.get_chat(live.chat_id)
            path = await self._host.path_of(chat.session_id)
        except NotFound:
            return live
        return _replace(live, session_id=chat.session_id, title=chat.title or path)
