"""Starts processes that cannot outlive us (law 11), through the keeper process of `warm.keeper`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import logging
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from coder_nb.backends.processes import Child
from coder_nb.errors import AgentFailed
from coder_nb.warm import keeper, register
from coder_nb.warm.child import LAST_WAIT, Process, cannot_start, secrets_of
from coder_nb.warm.groups import OwnGroups
from coder_nb.warm.register import MARKER

_log = logging.getLogger(__name__)

KEEPER = "CODER_NB_KEEPER"
"""The variable of keepers, with the runtime's id. What carries our marker is killed where a keeper is lost; what they
hold they end by themselves, and better."""

_HEAD = struct.Struct("!I")
_KEEPER_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")


class Keeper:
    """Starts processes through a keeper process of its own, which is started at the first spawn.

    One for each runtime id; bound to the loop that it is first used on. When this process ends in any way, the keeper
    ends all that it has started; should the keeper be killed, what it had started is ended from here, and the next
    spawn starts another one.
    """

    def __init__(self, runtime_id: str, registers: Path | None = None) -> None:
        """In the folder `registers` it is written down what was started, for the next start: see `warm.register`."""
        self._runtime_id = runtime_id
        self._register = register.path(registers, runtime_id)
        self._numbers = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._link: socket.socket | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._closed = False
        self._groups = OwnGroups() if os.name == "nt" else None

    @property
    def pid(self) -> int | None:
        """The keeper process, where there is one now."""
        return self._program.pid if self._program else None

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Child:
        """Starts a process in a session of its own, its whole environment being `env` and our marker.

        Raises `AgentNotInstalled` where there is no such program, `AgentFailed` where it cannot be started otherwise.
        """
        if self._listener is not None and self._link is None:
            await asyncio.wait({self._listener})  # a keeper was lost, and what it left behind is being ended
        if self._closed:
            raise AgentFailed("This runtime is closed: open another one to start agents.")
        if self._groups is not None:
            return await self._groups.spawn(argv, cwd=cwd, env={**env, MARKER: self._runtime_id}, name=name)
        try:
            link = self._link or self._start_keeper()
            process, ends = await Process.piped(self, next(self._numbers), name, secrets_of(env))
        except OSError as error:  # no descriptors or no memory left
            raise cannot_start(argv[0], cwd, name, error) from error
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
                raise cannot_start(argv[0], cwd, name, error) from error
            raise
        finally:
            for end in ends:
                os.close(end)
        return process

    def signal(self, process: Process, op: Literal["term", "kill"]) -> None:
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
        if self._groups is not None:
            await self._groups.close(grace)
        await asyncio.gather(*(process.stop(grace) for process in list(self._processes.values())))
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_WR)
        if self._listener is not None:
            await asyncio.wait({self._listener}, timeout=LAST_WAIT)
            if not self._listener.done() and self._program is not None:
                self._program.kill()
                await asyncio.wait({self._listener}, timeout=LAST_WAIT)

    # The keeper process ----------------------------------------------------------------------------------------------

    def _start_keeper(self) -> socket.socket:
        if self._register is not None:
            with contextlib.suppress(OSError):
                self._register.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, contextlib.ExitStack() as given_up:
            given_up.enter_context(ours)
            words = str(theirs.fileno()), str(os.getpid()), str(self._register or "")
            self._program = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, *words],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt of the kernel's group must not reach it
                cwd="/",
                env={name: os.environ[name] for name in _KEEPER_VARIABLES if name in os.environ}
                | {KEEPER: self._runtime_id},
            )
            given_up.pop_all()
        self._link = ours
        self._listener = asyncio.create_task(self._listen(ours, self._program), name=f"keeper {self._program.pid}")
        return ours

    async def _listen(self, link: socket.socket, program: subprocess.Popen[bytes]) -> None:
        """Takes what the keeper reports until it is gone, then cleans up after it; both whatever fails.

        A keeper that cannot be understood any more sees its link closed, and ends what it has started.
        """
        try:
            await self._hear(link)
        except Exception:  # else whoever waits for a process would wait for ever
            _log.exception("the keeper process was given up, as what it reports was not understood")
        self._link = None
        try:
            await asyncio.to_thread(self._bury, program)
        except Exception:
            _log.exception("what the keeper process has left could not be ended")
        self._program = None
        for process in self._processes.values():
            process.lost()

    async def _hear(self, link: socket.socket) -> None:
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
        """Reaps the keeper, and ends what it has left: after an orderly end, nothing."""
        try:
            program.wait(LAST_WAIT)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
        register.end(self._runtime_id, register.read(self._register))
        if self._register is not None:
            self._register.unlink(missing_ok=True)


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
            if not select.select([], [link], [], LAST_WAIT)[1]:
                raise TimeoutError(errno.ETIMEDOUT, "the keeper process does not answer", "keeper") from None
