"""One server for all chats: started once, and again when it is dead. The watch is in `runtime/test_supervision.py`."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from support import opencode_server

from coder_nb.backends.base import AgentSession, Asked, McpServer, Opening
from coder_nb.backends.events import AnyEvent, Done
from coder_nb.backends.opencode.backend import OpencodeBackend
from coder_nb.backends.opencode.server import Server
from coder_nb.backends.registry import registry
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.warm.process import Keeper

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LIMIT = 60.0


class Stage:
    """A backend whose program is the scripted one, with short times."""

    def __init__(self, keeper: Keeper, cwd: Path, **settings: Any) -> None:
        times = {
            "health_interval": 0.05,
            "health_timeout": LIMIT,
            "cancel_grace": 0.3,
            "stop_grace": 0.5,
            "sweep": 60.0,
        }
        argv = [sys.executable, opencode_server.__file__]
        self.settings = Settings(
            agents={"opencode": {"backend": "opencode", "argv": argv, "modes": {}}}, **(times | settings)
        )
        self.backend = OpencodeBackend(self.settings, registry(self.settings.agents), keeper, environ=dict(os.environ))
        self._cwd = cwd
        self._open = AsyncExitStack()

    async def open(self, **fields: Any) -> AgentSession:
        opening = Opening(agent="opencode", chat_id="c", cwd=self._cwd, **fields)
        session = await self.backend.open(opening, idle_events=lambda event: None)
        self._open.push_async_callback(session.close)
        return session

    @property
    def server(self) -> Server:
        (server,) = self.backend.servers.values()
        return server

    async def gone(self, server: Server) -> None:
        async with asyncio.timeout(LIMIT):
            while server.dead is None:
                await asyncio.to_thread(_a_moment)

    async def close(self) -> None:
        await self._open.aclose()
        await self.backend.close()


def _a_moment() -> None:
    signal.sigtimedwait([], 0.01)


class Stages:
    def __init__(self, cwd: Path) -> None:
        self.keeper = Keeper(new_id())
        self.made: list[Stage] = []
        self._cwd = cwd

    def __call__(self, **settings: Any) -> Stage:
        self.made.append(Stage(self.keeper, self._cwd, **settings))
        return self.made[-1]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stages]:
    stages = Stages(tmp_path)
    yield stages
    for one in stages.made:
        await one.close()
    await stages.keeper.close(2.0)
    gc.collect()  # what was not closed is said here


async def ends(session: AgentSession) -> Done:
    asked = Asked(text="go", user_text="go")
    events: list[AnyEvent] = [event async for event in session.prompt(asked)]
    assert isinstance(events[-1], Done)
    return events[-1]


async def test_fifty_chats_that_begin_at_once_start_one_server(stage: Stages) -> None:
    one = stage()
    sessions = await asyncio.gather(*(one.open() for _ in range(50)))
    assert len(one.backend.servers) == 1
    assert one.server.users == 50
    assert all(session.alive for session in sessions)


async def test_a_chat_that_gives_up_while_the_server_starts_does_so_for_itself_only(stage: Stages) -> None:
    one = stage()
    first, second = asyncio.ensure_future(one.open()), asyncio.ensure_future(one.open())
    await asyncio.sleep(0.05)
    first.cancel()
    assert (await second).alive
    assert first.cancelled()
    assert one.server.users == 1


async def test_chats_that_need_other_variables_or_servers_have_a_server_of_their_own(stage: Stages) -> None:
    one = stage()
    for fields in (
        {},
        {"env": {"VIRTUAL_ENV": "/v"}},
        {"mcp_servers": (McpServer(name="docs", command=("docs",)),)},
        {"env": {"VIRTUAL_ENV": "/v"}},
        {},
    ):
        await one.open(**fields)
    assert sorted(server.users for server in one.backend.servers.values()) == [1, 2, 2]


async def test_a_dead_server_fails_its_turns_and_the_next_chat_starts_another(stage: Stages) -> None:
    one = stage()
    session, server = await one.open(), one.server
    turn = asyncio.create_task(ends(session))
    await asyncio.sleep(0)
    os.kill(server.pid, signal.SIGKILL)
    async with asyncio.timeout(LIMIT):
        done = await turn
    assert (done.end, done.alive, session.alive) == ("failed", False, False)
    assert (await one.open()).alive
    assert one.server.pid != server.pid


async def test_whoever_stops_waiting_leaves_no_connection_behind(stage: Stages) -> None:
    """A request that is cut off as it connects would lose its socket, which `gc.collect` would find."""
    one = stage()
    await one.open()
    server = one.server

    for steps in range(120):  # of the loop, until all are cut off
        calls = [asyncio.ensure_future(server.call("GET", "/session/status", Path("/"))) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    os.kill(server.pid, signal.SIGKILL)
    await one.gone(server)


async def test_nothing_runs_on_after_a_close(stage: Stages) -> None:
    one = stage()
    before = asyncio.all_tasks()
    sessions = [await one.open() for _ in range(3)]
    turns = [asyncio.create_task(ends(session)) for session in sessions]
    await asyncio.sleep(0.1)
    await one.close()
    async with asyncio.timeout(LIMIT):
        assert {(await turn).end for turn in turns} == {"failed"}
    left = asyncio.all_tasks() - before
    assert not [task for task in left if not task.get_name().startswith("keeper")]


async def test_a_server_whose_port_was_taken_over_starts_at_another_and_leaves_the_foreign_one_alone(
    stage: Stages,
) -> None:
    """Nobody is pinned to where it was, asks the one who is there now, or ends him."""
    one = stage(health_interval=60.0)
    session, before = await one.open(), one.server
    port = before._client.base_url.port
    assert port
    turn = asyncio.create_task(ends(session))
    await asyncio.sleep(0)
    os.kill(before.pid, signal.SIGKILL)
    async with asyncio.timeout(LIMIT):
        assert (await turn).end == "failed"
    called: list[bytes] = []

    async def called_by(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(called_by, "127.0.0.1", port) as foreign:
        again = await one.open()
        assert again.alive
        assert one.server._client.base_url.port != port
        assert (await one.server.call("GET", "/global/health", Path("/")))["healthy"]
        assert foreign.is_serving()
    assert called == []
