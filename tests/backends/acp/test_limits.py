"""What an agent over ACP may write, leave unread, and be ahead; beyond that it waits, or has failed with the cure."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from coder_nb.backends.acp import connection as connections
from coder_nb.backends.acp import session as sessions
from coder_nb.backends.acp import terminals, wire
from coder_nb.backends.acp.connection import Connection, RpcError
from coder_nb.backends.acp.files import Tree
from coder_nb.backends.acp.terminals import Terminal, Terminals
from coder_nb.backends.base import Asked
from coder_nb.backends.events import Done, TextDelta
from coder_nb.backends.processes import Child
from coder_nb.errors import AgentDied

pytestmark = pytest.mark.anyio
DEADLINE = 60.0


class Writing:
    """A child that writes what it is given, and reads nothing."""

    def __init__(self, *said: bytes) -> None:
        self.said = list(said)
        self.reads = 0

    async def read(self, limit: int) -> bytes:
        self.reads += 1
        if self.said:
            return self.said.pop(0)
        await asyncio.Event().wait()
        return b""

    async def write(self, data: bytes) -> None:
        await asyncio.Event().wait()


class Listening:
    """A listener who is ready when it is let."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.room = asyncio.Event()
        self.room.set()
        self.end: asyncio.Future[AgentDied] = asyncio.get_running_loop().create_future()
        self.some, self.ten = asyncio.Event(), asyncio.Event()

    def notified(self, method: str, params: Any) -> None:
        self.heard.append(method)
        self.some.set()
        if len(self.heard) == 10:
            self.ten.set()

    def asked(self, number: Any, method: str, params: Any) -> None: ...

    def garbled(self, text: str) -> None: ...

    async def ready(self) -> None:
        await self.room.wait()

    def ended(self, error: AgentDied) -> None:
        self.end.set_result(error)


def line(size: int) -> bytes:
    """A notification of so many bytes, without its end."""
    empty = b'{"jsonrpc": "2.0", "method": "x", "params": ""}'
    return empty.replace(b'""', b'"' + b"p" * (size - len(empty)) + b'"')


async def test_a_line_at_the_limit_is_taken_and_one_beyond_it_ends_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LONGEST_LINE", 1 << 20)
    listener = Listening()
    child = Writing(line(1 << 20), b"\n", line((1 << 20) + 1))
    connection = Connection(cast("Child", child), listener, name="Agent")
    connection.open()
    error = await asyncio.wait_for(listener.end, DEADLINE)
    assert listener.heard == ["x"]
    assert error.message == "Agent wrote a line of more than 1 MiB, which is not taken: prompt again."
    await connection.close()


async def test_an_agent_that_leaves_too_much_unread_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD", 1000)
    listener = Listening()
    connection = Connection(cast("Child", Writing()), listener, name="Agent")
    connection.open()
    told = 0
    while told <= 1000:
        assert connection.dead is None
        connection.notify("x", {})
        told += len(json.dumps({"jsonrpc": "2.0", "method": "x", "params": {}}, separators=(",", ":"))) + 1
    connection.notify("x", {})
    error = await asyncio.wait_for(listener.end, DEADLINE)
    assert error.message == "Agent does not read what it is told: prompt again to start it afresh."
    await connection.close()


async def test_nothing_is_read_while_nobody_takes_it() -> None:
    listener = Listening()
    child = Writing(*[b'{"jsonrpc": "2.0", "method": "x"}\n'] * 10)
    listener.room.clear()
    connection = Connection(cast("Child", child), listener, name="Agent")
    connection.open()
    await asyncio.wait_for(listener.some.wait(), DEADLINE)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (child.reads, len(listener.heard)) == (1, 1)
    listener.room.set()
    await asyncio.wait_for(listener.ten.wait(), DEADLINE)
    await connection.close()


async def test_an_agent_that_is_ahead_of_its_reader_waits_and_all_it_says_arrives(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "AHEAD", 50)
    session = await world.open()
    words, most = 0, 0
    async for event in session.prompt(Asked(text="stream 20000 0", user_text="")):
        words += isinstance(event, TextDelta)
        if words % 100 == 0:
            await asyncio.sleep(0)
        most = max(most, session._turn.events.qsize())
    assert words == 20_000
    assert most < 6000, "at most what one read brought beyond the bound"
    assert isinstance(event, Done)


async def test_a_reader_who_leaves_a_flood_leaves_no_agent_behind_that_cannot_go_on(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "AHEAD", 10)
    session = await world.open()
    prompted = session.prompt(Asked(text="stream 20000 0", user_text=""))
    async for _ in prompted:
        break
    await asyncio.wait_for(prompted.aclose(), DEADLINE)
    said = [event async for event in session.prompt(Asked(text="say again", user_text=""))]
    assert [event.text for event in said if isinstance(event, TextDelta)] == ["again"]


async def test_a_flood_can_be_stopped(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "AHEAD", 10)
    session = await world.open()
    end = None
    async for event in session.prompt(Asked(text="stream 1000000 0", user_text="")):
        end = event
        await session.cancel()
    assert isinstance(end, Done)
    assert (end.end, end.alive) == ("cancelled", True)


class Lasting:
    """A command that has said something and goes on."""

    pid, returncode = 1, None

    def __init__(self, said: bytes) -> None:
        self.said = [said]

    async def read(self, limit: int = 65536) -> bytes:
        if self.said:
            return self.said.pop()
        await asyncio.Event().wait()
        return b""

    async def stop(self, grace: float = 5.0) -> None: ...


class Commands:
    """Starts commands that last."""

    async def spawn(self, argv: Any, *, cwd: Path, env: Any, name: str) -> Child:
        return cast("Child", Lasting(b"x" * 5))


async def test_an_agent_may_run_so_many_commands_at_once_and_one_more_when_it_has_released_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "MOST", 2)
    known = Terminals(Commands(), Tree(tmp_path), {}, name="Agent")
    numbers = [await known.create({"command": "true"}, lambda number, terminal: None) for _ in range(2)]
    with pytest.raises(RpcError, match="there are 2 terminals already: release one first"):
        await known.create({"command": "true"}, lambda number, terminal: None)
    known._tasks[numbers[0]].cancel()
    await known.release({"terminalId": numbers[0]})
    await known.create({"command": "true"}, lambda number, terminal: None)
    await known.close()


@pytest.mark.parametrize(("limit", "output", "truncated"), [(5, "xxxxx", False), (4, "xxxx", True)])
async def test_the_output_of_a_command_at_the_limit_is_whole_and_beyond_it_its_end_is_kept(
    limit: int, output: str, truncated: bool
) -> None:
    terminal = Terminal(cast("Child", Lasting(b"x" * 5)), limit)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await terminal.drain()
    assert (terminal.output, terminal.truncated) == (output, truncated)
