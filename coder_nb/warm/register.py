"""What we have started and have not ended: written down by each keeper, read by the next start.

A register is a file, named by the runtime whose processes it tells of. Who is in it is known by number and start time,
on this boot of this machine; his descendants by their parents, and those who left them by the runtime's mark in
their environment. Nobody is ended for his name, his program or his port.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from coder_nb.warm import keeper
from coder_nb.warm.keeper import Seen

MARKER = "CODER_NB_RUNTIME"
"""The variable that every process of ours carries, with the runtime's id."""
_OWN_END = 2.0
"""Seconds that keepers have to end what they hold, which they know better than anybody."""
_SWEEP = 2.0
_EXEC = 0.25
"""Seconds that becoming another program may take, for which a process has no environment."""
_SUFFIX = ".json"

Identity = tuple[int, int]
"""A process: its number, and when it started."""


class Register(msgspec.Struct, frozen=True):
    """What a keeper wrote down."""

    host: str
    place: str
    """The boot of that machine, and the space in which numbers of processes mean something."""
    owner: list[Identity]
    """The process that the keeper works for."""
    keepers: list[Identity]
    """The keeper, and the holders of its agents."""
    agents: list[Identity]


class Ended(NamedTuple):
    """What `reap` did: how many processes of which runtime it killed."""

    runtime_id: str
    processes: int


def path(folder: Path | None, runtime_id: str) -> Path | None:
    """Where a runtime's register is."""
    return folder.absolute() / f"{runtime_id}{_SUFFIX}" if folder is not None else None


def reap(folder: Path) -> list[Ended]:
    """Ends what runtimes that were killed together with their keepers have left here, and nothing else.

    Called at each start, before anything is done. Takes no time where nothing was left.
    """
    ended = []
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        register, mark = read(file), file.name.removesuffix(_SUFFIX)
        todo = judge(register, host=socket.gethostname(), place=keeper.place())
        if todo == "leave":
            continue
        if todo == "end" and (count := end(mark, register)):
            ended.append(Ended(mark, count))
        with contextlib.suppress(OSError):
            file.unlink()
    return ended


def judge(register: Register | None, *, host: str, place: str) -> Literal["leave", "forget", "end"]:
    """What to do about a register: its processes are ended where whoever had them started has certainly died."""
    if register is None:
        return "forget"
    if (register.host, register.place) != (host, place):
        return "forget" if register.host == host else "leave"  # another boot of this machine, or another machine
    return "leave" if any(map(alive, register.owner)) else "end"


def read(file: Path | None) -> Register | None:
    """What is written there, where it can be understood."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Register) if file is not None else None
    except (OSError, msgspec.DecodeError):
        return None


def end(mark: str, register: Register | None) -> int:
    """Has keepers end what they hold, kills what is left, and returns how many were killed from here."""
    if sys.platform != "linux":
        return 0
    keepers = register.keepers if register else []
    deadline = time.monotonic() + _OWN_END
    for known in filter(alive, keepers):
        with contextlib.suppress(OSError):
            os.kill(known[0], signal.SIGCONT)
    while any(map(alive, keepers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    killed: set[Identity] = set()

    def left() -> list[Seen]:
        found = _of(mark, [*keepers, *(register.agents if register else [])])
        killed.update((seen.pid, seen.born) for seen in found if not seen.dead)
        return found

    keeper.kill_until_none(left, lambda: None, _SWEEP)
    return len(killed)


def _of(mark: str, known: list[Identity]) -> list[Seen]:
    """Those who are known, those who carry the mark, and the descendants of both."""
    processes = keeper.all_processes()
    marker, identities = f"{MARKER}={mark}".encode(), set(known)
    named = [seen for seen in processes if (seen.pid, seen.born) in identities or carries(seen, marker)]
    return list({*named, *keeper.below([seen.pid for seen in named], processes)})


def alive(known: Identity) -> bool:
    """Whether this very process lives."""
    seen = keeper.look(known[0])
    return seen is not None and seen.born == known[1] and not seen.dead


def carries(seen: Seen, marker: bytes) -> bool:
    """Whether a process was started with a variable: ``NAME=value``.

    In the moment in which a process becomes another program it has neither variables nor arguments, so it is looked at
    again. What is no program, as the threads of the kernel, is in no session, and never has any.
    """
    deadline = time.monotonic() + _EXEC
    while not seen.dead and seen.session:
        try:
            variables, arguments = (Path(f"/proc/{seen.pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
        except OSError:
            return False
        if variables or arguments or time.monotonic() >= deadline:
            return marker in variables.split(b"\0")
        time.sleep(0.001)
        seen = keeper.look(seen.pid) or seen._replace(dead=True)
    return False
