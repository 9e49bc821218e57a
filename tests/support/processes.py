"""The processes that a runtime has started, found by the marker that they and their keepers carry."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil

from coder_nb.warm.process import KEEPER
from coder_nb.warm.register import MARKER


def carrying(marker: str, program: str = "") -> list[int]:
    """The processes whose environment holds a marker, and whose command names a program."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environ = (folder / "environ").read_bytes()
                marked = any(f"{name}={marker}".encode() in environ for name in (MARKER, KEEPER))
                if marked and program.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


async def gone(marker: str, *, within: float, program: str = "") -> bool:
    """Whether, within a time, no process carries the marker, or none that runs the program."""
    deadline = asyncio.get_running_loop().time() + within
    while carrying(marker, program):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def ends(pid: int) -> bool:
    """Whether a process is gone, and its parent knows; one that was just killed may take a moment on a busy machine."""
    deadline = asyncio.get_running_loop().time() + 10
    while psutil.pid_exists(pid):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True
