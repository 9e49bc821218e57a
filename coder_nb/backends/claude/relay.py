"""Starts Claude's program for the SDK by our own means: it cannot outlive us, and sees no more than it should."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from coder_nb.backends.claude import stand_in
from coder_nb.backends.claude.resumes import OURS, claim
from coder_nb.backends.processes import Child, Spawner
from coder_nb.errors import AgentDied, CoderError

_LONGEST_SOCKET = 100
"""The longest path that a Unix socket may have everywhere, with some room."""


class Relay:
    """One start of Claude's program: `command` is what the SDK is told to run in its place."""

    def __init__(
        self,
        spawner: Spawner,
        program: str,
        *,
        cwd: Path,
        env: Mapping[str, str],
        name: str,
        grace: float,
        heard: Callable[[bytes], None],
    ) -> None:
        """`heard` is given all that Claude writes, before the SDK is."""
        self._spawner = spawner
        self._program = program
        self._cwd, self._env, self._name, self._grace, self._heard = cwd, env, name, grace, heard
        self._folder = _private_folder()
        self._listening = socket.socket(socket.AF_UNIX)
        self._running: asyncio.Task[None] | None = None
        self.child: Child | None = None
        self.ended = asyncio.Event()
        """Set when the program has ended, or could not be started."""
        self.failure: CoderError | None = None
        """Why it could not be started."""

    @property
    def command(self) -> Path:
        """A program of a few lines, which is the SDK's `cli_path`."""
        return self._folder / "claude"

    def start(self) -> None:
        """Waits for the SDK from now on."""
        path = self._folder / "socket"
        self._listening.bind(str(path))
        self._listening.listen(1)
        self._listening.setblocking(False)
        words = (sys.executable, "-I", "-S", stand_in.__file__, str(path))
        self.command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        self.command.chmod(0o700)
        self._running = asyncio.create_task(self._run(), name=f"{self._name} relay")

    def explain(self) -> str:
        """Why it is not there any more, in sentences for people."""
        if self.failure is not None:
            return self.failure.message
        if self.child is None:
            return f"{self._name} did not start: prompt again."
        return self.child.explain()

    async def close(self) -> None:
        """Ends the program, all that it has started, and the relay; bounded."""
        if self.child is not None:
            await self.child.stop(self._grace)
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        self._listening.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _run(self) -> None:
        link, _ = await asyncio.get_running_loop().sock_accept(self._listening)
        reader, writer = await asyncio.open_unix_connection(sock=link)
        try:
            (length,) = stand_in.HEAD.unpack(await reader.readexactly(stand_in.HEAD.size))
            head = json.loads(await reader.readexactly(length))
            claim(head["env"].get("CLAUDE_CONFIG_DIR"))
            self.child = await self._spawner.spawn(
                [self._program, *head["arguments"]], cwd=self._cwd, env={**self._env, **head["env"]}, name=self._name
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, self.child), name=f"{self._name} input")
                tasks.create_task(self._pass_back(self.child, writer), name=f"{self._name} output")
        except CoderError as error:
            self.failure = error
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the SDK has given up
        finally:
            self.ended.set()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, child: Child) -> None:
        """What the SDK writes goes to Claude; where the SDK has ended, so does Claude."""
        with contextlib.suppress(AgentDied, ConnectionError):
            while data := await reader.read(1 << 16):
                await child.write(data)
        await child.stop(self._grace)

    async def _pass_back(self, child: Child, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await child.read(1 << 16):
                self._heard(data)
                writer.write(data)
                await writer.drain()
        self.ended.set()
        with contextlib.suppress(OSError):
            writer.write_eof()


def _private_folder() -> Path:
    folder = tempfile.mkdtemp(prefix=OURS)
    if len(os.fsencode(folder)) + len("/socket") > _LONGEST_SOCKET:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix=OURS, dir="/tmp")
    claim(folder)
    return Path(folder)
