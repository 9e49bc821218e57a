"""One process that a keeper started for us, with its pipes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from coder_nb.core import redaction
from coder_nb.errors import AgentDied, AgentFailed, AgentNotInstalled
from coder_nb.warm import exits

STDERR_TAIL = 32 * 1024
LAST_WAIT = 2.0
"""Seconds that a process which was killed may take to be gone."""

_PIPE_SIZE = 1 << 20
_F_SETPIPE_SZ = 1031


class Owner(Protocol):
    """Who started a process: the keeper's client."""

    def signal(self, process: Process, op: Literal["term", "kill"]) -> None: ...

    def forget(self, process: Process) -> None: ...


class Process:
    """A process started by a keeper: the reference of `backends.processes.Child`."""

    def __init__(self, owner: Owner, number: int, name: str, secrets: tuple[str, ...]) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.name = name
        self.born = 0
        """The system's start time of it: with the pid, an identity that is never used again."""
        self.started: asyncio.Future[None] = loop.create_future()
        self._owner = owner
        self._secrets = secrets
        self._pid = 0
        self._exit: asyncio.Future[int] = loop.create_future()
        self._stdin = _Input()
        self._stdout = asyncio.StreamReader(limit=_PIPE_SIZE)
        self._stderr = Tail()
        self._transports: list[asyncio.BaseTransport] = []

    @classmethod
    async def piped(
        cls, owner: Owner, number: int, name: str, secrets: tuple[str, ...]
    ) -> tuple[Process, tuple[int, int, int]]:
        """A process that is yet to be started, and its ends of the pipes, which the caller closes."""
        process = cls(owner, number, name, secrets)
        (in_read, in_write), (out_read, out_write), (err_read, err_write) = _pipes(3)
        theirs = in_read, out_write, err_write
        try:
            await process._connect(in_write, out_read, err_read)
        except BaseException:  # a cancellation comes at any step
            for end in theirs:
                os.close(end)
            raise
        return process, theirs

    async def _connect(self, in_write: int, out_read: int, err_read: int) -> None:
        """Makes streams of our ends of the pipes; all of them are closed where it is not done."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as given_up:
            ends = {in_write: "wb", out_read: "rb", err_read: "rb"}
            inside, outside, errors = (given_up.enter_context(os.fdopen(end, how, 0)) for end, how in ends.items())
            for end in ends:
                with contextlib.suppress(OSError):  # a wish: the system limits what a user's pipes take together
                    _enlarge(end)
            stdin, _ = await loop.connect_write_pipe(lambda: self._stdin, inside)
            given_up.callback(stdin.abort)
            stdin.set_write_buffer_limits(high=0)
            stdout, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._stdout), outside)
            given_up.callback(stdout.close)
            stderr, _ = await loop.connect_read_pipe(lambda: self._stderr, errors)
            self._transports = [stdin, stdout, stderr]
            given_up.pop_all()

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def returncode(self) -> int | None:
        """None while it lives; negative for a signal."""
        return self._exit.result() if self._exit.done() else None

    async def read(self, limit: int = 65536) -> bytes:
        """What it wrote to its standard output; empty at the end."""
        return await self._stdout.read(limit)

    async def write(self, data: bytes) -> None:
        """Writes all of it to its standard input; raises `AgentDied` where it has closed it."""
        stdin = self._transports[0]
        if isinstance(stdin, asyncio.WriteTransport) and not stdin.is_closing():
            stdin.write(data)
            await self._stdin.drained.wait()
        if stdin.is_closing():
            raise AgentDied(f"{self.name} has ended or closed its input: prompt again to start it afresh.")

    def stderr_tail(self) -> str:
        """The last 32 KiB of its standard error, secrets blanked out."""
        return self._stderr.text(self._secrets)

    def explain(self) -> str:
        """Why it ended, in sentences for people, with its last words and the cure."""
        return exits.explain(self.name, self.returncode, self.stderr_tail())

    async def wait(self) -> int:
        """Waits until it has ended, and its descendants with it."""
        return await asyncio.shield(self._exit)

    async def stop(self, grace: float = 5.0) -> None:
        """Closes its input, then TERM to its group, then KILL to it and all its descendants, all within `grace`."""
        self._transports[0].close()
        if not await self._ends_within(grace * 0.2):
            self._owner.signal(self, "term")
            if not await self._ends_within(grace * 0.6):
                self._owner.signal(self, "kill")
                await self._ends_within(LAST_WAIT)
        self.close_pipes()
        self._owner.forget(self)

    async def _ends_within(self, seconds: float) -> bool:
        await asyncio.wait({self._exit}, timeout=seconds)
        return self._exit.done()

    # What its keeper tells it ----------------------------------------------------------------------------------------

    def begin(self, pid: int, born: int) -> None:
        """It runs."""
        self._pid, self.born = pid, born
        if not self.started.done():
            self.started.set_result(None)

    def fail(self, error: OSError) -> None:
        """It could not be started."""
        if not self.started.done():
            self.started.set_exception(error)

    def end(self, returncode: int) -> None:
        """It has ended, and its descendants with it."""
        if not self._exit.done():
            self._exit.set_result(returncode)

    def lost(self) -> None:
        """Its keeper was killed, and it with it."""
        self.fail(OSError(errno.ECONNRESET, "the keeper process was killed", "keeper"))
        self.end(-9)

    def close_pipes(self) -> None:
        """Gives up what was not read or written yet."""
        stdin, *readers = self._transports
        if isinstance(stdin, asyncio.WriteTransport) and not self._stdin.lost:
            stdin.abort()
        for reader in readers:
            reader.close()


class _Input(asyncio.BaseProtocol):
    """Flow control of a standard input."""

    def __init__(self) -> None:
        self.lost = False
        self.drained = asyncio.Event()
        self.drained.set()

    def pause_writing(self) -> None:
        self.drained.clear()

    def resume_writing(self) -> None:
        self.drained.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.drained.set()


class Tail(asyncio.Protocol):
    """Drains a standard error, always, and keeps its end."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def data_received(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > 4 * STDERR_TAIL:  # more than is shown, so that a secret is not cut where the tail begins
            del self._kept[: -2 * STDERR_TAIL]

    def text(self, secrets: Sequence[str]) -> str:
        """The end, without what is known to be secret, and what has the shape of a key."""
        return redaction.Redactor(secrets).text(self._kept.decode("utf-8", "replace"))[-STDERR_TAIL:]


def secrets_of(env: Mapping[str, str]) -> tuple[str, ...]:
    """The values of variables whose names say that they are secret, the longest first."""
    return tuple(sorted(redaction.secrets_of(env), key=len, reverse=True))


def _pipes(count: int) -> list[tuple[int, int]]:
    """So many pipes, or none where there are not enough descriptors left."""
    made: list[tuple[int, int]] = []
    try:
        for _ in range(count):
            made.append(os.pipe())
    except OSError:
        for end in (end for pair in made for end in pair):
            os.close(end)
        raise
    return made


def _enlarge(end: int) -> None:
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(end, _F_SETPIPE_SZ, _PIPE_SIZE)


def cannot_start(program: str, cwd: Path, name: str, error: OSError) -> AgentFailed | AgentNotInstalled:
    if error.filename == "cwd":
        return AgentFailed(f"{name} cannot be started in {cwd}: {error.strerror}. Check that the directory is there.")
    if error.filename == "program" and error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
        return AgentNotInstalled(
            f"{name} cannot be started, as there is no program {program!r} that can be run ({error.strerror}): "
            "install it, or set its path in the setting `agents`."
        )
    return AgentFailed(f"{name} cannot be started: {error.strerror or error}. Prompt again to try once more.")
