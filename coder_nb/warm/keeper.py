"""The keeper: a small process that starts every agent, and ends all that descends from them when we are gone.

This file is a program, ``python -I -S keeper.py FD PARENT REGISTER``, and imports the standard library only. FD is a
Unix socket to its parent, over which lie frames: a length of four bytes, then JSON.

* parent → keeper: ``{"op": "spawn", "id", "argv", "env", "cwd"}`` with the three ends of the child's stdio beside it
  (SCM_RIGHTS), ``{"op": "term", "id"}``, ``{"op": "kill", "id"}``.
* keeper → parent: ``{"op": "started", "id", "pid", "born"}`` or ``{"op": "failed", "id", "errno", "at"}``;
  ``{"op": "exited", "id", "returncode"}`` once the process and all its descendants are gone;
  ``{"op": "broken", "text"}`` where the keeper itself has a fault.

On Linux each agent hangs on a *holder*, a fork of the keeper that does nothing but wait for its end. Keeper and holders
are child subreapers: whatever a descendant does (a session of its own, a daemon's double fork, an empty environment),
it comes back to its holder as an orphan, so that it is known whose it is, or to the keeper where the holder was killed.
A holder learns of the keeper's death by a signal, and ends what it holds; so no single death leaves anything behind.
Should all of them be killed at once, REGISTER says who they were: see `warm.register`. Elsewhere only the agents' own
groups can be ended. A parent-death signal alone would not do: it leaves grandchildren, and it follows the thread that
spawned.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
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

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LAST_SWEEP = 10.0
_SWEEP = 1.0
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


def kill_until_none(find: Callable[[], list[Seen]], between: Callable[[], object], seconds: float) -> bool:
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


# Holding one ---------------------------------------------------------------------------------------------------------


class Held(NamedTuple):
    """An agent's process, and the holder that it hangs on: the agent itself, where there are none."""

    holder: int
    pid: int
    born: int
    said: io.FileIO | None
    """On which the holder says how the agent ended."""

    def returncode(self, status: int) -> int:
        """Of the agent, by the status of its holder; -9 where the holder was killed."""
        if self.said is None:
            return os.waitstatus_to_exitcode(status)
        with self.said:
            said = self.said.readline()
        return int(said) if said.strip().lstrip(b"-").isdigit() else -signal.SIGKILL


def hold(argv: list[str], env: dict[str, str], cwd: str, stdio: list[int]) -> Held:
    """Starts a program on a holder; raises `OSError` as `start` does."""
    if not _LINUX:
        pid = start(argv, env, cwd, stdio)
        return Held(pid, pid, 0, None)
    keeper = os.getpid()
    read, write = os.pipe()
    holder = os.fork()
    if holder == 0:
        try:
            _hold(argv, env, cwd, stdio, keeper, write)
        finally:
            os._exit(0)
    os.close(write)
    said = io.FileIO(read)
    first = json.loads(said.readline() or f'{{"errno": {errno.ECHILD}, "at": "holder"}}')
    if "errno" in first:
        said.close()
        raise OSError(first["errno"], os.strerror(first["errno"]), first["at"])
    return Held(holder, first["pid"], first["born"], said)


