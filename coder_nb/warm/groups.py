"""Processes in groups of their own, where there is no keeper: on Windows, where this was not tested.

They get the end of their input when we are gone; that they then end is not in our hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from coder_nb.errors import AgentDied
from coder_nb.warm import exits
from coder_nb.warm.child import LAST_WAIT, Tail, cannot_start, secrets_of


class OwnGroups:
    """Starts processes by asyncio's own means, each in a group that an interrupt of ours does not reach."""

    def __init__(self) -> None:
        self._processes: set[GroupProcess] = set()

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> GroupProcess:
        """Starts a process; raises `AgentNotInstalled` where there is no such program, else `AgentFailed`."""
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        pipe = subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=cwd,
                env=dict(env),
                start_new_session=os.name == "posix",
                creationflags=flags,
            )
        except OSError as error:
            error.filename = "cwd" if str(error.filename) == str(cwd) else "program"
            raise cannot_start(argv[0], cwd, name, error) from error
        made = GroupProcess(process, name, secrets_of(env))
        self._processes.add(made)
        return made

    async def close(self, grace: float = 5.0) -> None:
        """Stops every process that still runs."""
        await asyncio.gather(*(process.stop(grace) for process in self._processes))


class GroupProcess:
    """One of them, as `backends.processes.Child` has it."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, secrets: tuple[str, ...]) -> None:
        self._process = process
        self._name = name
        self._secrets = secrets
        self._tail = Tail()
        self._draining = asyncio.create_task(self._drain(), name=f"{name} stderr")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def read(self, limit: int = 65536) -> bytes:
        """What it wrote to its standard output; empty at the end."""
        return await self._process.stdout.read(limit) if self._process.stdout else b""

    async def write(self, data: bytes) -> None:
        """Writes all of it to its standard input; raises `AgentDied` where it has closed it."""
        stdin = self._process.stdin
        try:
            if stdin is None or stdin.is_closing():
                raise BrokenPipeError
            stdin.write(data)
            await stdin.drain()
        except (OSError, RuntimeError):
            raise AgentDied(f"{self._name} has ended or closed its input: prompt again to start it afresh.") from None

    def stderr_tail(self) -> str:
        """The last 32 KiB of its standard error, secrets blanked out."""
        return self._tail.text(self._secrets)

    def explain(self) -> str:
        """Why it ended, in sentences for people."""
        return exits.explain(self._name, self.returncode, self.stderr_tail())

    async def wait(self) -> int:
        return await self._process.wait()

    async def stop(self, grace: float = 5.0) -> None:
        """Closes its input, then ends it, then kills it; bounded by `grace` and two seconds."""
        child = self._process
        if child.stdin is not None:
            child.stdin.close()
        for end, seconds in ((None, 0.2 * grace), (child.terminate, 0.6 * grace), (child.kill, LAST_WAIT)):
            if self.returncode is None:
                with contextlib.suppress(ProcessLookupError, TimeoutError):
                    if end is not None:
                        end()
                    await asyncio.wait_for(child.wait(), seconds)  # not `asyncio.timeout`: see `worktrees.git`
        self._draining.cancel()
        await asyncio.gather(self._draining, return_exceptions=True)

    async def _drain(self) -> None:
        while self._process.stderr is not None and (data := await self._process.stderr.read(65536)):
            self._tail.data_received(data)
