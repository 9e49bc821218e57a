"""Whether a process that held a lease still lives."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from coder_nb.store.base import Owner
from coder_nb.store.owner import is_dead, started, this_process


def test_this_process_is_alive_and_named(here: Owner) -> None:
    assert here.pid == os.getpid()
    assert here.label == "this test"
    assert str(os.getpid()) in this_process("r").label
    assert not is_dead(here, this_process("another"))


def test_a_number_that_is_used_again_is_another_process(here: Owner) -> None:
    assert is_dead(msgspec.structs.replace(here, pid_started=here.pid_started - 1), here)


def test_elsewhere_or_in_another_boot_nobody_can_say(here: Owner) -> None:
    gone = msgspec.structs.replace(here, pid_started=0.0)
    assert not is_dead(msgspec.structs.replace(gone, host="another"), here)
    assert not is_dead(msgspec.structs.replace(gone, boot_id="another"), here)


def test_a_process_that_ended_is_dead_even_before_it_is_reaped(here: Owner) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        since = started(process.pid)
        assert since is not None
        owner = msgspec.structs.replace(here, pid=process.pid, pid_started=since)
        assert not is_dead(owner, here)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(owner, here)
    assert is_dead(owner, here)
