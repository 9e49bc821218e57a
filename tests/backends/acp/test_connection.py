"""The wire to one agent, where something on our own side of it breaks."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from coder_nb.backends.acp.connection import Connection
from coder_nb.backends.processes import Child
from coder_nb.errors import AgentDied

pytestmark = pytest.mark.anyio


class Talker:
    """A child that says one thing and then nothing, for ever."""

    def __init__(self) -> None:
        self.said = [b'{"jsonrpc": "2.0", "method": "session/update"}\n']

    async def read(self, limit: int) -> bytes:
        if self.said:
            return self.said.pop()
        await asyncio.Event().wait()
        return b""

    async def write(self, data: bytes) -> None:
        pass


class Breaking:
    """A listener with a fault."""

    def __init__(self) -> None:
        self.end: asyncio.Future[AgentDied] = asyncio.get_running_loop().create_future()

    def notified(self, method: str, params: Any) -> None:
        raise ZeroDivisionError

    def asked(self, number: Any, method: str, params: Any) -> None: ...

    def garbled(self, text: str) -> None: ...

    async def ready(self) -> None: ...

    def ended(self, error: AgentDied) -> None:
        self.end.set_result(error)


async def test_a_fault_of_ours_ends_every_wait_for_the_agent_instead_of_making_it_endless() -> None:
    listener = Breaking()
    connection = Connection(cast("Child", Talker()), listener, name="Agent")
    connection.open()
    with pytest.raises(AgentDied, match="could not take what Agent said"):
        await connection.request("session/prompt", {}, timeout=20)
    assert (await listener.end) is connection.dead
    await connection.close()
