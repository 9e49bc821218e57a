"""Commands that an agent has us run in its tree: started by the keeper, their output kept up to a limit."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from typing import Any

from coder_nb.backends.acp import wire
from coder_nb.backends.acp.connection import RpcError
from coder_nb.backends.acp.files import Tree
from coder_nb.backends.processes import Child, Spawner
from coder_nb.errors import CoderError
from coder_nb.ids import new_id

OUTPUT_LIMIT = 1 << 20
"""Bytes of a command's output that are kept, its end, unless the agent asks for fewer."""
MOST = 32
"""Terminals that an agent may have at once."""
AVAILABLE = os.name == "posix"


class Terminal:
    """One command, and the end of what it wrote."""

    def __init__(self, child: Child, limit: int) -> None:
        self.child = child
        self.truncated = False
        self.ended = asyncio.Event()
        self._limit = limit
        self._kept = bytearray()

    async def drain(self) -> None:
        """Keeps reading, so that the command never waits for us, until it has ended."""
        try:
            while data := await self.child.read():
                self._kept += data
                if len(self._kept) > 2 * self._limit:
                    self._cut()
            await self.child.wait()
        finally:
            self.ended.set()

    @property
    def output(self) -> str:
        self._cut()
        return self._kept.decode("utf-8", "replace")

    @property
    def status(self) -> dict[str, Any] | None:
        """How it ended, as the protocol says it; None while it runs."""
        code = self.child.returncode
        if code is None or not self.ended.is_set():
            return None
        return {"exitCode": None, "signal": _signal(-code)} if code < 0 else {"exitCode": code, "signal": None}

    def _cut(self) -> None:
        """Leaves the end, from the beginning of a character."""
        beyond = len(self._kept) - self._limit
        if beyond <= 0:
            return
        while beyond < len(self._kept) and self._kept[beyond] & 0xC0 == 0x80:
            beyond += 1
        del self._kept[:beyond]
        self.truncated = True


class Terminals:
    """The terminals of one agent session; closing it ends every one of them."""

    def __init__(self, spawner: Spawner, tree: Tree, env: Mapping[str, str], *, name: str) -> None:
        self._spawner = spawner
        self._tree = tree
        self._env = dict(env)
        self._name = name
        self._known: dict[str, Terminal] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._earlier: frozenset[str] = frozenset()
        self._stopped = False

    def begin_turn(self) -> None:
        """What earlier turns have left running is none of this one's."""
        self._earlier, self._stopped = frozenset(self._known), False

    async def stop(self) -> None:
        """Ends the commands of this turn, and those that are just being started."""
        self._stopped = True
        ours = [terminal for number, terminal in self._known.items() if number not in self._earlier]
        await asyncio.gather(*(terminal.child.stop(0.0) for terminal in ours), return_exceptions=True)

    async def create(self, params: Mapping[str, Any], ended: Callable[[str, Terminal], None]) -> str:
        """Starts a command; `ended` is called when it has. Raises `RpcError`."""
        if len(self._known) >= MOST:
            raise RpcError(wire.INTERNAL_ERROR, f"there are {MOST} terminals already: release one first")
        cwd = self._tree.inside(params.get("cwd") or str(self._tree.cwd))
        if not cwd.is_dir():
            raise RpcError(wire.INVALID_PARAMS, f"{cwd} is no directory")
        limit = params.get("outputByteLimit")
        limit = limit if isinstance(limit, int) and 0 <= limit < OUTPUT_LIMIT else OUTPUT_LIMIT
        try:
            env = self._env | {item["name"]: item["value"] for item in params.get("env") or ()}
            child = await self._spawner.spawn(argv_of(params), cwd=cwd, env=env, name=f"{self._name}'s command")
        except CoderError as error:
            raise RpcError(wire.INTERNAL_ERROR, error.message) from error
        except (KeyError, TypeError, ValueError) as error:
            raise RpcError(wire.INVALID_PARAMS, f"not a command: {error!r}") from error
        terminal, number = Terminal(child, limit), new_id()
        self._known[number] = terminal
        task = self._tasks[number] = asyncio.create_task(terminal.drain(), name=f"{self._name} terminal {child.pid}")
        task.add_done_callback(lambda _: ended(number, terminal))
        if self._stopped:
            await child.stop(0.0)
        return number

    def find(self, params: Mapping[str, Any]) -> Terminal:
        """The terminal that a request names; raises `RpcError`."""
        number = params.get("terminalId")
        found = self._known.get(number) if isinstance(number, str) else None
        if found is None:
            raise RpcError(wire.NOT_FOUND, f"Resource not found: terminal {number}")
        return found

    async def release(self, params: Mapping[str, Any]) -> None:
        """Ends the command if it still runs, and forgets it; raises `RpcError`."""
        terminal, number = self.find(params), params["terminalId"]
        await terminal.child.stop(0.0)
        await asyncio.wait({self._tasks.pop(number)})
        self._known.pop(number, None)

    async def close(self) -> None:
        await asyncio.gather(*(terminal.child.stop(0.0) for terminal in self._known.values()), return_exceptions=True)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._known.clear()
        self._tasks.clear()


def command_line(params: Mapping[str, Any]) -> str:
    """A command as one reads it."""
    return " ".join([str(params.get("command") or ""), *map(str, params.get("args") or ())])


def argv_of(params: Mapping[str, Any]) -> list[str]:
    """What is started: output and errors in one stream, no input; a command without arguments may be a shell's line."""
    command, args = params["command"], list(params.get("args") or ())
    if not isinstance(command, str) or not command or not all(isinstance(arg, str) for arg in args):
        raise TypeError("`command` and `args` must be text")
    shell = shutil.which("bash") or "/bin/sh"
    if args:
        return [shell, "-c", 'exec "$0" "$@" 2>&1 </dev/null', command, *args]
    return [shell, "-c", f"exec 2>&1 </dev/null\n{command}"]


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
