"""What the routes about the server itself, its agents and their cost do: one call of the runtime each."""

from __future__ import annotations

from coder_nb.core.agents import AgentInfo, AgentOffer, AgentSessionInfo
from coder_nb.core.health import Health
from coder_nb.core.usage import UsageRow
from coder_nb.core.verbs import Verbs
from jupyter_extension.hosted import HostedRuntime


async def health(hosted: HostedRuntime) -> Health:
    return await hosted.health()


async def agents(runtime: Verbs) -> tuple[AgentInfo, ...]:
    return await runtime.agents()


async def agent_sessions(runtime: Verbs, session_id: str) -> tuple[AgentSessionInfo, ...]:
    return await runtime.agent_sessions(session_id)


async def offers(runtime: Verbs, chat_id: str) -> tuple[AgentOffer, ...]:
    return await runtime.offers(chat_id)


async def all_usage(runtime: Verbs) -> tuple[UsageRow, ...]:
    return await runtime.usage()


async def usage(runtime: Verbs, chat_id: str) -> tuple[UsageRow, ...]:
    return await runtime.usage(chat_id)
