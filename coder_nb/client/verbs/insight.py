"""What lives in a server, and what it cost, over the wire."""

from __future__ import annotations

from coder_nb.client.find import check_protocol
from coder_nb.client.wire import Wire
from coder_nb.core.agents import AgentInfo, AgentOffer, AgentSessionInfo
from coder_nb.core.health import Health
from coder_nb.core.usage import UsageRow


class Insight(Wire):
    async def health(self) -> Health:
        health = await self._get("health", Health)
        check_protocol(health.protocol, health.version)
        return health

    async def agents(self) -> tuple[AgentInfo, ...]:
        return await self._get("agents", tuple[AgentInfo, ...])

    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        return await self._get(f"sessions/{session_id}/agent-sessions", tuple[AgentSessionInfo, ...])

    async def offers(self, chat_id: str) -> tuple[AgentOffer, ...]:
        return await self._get(f"chats/{chat_id}/offers", tuple[AgentOffer, ...])

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        return await self._get("usage" if chat_id is None else f"chats/{chat_id}/usage", tuple[UsageRow, ...])
