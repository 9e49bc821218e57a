"""Files and commands that an agent has us read, write and run, in the tree that it was given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from coder_nb.backends.acp import wire
from coder_nb.backends.acp.asking import Asking
from coder_nb.backends.acp.connection import Connection, RpcError
from coder_nb.backends.acp.files import Tree
from coder_nb.backends.acp.grants import Grants
from coder_nb.backends.acp.state import State
from coder_nb.backends.acp.terminals import Terminal, Terminals, command_line
from coder_nb.backends.events import AnyEvent, ToolUpdate
from coder_nb.core.entries import FileDiff

_SHOWN = 32
"""How many commands that have ended wait for the tool call in which they are shown."""


class Services:
    """Serves one agent process. What it changes or runs was allowed by an answer, or is asked about first."""

    def __init__(
        self,
        connection: Connection,
        state: State,
        tree: Tree,
        terminals: Terminals,
        asking: Asking,
        grants: Grants,
        *,
        say: Callable[[list[AnyEvent]], None],
    ) -> None:
        self._connection = connection
        self._state = state
        self._tree = tree
        self._terminals = terminals
        self._asking = asking
        self._grants = grants
        self._say = say
        self._tasks: dict[asyncio.Task[None], Any] = {}
        """What is being done, and the agent's own ids of it, which may be anything."""
        self._ended: dict[str, ToolUpdate] = {}
        self._methods: dict[str, Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]] = {
            "fs/read_text_file": self._read_file,
            "fs/write_text_file": self._write_file,
            "terminal/create": self._create_terminal,
            "terminal/output": self._terminal_output,
            "terminal/wait_for_exit": self._wait_for_terminal,
            "terminal/kill": self._kill_terminal,
            "terminal/release": self._release_terminal,
        }

    def take(self, number: Any, method: str, params: Any) -> bool:
        """Begins to answer a request; False where it is none of ours."""
        if method not in self._methods or not isinstance(params, dict):
            return False
        task = asyncio.create_task(self._run(number, self._methods[method](params)), name=method)
        self._own(task, number)
        return True

    def taken_back(self, number: Any) -> None:
        """The agent does not want the answer any more."""
        for task in [task for task, own in self._tasks.items() if number is not None and own == number]:
            task.cancel()

    def begin_turn(self) -> None:
        """What was allowed for the turn before holds no more, and its commands go on."""
        self._grants.begin_turn()
        self._terminals.begin_turn()

    def stop(self) -> None:
        """Ends the commands of the turn: an agent may wait for one, and leave it running."""
        task = asyncio.create_task(self._terminals.stop(), name="stop commands")
        self._own(task)

    async def close(self) -> None:
        """Ends what is being done for the agent, its commands included."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._terminals.close()

    def _own(self, task: asyncio.Task[None], number: Any = None) -> None:
        self._tasks[task] = number
        task.add_done_callback(self._tasks.pop)

    def show(self) -> None:
        """Shows what commands wrote in the tool calls that are said to hold them."""
        for number in [number for number in self._ended if number in self._state.terminals]:
            update = self._ended.pop(number)
            self._say(
                [ToolUpdate(call_id=self._state.terminals[number], content=update.content, exit_code=update.exit_code)]
            )

    async def _run(self, number: Any, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self._connection.respond(number, await work)
        except RpcError as error:
            self._connection.fail(number, error.code, error.message)
        except asyncio.CancelledError:
            self._connection.fail(number, wire.CANCELLED, "Request cancelled")
            raise
        except Exception as error:  # an agent must not wait for an answer that never comes
            self._connection.fail(number, wire.INTERNAL_ERROR, f"coder-nb itself failed: {error!r}")

    # Files ----------------------------------------------------------------------------------------------------------

    async def _read_file(self, params: dict[str, Any]) -> dict[str, Any]:
        path, line, limit = (params.get(name) for name in ("path", "line", "limit"))
        return {"content": await asyncio.to_thread(self._tree.read, path, line, limit)}

    async def _write_file(self, params: dict[str, Any]) -> dict[str, Any]:
        path, text = params.get("path"), params.get("content")
        if not isinstance(text, str):
            raise RpcError(wire.INVALID_PARAMS, "`content` must be text")
        place = self._tree.inside(path)
        before = await asyncio.to_thread(self._tree.before, path)
        if not self._grants.file(place):
            shown = str(place.relative_to(self._tree.root))
            diffs = (FileDiff(path=str(path), old=before, new=text),)
            question = self._asking.allowed("edit", f"Write {shown}", "write_file", input={"path": path}, diffs=diffs)
            if not await question:
                raise RpcError(wire.INTERNAL_ERROR, f"the user did not allow to write {shown}")
        await asyncio.to_thread(self._tree.write, path, text)
        return {}

    # Commands -------------------------------------------------------------------------------------------------------

    async def _create_terminal(self, params: dict[str, Any]) -> dict[str, Any]:
        line = command_line(params)
        given = {"command": line, "cwd": params.get("cwd") or str(self._tree.cwd)}
        allowed = self._grants.command(line, params)
        if not (allowed or await self._asking.allowed("execute", line, "terminal", input=given)):
            raise RpcError(wire.INTERNAL_ERROR, f"the user did not allow to run {line}")
        return {"terminalId": await self._terminals.create(params, self._terminal_ended)}

    async def _terminal_output(self, params: dict[str, Any]) -> dict[str, Any]:
        terminal = self._terminals.find(params)
        ended = {"exitStatus": terminal.status} if terminal.status else {}
        return {"output": terminal.output, "truncated": terminal.truncated, **ended}

    async def _wait_for_terminal(self, params: dict[str, Any]) -> dict[str, Any]:
        terminal = self._terminals.find(params)
        await terminal.ended.wait()
        return terminal.status or {}

    async def _kill_terminal(self, params: dict[str, Any]) -> dict[str, Any]:
        await self._terminals.find(params).child.stop(0.0)
        return {}

    async def _release_terminal(self, params: dict[str, Any]) -> dict[str, Any]:
        await self._terminals.release(params)
        return {}

    def _terminal_ended(self, number: str, terminal: Terminal) -> None:
        update = ToolUpdate(call_id="", content=terminal.output, exit_code=terminal.child.returncode)
        self._ended[number] = update
        while len(self._ended) > _SHOWN:
            del self._ended[next(iter(self._ended))]
        self.show()
