"""The warm agents of a server, over the wire."""

from __future__ import annotations

from urllib.parse import quote

from coder_nb.client.wire import Done, Wire
from coder_nb.core.health import AgentLog, LiveAgent


class Pooling(Wire):
    async def pool(self) -> tuple[LiveAgent, ...]:
        return await self._get("pool", tuple[LiveAgent, ...])

    async def evict(self, key: str) -> bool:
        return (await self._post(f"pool/{quote(key, safe='')}/evict", Done)).done

    async def restart(self, key: str) -> bool:
        return (await self._post(f"pool/{quote(key, safe='')}/restart", Done)).done

    async def agent_log(self, key: str) -> AgentLog:
        return await self._get(f"pool/{quote(key, safe='')}/log", AgentLog)
