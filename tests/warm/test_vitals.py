"""What processes of ours take, with all that they have started, and whether they stand still."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
from pathlib import Path

import psutil
import pytest

from coder_nb.ids import new_id
from coder_nb.warm import vitals
from coder_nb.warm.process import Keeper

pytestmark = pytest.mark.anyio
SIZE = 64 << 20
CHILD = f"kept = b'x' * {SIZE}; print('up', flush=True); __import__('time').sleep(600)"


@pytest.mark.skipif(sys.platform != "linux", reason="daemons are found by their holder, which is Linux's")
@pytest.mark.parametrize("how", ["child", "daemon"])
async def test_the_memory_of_a_process_is_that_of_all_it_has_started_daemons_included(tmp_path: Path, how: str) -> None:
    keeper = Keeper(new_id())
    try:
        script = '"$0" -c "$1" & wait' if how == "child" else '(setsid "$0" -c "$1" &); sleep 600'
        argv = ["/bin/sh", "-c", script, sys.executable, CHILD]
        shell = await keeper.spawn(argv, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, name="shell")
        assert (await shell.read()).startswith(b"up")
        seen = vitals.look([shell.pid, 1 << 30])
        assert seen.keys() == {shell.pid}
        assert SIZE < seen[shell.pid].memory < 4 * SIZE
        assert not seen[shell.pid].stopped
        os.kill(shell.pid, signal.SIGSTOP)
        async with asyncio.timeout(60):
            while not vitals.look([shell.pid])[shell.pid].stopped:
                await asyncio.to_thread(signal.sigtimedwait, [], 0.01)
    finally:
        await keeper.close(1.0)


def test_where_nobody_is_looked_for_nothing_is_looked_at() -> None:
    assert vitals.look([]) == {}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is GNU's C library that keeps what was freed")
def test_memory_that_was_freed_between_what_is_still_used_is_given_back() -> None:
    kept = [bytes(4096) for _ in range(SIZE // 4096)]
    del kept[1::2], kept[1::2], kept[1::2], kept[1::2]
    process = psutil.Process()
    before = process.memory_info().rss
    vitals.give_back()
    assert before - process.memory_info().rss > SIZE // 2
