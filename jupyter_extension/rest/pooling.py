"""What the routes about warm agents do: one call of the runtime each."""

from __future__ import annotations

from coder_nb.core.health import AgentLog, LiveAgent
from coder_nb.core.verbs import Verbs
from jupyter_extension.rest.values import Done


async def pool(runtime: Verbs) -> tuple[LiveAgent, ...]:
    return await runtime.pool()


async def evict(runtime: Verbs, key: str) -> Done:
    return Done(done=await runtime.evict(key))


async def restart(runtime: Verbs, key: str) -> Done:
    return Done(done=await runtime.restart(key))


async def agent_log(runtime: Verbs, key: str) -> AgentLog:
    return await runtime.agent_log(key)