def _hold(argv: list[str], env: dict[str, str], cwd: str, stdio: list[int], keeper: int, tell: int) -> None:
    """What a holder does: it starts the agent, and where either the agent or the keeper ends, ends all the rest."""
    awaited = {signal.SIGCHLD, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    signal.set_wakeup_fd(-1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _close_all_but({0, 1, 2, tell, *stdio})
    try:
        agent = start(argv, env, cwd, stdio)
    except OSError as error:
        _say(tell, {"errno": error.errno, "at": error.filename or "fork"})
        return
    for end in stdio:
        os.close(end)
    seen = look(agent)
    _say(tell, {"pid": agent, "born": seen.born if seen else 0})
    while (returncode := _reaped(agent)) is None and os.getppid() == keeper:
        signal.sigwait(awaited)
    kill_until_none(lambda: below([os.getpid()], all_processes()), lambda: _reaped(agent), _LAST_SWEEP)
    _say(tell, returncode)


def _say(tell: int, words: object) -> None:
    with contextlib.suppress(OSError):  # the keeper is gone
        os.write(tell, json.dumps(words).encode() + b"\n")


def _reaped(agent: int) -> int | None:
    """Takes the exits of all that has ended; how the agent did, where it is among them."""
    returncode = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == agent:
                returncode = os.waitstatus_to_exitcode(status)
    return returncode


def _close_all_but(kept: set[int]) -> None:
    for end in map(int, os.listdir("/proc/self/fd")):
        if end not in kept:
            with contextlib.suppress(OSError):
                os.close(end)


def signal_group(held: Held, number: int) -> None:
    """Sends a signal to an agent's group, unless the agent has ended and its number may be another's."""
    seen = look(held.pid)
    if held.said is None or (seen is not None and seen.born == held.born):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(held.pid, number)


# The register --------------------------------------------------------------------------------------------------------


def place() -> str:
    """What tells one boot of a machine from the next, and one container's process numbers from another's."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def note(register: str, **pids: list[int]) -> None:
    """Writes a register: who somebody is, not only which number he has, so that none that has it later is meant."""
    if not register:
        return
    known: dict[str, object] = {"host": socket.gethostname(), "place": place()}
    for name, some in pids.items():
        known[name] = [[seen.pid, seen.born] for pid in some if (seen := look(pid)) is not None]
    with contextlib.suppress(OSError):
        with open(f"{register}.new", "w", opener=lambda path, how: os.open(path, how, 0o600)) as file:
            json.dump(known, file)
        os.replace(f"{register}.new", register)


# The keeper ----------------------------------------------------------------------------------------------------------


class Keep:
    """The loop: requests in, exits out, until the parent is gone."""

    def __init__(self, link: socket.socket, parent: int, register: str) -> None:
        self._link = link
        self._parent = parent
        self._register = register
        self._held: dict[int, Held] = {}
        self._buffer = bytearray()
        self._ends: list[int] = []

    def run(self) -> None:
        """Serves until the socket ends or the parent has died, then ends everything that descends from here."""
        try:
            with selectors.DefaultSelector() as selector:
                wakeup, timeout = self._watch(selector)
                self._note()
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
        elif (held := self._held.get(number)) is None:
            return  # it has ended meanwhile
        elif request["op"] == "term":
            signal_group(held, signal.SIGTERM)
        else:
            self._sweep(number)

    def _spawn(self, number: int, request: dict[str, Any]) -> None:
        stdio, self._ends = self._ends[:3], self._ends[3:]
        try:
            held = hold(request["argv"], request["env"], request["cwd"], stdio)
        except OSError as error:
            self._tell(op="failed", id=number, errno=error.errno, at=error.filename or "fork")
            return
        finally:
            for end in stdio:
                os.close(end)
        self._held[number] = held
        self._note()
        self._tell(op="started", id=number, pid=held.pid, born=held.born)

    def _reap(self) -> None:
        """Takes every exit, orphans' too, so that there are no zombies; then tells of ours."""
        exits: list[tuple[int, int]] = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                number = next((n for n, held in self._held.items() if held.holder == pid), None)
                if number is not None:
                    self._sweep(number)
                    exits.append((number, self._held.pop(number).returncode(status)))
        for number, returncode in exits:
            self._tell(op="exited", id=number, returncode=returncode)
        if exits:
            self._note()

    def _sweep(self, number: int) -> None:
        """Kills an agent with its holder and all that it ever started: what is below here and of no other agent."""
        if not _LINUX:
            signal_group(self._held[number], signal.SIGKILL)
            return
        others = [held.holder for known, held in self._held.items() if known != number]

        def strays() -> list[Seen]:
            processes = all_processes()
            theirs = {*others, *(seen.pid for seen in below(others, processes))}
            return [seen for seen in below([os.getpid()], processes) if seen.pid not in theirs]

        kill_until_none(strays, lambda: None, _SWEEP)

    def _end_all(self) -> None:
        if not _LINUX:
            for held in self._held.values():
                signal_group(held, signal.SIGKILL)
        else:
            self._held.clear()
            kill_until_none(lambda: below([os.getpid()], all_processes()), self._reap, _LAST_SWEEP)
        with contextlib.suppress(OSError):
            os.unlink(self._register)

    def _note(self) -> None:
        """Writes down who is ours; where that cannot be done, the next start has the marker to go by."""
        holders, agents = [held.holder for held in self._held.values()], [held.pid for held in self._held.values()]
        note(self._register, owner=[self._parent], keepers=[os.getpid(), *holders], agents=agents)

    def _tell(self, **message: object) -> None:
        body = json.dumps(message).encode()
        self._link.sendall(_HEAD.pack(len(body)) + body)


def main(link: int, parent: int, register: str) -> None:
    """The program."""
    for number in _IGNORED:  # an interrupt is the kernel's affair, and a TERM to all of a service is our parent's
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.chdir("/")
    os.set_inheritable(link, False)  # else an agent would hold it open when the keeper is killed
    with socket.socket(fileno=link) as sock:
        Keep(sock, parent, register).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
