"""Who a process is, so that another one can tell whether it still lives; and whose it is."""

from __future__ import annotations

import getpass
import os
import socket
import time
from pathlib import Path

import psutil

from coder_nb.store.base import Owner

_TOLERANCE = 0.005
"""Seconds by which two readings of one start time may differ; a pid is not used again within them."""


def this_process(runtime_id: str, label: str = "") -> Owner:
    """The owner that stands for this very process."""
    pid = os.getpid()
    return Owner(
        runtime_id=runtime_id,
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid=pid,
        pid_started=started(pid) or 0.0,
        label=label or f"process {pid} on {socket.gethostname()}",
    )


def user() -> str:
    """The operating system's user whose process this is."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"user {os.getuid()}"


def boot_id() -> str:
    """What tells one boot of a machine from the next, and one container's process numbers from another's."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{psutil.boot_time():.0f}"


def started(pid: int) -> float | None:
    """When a process started, as this system tells it; None where there is no such process, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _started_by_psutil(pid)
    # The name, in parentheses, may hold anything; after it come the state and, 19 fields on, ticks since boot. Unlike
    # a time of day, those do not move when the clock is set.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _started_by_psutil(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def ticks() -> int:
    """Milliseconds by the clock that all processes of one boot share, and that neither a sleep of the machine nor a
    setting of its time moves."""
    return time.monotonic_ns() // 1_000_000


def same_boot(owner: Owner, here: Owner) -> bool:
    return (owner.host, owner.boot_id) == (here.host, here.boot_id)


def is_dead(owner: Owner, here: Owner) -> bool:
    """Whether an owner's process has certainly ended: only a process on the same host and boot can say so."""
    if not same_boot(owner, here):
        return False
    since = started(owner.pid)
    return since is None or abs(since - owner.pid_started) > _TOLERANCE
