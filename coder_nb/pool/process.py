"""Processes that cannot outlive us: `Keeper`, which has them started, and `Process`, one of them with its pipes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import logging
import os
import re
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coder_nb.errors import AgentDied, AgentFailed, AgentNotInstalled
from coder_nb.pool import exits, keeper

_log = logging.getLogger(__name__)

MARKER = "CODER_NB_RUNTIME"
"""The variable that every process of ours carries, with the runtime's id."""

STDERR_TAIL = 32 * 1024
_PIPE_SIZE = 1 << 20
_F_SETPIPE_SZ = 1031
_HEAD = struct.Struct("!I")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 6
_LAST_WAIT = 2.0
_KEEPER_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")


class Keeper:
    """Starts processes through a keeper process of its own, which is started at the first spawn.

    One for each runtime id; bound to the loop that it is first used on. When this process ends in any way, the keeper
    ends all that it has started; should the keeper be killed, what it had started is ended from here, and the next
    spawn starts another one.
    """

    def __init__(self, runtime_id: str) -> None:
        self._runtime_id = runtime_id
        self._numbers = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._link: socket.socket | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The keeper process, where there is one now."""
        return self._program.pid if self._program else None

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Process:
        """Starts a process in a session of its own, its whole environment being `env` and our marker.

        Raises `AgentNotInstalled` where there is no such program, `AgentFailed` where it cannot be started otherwise.
        """
        if self._listener is not None and self._link is None:
            await asyncio.wait({self._listener})  # a keeper was lost, and what it left behind is being ended
        if self._closed:
            raise AgentFailed("This runtime is closed: open another one to start agents.")
        link = self._link or self._start_keeper()
        process, ends = await Process.piped(self, next(self._numbers), name, secrets_of(env))
        self._processes[process.number] = process
        request = {
            "op": "spawn",
            "id": process.number,
            "argv": list(argv),
            "env": {**env, MARKER: self._runtime_id},
            "cwd": str(cwd),
        }
        try:
            _send(link, request, ends)
            await process.started
        except BaseException as error:
            self._processes.pop(process.number, None)
            self.signal(process, "kill")
            process.close_pipes()
            if isinstance(error, OSError):
                raise _cannot_start(argv[0], cwd, name, error) from error
            raise
        finally:
            for end in ends:
                os.close(end)
        return process

    def signal(self, process: Process, op: str) -> None:
        """Has the keeper send TERM to the process's group, or kill it with all its descendants."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                _send(self._link, {"op": op, "id": process.number})

    def forget(self, process: Process) -> None:
        """Called by a process that was stopped."""
        self._processes.pop(process.number, None)

    async def close(self, grace: float = 5.0) -> None:
        """Stops every process, then the keeper; at most two seconds longer than `grace`."""
        self._closed = True
        await asyncio.gather(*(process.stop(grace) for process in list(self._processes.values())))
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_WR)
        if self._listener is not None:
            await asyncio.wait({self._listener}, timeout=_LAST_WAIT)
            if not self._listener.done() and self._program is not None:
                self._program.kill()
                await asyncio.wait({self._listener}, timeout=_LAST_WAIT)

    # The keeper process ----------------------------------------------------------------------------------------------

    def _start_keeper(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._program = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt of the kernel's group must not reach it
                cwd="/",
                env={name: os.environ[name] for name in _KEEPER_VARIABLES if name in os.environ}
                | {MARKER: self._runtime_id},
            )
        self._link = ours
        self._listener = asyncio.create_task(self._listen(ours, self._program), name=f"keeper {self._program.pid}")
        return ours

    async def _listen(self, link: socket.socket, program: subprocess.Popen[bytes]) -> None:
        """Takes what the keeper reports until it is gone, then cleans up after it."""
        buffer = bytearray()
        with link, contextlib.suppress(ConnectionError):
            while data := await asyncio.get_running_loop().sock_recv(link, 1 << 16):
                buffer += data
                while len(buffer) >= _HEAD.size:
                    (length,) = _HEAD.unpack_from(buffer)
                    if len(buffer) < _HEAD.size + length:
                        break
                    message = json.loads(buffer[_HEAD.size : _HEAD.size + length])
                    del buffer[: _HEAD.size + length]
                    self._take(message)
        self._link = None
        await asyncio.to_thread(self._bury, program)
        self._program = None
        for process in self._processes.values():
            process.lost()

    def _take(self, message: dict[str, Any]) -> None:
        process = self._processes.get(message.get("id", 0))
        if message["op"] == "broken":
            _log.error("the keeper process failed, and ended what it had started:\n%s", message["text"])
        elif process is None:
            return  # it was given up while it was starting
        elif message["op"] == "started":
            process.begin(message["pid"], message["born"])
        elif message["op"] == "failed":
            process.fail(OSError(message["errno"], os.strerror(message["errno"]), message["at"]))
        elif message["op"] == "exited":
            process.end(message["returncode"])

    def _bury(self, program: subprocess.Popen[bytes]) -> None:
        """Reaps the keeper, and kills whatever carries our marker: after an orderly end, nothing does."""
        try:
            program.wait(_LAST_WAIT)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
        if sys.platform == "linux":
            marker = f"{MARKER}={self._runtime_id}".encode()
            keeper.kill_until_none(
                lambda: [seen for seen in keeper.all_processes() if keeper.carries(seen.pid, marker)],
                lambda: None,
                _LAST_WAIT,
            )


