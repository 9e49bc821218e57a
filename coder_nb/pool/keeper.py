"""The keeper: a small process that starts every agent, and ends all that descends from them when we are gone.

This file is a program, ``python -I -S keeper.py FD PARENT``, and imports the standard library only. FD is a Unix socket
to its parent, over which lie frames: a length of four bytes, then JSON.

* parent → keeper: ``{"op": "spawn", "id", "argv", "env", "cwd"}`` with the three ends of the child's stdio beside it
  (SCM_RIGHTS), ``{"op": "term", "id"}``, ``{"op": "kill", "id"}``.
* keeper → parent: ``{"op": "started", "id", "pid", "born"}`` or ``{"op": "failed", "id", "errno", "at"}``;
  ``{"op": "exited", "id", "returncode"}`` once the process and all its descendants are gone;
  ``{"op": "broken", "text"}`` where the keeper itself has a fault.

On Linux it is a child subreaper: whatever a descendant does (a session of its own, a daemon's double fork), it comes
back to the keeper as an orphan and is found by walking /proc. Elsewhere only the agents' own groups can be ended.
A parent-death signal alone would not do: it leaves grandchildren, and it follows the thread that spawned.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

CHILD = "CODER_NB_CHILD"
"""The variable that tells the agents of one keeper apart, in their descendants too."""

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LAST_SWEEP = 10.0
_EXEC = 0.25
_PARENT_POLL = 0.5
_HEAD = struct.Struct("!I")
_IGNORED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE") if hasattr(signal, name)]


# Looking at processes ------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """A process as /proc shows it; pid and `born` together are never used again."""

    pid: int
    parent: int
    session: int
    born: int
    dead: bool


def look(pid: int) -> Seen | None:
    """The process with a pid, or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return Seen(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in (b"Z", b"X"))
    except (OSError, IndexError, ValueError):
        return None


def all_processes() -> list[Seen]:
    """Every process that can be seen."""
    return [seen for name in os.listdir("/proc") if name.isdigit() and (seen := look(int(name)))]


def below(roots: Iterable[int], processes: Iterable[Seen]) -> list[Seen]:
    """The descendants of some pids, without these."""
    children: dict[int, list[Seen]] = {}
    for seen in processes:
        children.setdefault(seen.parent, []).append(seen)
    found: list[Seen] = []
    pending = list(roots)
    while pending:
        born = children.pop(pending.pop(), [])
        found += born
        pending += [seen.pid for seen in born]
    return found


def carries(pid: int, marker: bytes, patience: float = 0.0) -> bool:
    """Whether a process was started with a variable: ``NAME=value``.

    In the moment in which a process becomes another program it has no variables at all: it is looked at again for so
    many seconds. What is no program, such as a thread of the kernel, never has any.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read()
        except OSError:
            return False
        if variables or time.monotonic() >= deadline:
            return marker in variables.split(b"\0")
        time.sleep(0.001)


def kill(seen: Seen) -> None:
    """Kills this very process, and none that has its number by now."""
    if not hasattr(os, "pidfd_open"):
        if look(seen.pid) == seen:
            with contextlib.suppress(OSError):
                os.kill(seen.pid, signal.SIGKILL)
        return
    try:
        handle = os.pidfd_open(seen.pid)
    except OSError:
        return
    try:
        now = look(seen.pid)
        if now is not None and now.born == seen.born:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def kill_until_none(find: Callable[[], list[Seen]], between: Callable[[], None], seconds: float) -> bool:
    """Kills what `find` finds until it finds nothing alive; False where that took too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        between()
        alive = [seen for seen in find() if not seen.dead]
        if not alive:
            return True
        for seen in alive:
            kill(seen)
        time.sleep(0.002)
    return False


# Starting one --------------------------------------------------------------------------------------------------------


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(argv: list[str], env: dict[str, str], cwd: str, stdio: list[int]) -> int:
    """Forks and executes a program in a session of its own; raises `OSError`, its `filename` saying at what.

    This process has one thread, so that it may run Python between fork and exec.
    """
    keeper = os.getpid()
    report, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _become(argv, env, cwd, stdio, keeper)
        except _At as at:
            os.write(tell, json.dumps([at.errno, at.place]).encode())
        finally:
            os._exit(127)
    os.close(tell)
    with open(report, "rb") as pipe:
        said = pipe.read()
    if said:
        os.waitpid(pid, 0)
        number, place = json.loads(said)
        raise OSError(number, os.strerror(number), place)
    return pid


class _At(Exception):
    """Where becoming the agent failed: at its directory, or at its program."""

    def __init__(self, place: str, number: int | None) -> None:
        self.place, self.errno = place, number or errno.EINVAL


