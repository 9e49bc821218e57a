"""What a look at the system's processes tells of ours: their memory, and whether they stand still."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

import psutil


class Vitals(NamedTuple):
    """A process with all that it has started."""

    memory: int
    """Resident bytes; what several share counts for each."""
    stopped: bool
    """Whether the process itself was stopped by a signal: it does nothing, and is not to be asked."""


def look(pids: Iterable[int]) -> dict[int, Vitals]:
    """The vitals of those that are there, by one pass over all processes; takes some milliseconds."""
    wanted = set(pids)
    if not wanted:
        return {}
    seen = {process.pid: process for process in psutil.process_iter(["ppid"])}
    children: dict[int, list[int]] = {}
    for process in seen.values():
        children.setdefault(process.info["ppid"], []).append(process.pid)
    found = {}
    for pid in wanted & seen.keys():
        try:
            stopped = seen[pid].status() == psutil.STATUS_STOPPED
        except psutil.Error:
            continue
        found[pid] = Vitals(sum(_memory(seen[each]) for each in _family(seen[pid], children)), stopped)
    return found


def give_back() -> None:
    """Gives memory back to the system that this process has freed; GNU's C library keeps most of it, for ever."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def _family(process: psutil.Process, children: dict[int, list[int]]) -> set[int]:
    """A process and all that it has started: whatever hangs on its holder, as `warm.keeper` says, daemons included."""
    holder = process.info["ppid"]
    held = sys.platform == "linux" and holder not in (0, 1, os.getpid())
    family, todo = set[int](), [*children[holder]] if held else [process.pid]
    while todo:
        one = todo.pop()
        if one not in family:  # a pid may be used again while it is looked
            family.add(one)
            todo += children.get(one, [])
    return family


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