class Process:
    """A process started by a keeper: the reference of `backends.base.Child`."""

    def __init__(self, owner: Keeper, number: int, name: str, secrets: tuple[str, ...]) -> None:
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
        self._stderr = _Tail()
        self._transports: list[asyncio.BaseTransport] = []

    @classmethod
    async def piped(
        cls, owner: Keeper, number: int, name: str, secrets: tuple[str, ...]
    ) -> tuple[Process, tuple[int, int, int]]:
        """A process that is yet to be started, and its ends of the pipes, which the caller closes."""
        process = cls(owner, number, name, secrets)
        loop = asyncio.get_running_loop()
        (in_read, in_write), (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe(), os.pipe()
        for end in (in_write, out_read, err_read):
            with contextlib.suppress(OSError):  # a wish: the system limits what a user's pipes take together
                _enlarge(end)
        stdin, _ = await loop.connect_write_pipe(lambda: process._stdin, os.fdopen(in_write, "wb", 0))
        stdin.set_write_buffer_limits(high=0)
        stdout, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(process._stdout), os.fdopen(out_read, "rb", 0)
        )
        stderr, _ = await loop.connect_read_pipe(lambda: process._stderr, os.fdopen(err_read, "rb", 0))
        process._transports = [stdin, stdout, stderr]
        return process, (in_read, out_write, err_write)

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
        text = self._stderr.kept.decode("utf-8", "replace")
        for secret in self._secrets:
            text = text.replace(secret, "[hidden]")
        return text[-STDERR_TAIL:]

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
                await self._ends_within(_LAST_WAIT)
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


class _Tail(asyncio.Protocol):
    """Drains a standard error, always, and keeps its end."""

    def __init__(self) -> None:
        self.kept = bytearray()

    def data_received(self, data: bytes) -> None:
        self.kept += data
        if len(self.kept) > 4 * STDERR_TAIL:  # more than is shown, so that a secret is not cut where the tail begins
            del self.kept[: -2 * STDERR_TAIL]


def secrets_of(env: Mapping[str, str]) -> tuple[str, ...]:
    """The values of variables whose names say that they are secret, the longest first."""
    values = {v for name, v in env.items() if _SECRET_NAME.search(name) and len(v) >= _SHORTEST_SECRET}
    return tuple(sorted(values, key=len, reverse=True))


def _enlarge(end: int) -> None:
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(end, _F_SETPIPE_SZ, _PIPE_SIZE)


def _send(link: socket.socket, message: dict[str, Any], ends: Sequence[int] = ()) -> None:
    """Writes one frame, whole: a task cancelled in the middle of one would garble all that follow.

    It fits into the socket's buffer, which the keeper empties at once; only with a huge environment is there a wait.
    """
    body = json.dumps(message).encode()
    left = memoryview(_HEAD.pack(len(body)) + body)
    while left:
        try:
            sent = socket.send_fds(link, [left], ends) if ends else link.send(left)
            left, ends = left[sent:], ()
        except BlockingIOError:
            if not select.select([], [link], [], _LAST_WAIT)[1]:
                raise TimeoutError(errno.ETIMEDOUT, "the keeper process does not answer", "keeper") from None


def _cannot_start(program: str, cwd: Path, name: str, error: OSError) -> AgentFailed | AgentNotInstalled:
    if error.filename == "cwd":
        return AgentFailed(f"{name} cannot be started in {cwd}: {error.strerror}. Check that the directory is there.")
    if error.filename == "program" and error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
        return AgentNotInstalled(
            f"{name} cannot be started, as there is no program {program!r} that can be run ({error.strerror}): "
            "install it, or set its path in the setting `agents`."
        )
    return AgentFailed(f"{name} cannot be started: {error.strerror or error}. Prompt again to try once more.")