def _become(argv: list[str], env: dict[str, str], cwd: str, stdio: list[int], keeper: int) -> None:
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(127)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (*_IGNORED, signal.SIGCHLD, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for target, end in enumerate(stdio):  # the ends are above 2: this program has its own stdio open
        os.dup2(end, target)
    try:
        os.chdir(cwd)
    except OSError as error:
        raise _At("cwd", error.errno) from error
    try:
        os.execvpe(argv[0], argv, env)
    except (OSError, ValueError) as error:
        raise _At("program", getattr(error, "errno", None)) from error


# The keeper ----------------------------------------------------------------------------------------------------------


class Keep:
    """The loop: requests in, exits out, until the parent is gone."""

    def __init__(self, link: socket.socket, parent: int) -> None:
        self._link = link
        self._parent = parent
        self._pids: dict[int, int] = {}
        self._buffer = bytearray()
        self._ends: list[int] = []

    def run(self) -> None:
        """Serves until the socket ends or the parent has died, then ends everything that descends from here."""
        try:
            with selectors.DefaultSelector() as selector:
                wakeup, timeout = self._watch(selector)
                while os.getppid() == self._parent:
                    ready = {key.fileobj for key, _ in selector.select(timeout)}
                    if wakeup in ready:
                        with contextlib.suppress(BlockingIOError):
                            os.read(wakeup, 4096)
                    self._reap()
                    if self._link in ready and not self._receive():
                        return
        except OSError:
            pass  # the parent went away while it was being told something
        except Exception:
            self._tell(op="broken", text=traceback.format_exc())
            raise
        finally:
            self._end_all()

    def _watch(self, selector: selectors.BaseSelector) -> tuple[int, float | None]:
        """Wakes on requests, on a child's end, and on the parent's: a fork of the parent may hold the socket open."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        selector.register(read, selectors.EVENT_READ)
        selector.register(self._link, selectors.EVENT_READ)
        try:
            selector.register(os.pidfd_open(self._parent), selectors.EVENT_READ)
        except (AttributeError, OSError):
            return read, _PARENT_POLL
        return read, None

    def _receive(self) -> bool:
        data, ends, _, _ = socket.recv_fds(self._link, 1 << 16, 16)
        if not data:
            return False
        self._buffer += data
        self._ends += ends
        for end in ends:  # else one agent would hold another's pipes open
            os.set_inheritable(end, False)
        while len(self._buffer) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer)
            if len(self._buffer) < _HEAD.size + length:
                break
            request = json.loads(self._buffer[_HEAD.size : _HEAD.size + length])
            del self._buffer[: _HEAD.size + length]
            self._serve(request)
        return True

    def _serve(self, request: dict[str, Any]) -> None:
        number = request["id"]
        if request["op"] == "spawn":
            self._spawn(number, request)
        elif number in self._pids and request["op"] == "term":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pids[number], signal.SIGTERM)
        elif number in self._pids:
            self._end_family(number, self._pids[number])

    def _spawn(self, number: int, request: dict[str, Any]) -> None:
        stdio, self._ends = self._ends[:3], self._ends[3:]
        try:
            pid = start(request["argv"], request["env"] | {CHILD: str(number)}, request["cwd"], stdio)
        except OSError as error:
            self._tell(op="failed", id=number, errno=error.errno, at=error.filename or "fork")
            return
        finally:
            for end in stdio:
                os.close(end)
        self._pids[number] = pid
        seen = look(pid)
        self._tell(op="started", id=number, pid=pid, born=seen.born if seen else 0)

    def _reap(self) -> None:
        """Takes every exit, orphans' too, so that there are no zombies; then tells of ours."""
        exits: list[tuple[int, int]] = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                number = next((n for n, known in self._pids.items() if known == pid), None)
                if number is not None:
                    self._end_family(number, self._pids.pop(number))
                    exits.append((number, os.waitstatus_to_exitcode(status)))
        for number, returncode in exits:
            self._tell(op="exited", id=number, returncode=returncode)

    def _end_family(self, number: int, root: int) -> None:
        """Kills a process and whatever it started, also where that left its group or its parent has died."""
        if not _LINUX:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(root, signal.SIGKILL)
            return
        marker = f"{CHILD}={number}".encode()
        found: set[tuple[int, int]] = set()  # a process loses its environment before it is gone

        def family() -> list[Seen]:
            ours = below([os.getpid()], all_processes())
            named = [
                s
                for s in ours
                if (s.pid, s.born) in found
                or s.pid == root
                or s.session == root
                or (not s.dead and carries(s.pid, marker, _EXEC))
            ]
            members = {*named, *below([s.pid for s in named], ours)}
            found.update((s.pid, s.born) for s in members)
            return list(members)

        kill_until_none(family, lambda: None, 1.0)

    def _end_all(self) -> None:
        if not _LINUX:
            for number, pid in self._pids.items():
                self._end_family(number, pid)
            return
        self._pids.clear()
        kill_until_none(lambda: below([os.getpid()], all_processes()), self._reap, _LAST_SWEEP)

    def _tell(self, **message: object) -> None:
        body = json.dumps(message).encode()
        self._link.sendall(_HEAD.pack(len(body)) + body)


def main(link: int, parent: int) -> None:
    """The program."""
    for number in _IGNORED:  # an interrupt is the kernel's affair, and a TERM to all of a service is our parent's
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.chdir("/")
    os.set_inheritable(link, False)  # else an agent would hold it open when the keeper is killed
    with socket.socket(fileno=link) as sock:
        Keep(sock, parent).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
