"""The keeper process: nothing that we started outlives us (law 11)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coder_nb.backends.base import Child
from coder_nb.ids import new_id
from coder_nb.pool import keeper
from coder_nb.pool.process import MARKER, Keeper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the keeper finds descendants by /proc")

FAMILY = """
import os, signal, subprocess, sys, time
out = sys.argv[1]
def say(name, pid): open(os.path.join(out, name + ".tmp"), "w").write(str(pid)); os.rename(
    os.path.join(out, name + ".tmp"), os.path.join(out, name))
sleeper = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
def child(name, **how):
    p = subprocess.Popen([sys.executable, "-I", "-S", "-c", sleeper], stdout=subprocess.PIPE, **how)
    p.stdout.readline()
    say(name, p.pid)
child("plain")
child("session", start_new_session=True)
child("nameless", start_new_session=True, env={})
if os.fork() == 0:          # a daemon: its parent is gone, its session its own, its environment empty
    os.setsid()
    if os.fork() == 0:
        child("daemons_child", env={})
        say("daemon", os.getpid())
        time.sleep(600)
    os._exit(0)
os.wait()
say("agent", os.getpid())
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
elif sys.argv[2] == "exits":
    while not os.path.exists(os.path.join(out, "daemon")): time.sleep(0.01)
    sys.exit(3)
else:
    sys.stdin.read()
"""
NAMES = {"plain", "session", "nameless", "daemon", "daemons_child", "agent"}

HOST = """
import asyncio, os, sys
from pathlib import Path
from coder_nb.pool.process import Keeper
async def main():
    keeper = Keeper(sys.argv[1])
    await keeper.spawn([sys.executable, "-c", sys.argv[2], sys.argv[3], "stubborn"],
                       cwd=Path(sys.argv[3]), env={"PATH": os.environ["PATH"]}, name="family")
    if sys.argv[4] == "fork" and os.fork() == 0:
        import time
        time.sleep(30)  # holds a copy of every open file of its parent
        os._exit(0)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def until(fact: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


async def soon(fact: Callable[[], bool], seconds: float, what: str) -> None:
    await asyncio.to_thread(until, fact, seconds, what)


def alive(pid: int) -> bool:
    seen = keeper.look(pid)
    return seen is not None and not seen.dead


def marked(runtime_id: str) -> list[int]:
    marker = f"{MARKER}={runtime_id}".encode()
    return [s.pid for s in keeper.all_processes() if not s.dead and keeper.carries(s.pid, marker)]


def family(folder: Path) -> dict[str, int]:
    until(lambda: {p.name for p in folder.iterdir()} >= NAMES, 20, "the family is there")
    return {name: int((folder / name).read_text()) for name in NAMES}


@pytest.fixture
def runtime_id() -> Iterator[str]:
    made = new_id()
    yield made
    assert marked(made) == []


@asynccontextmanager
async def kept(runtime_id: str) -> AsyncIterator[Keeper]:
    made = Keeper(runtime_id)
    try:
        yield made
    finally:
        await made.close(1.0)


async def start_family(made: Keeper, folder: Path, how: str) -> Child:
    argv = [sys.executable, "-c", FAMILY, str(folder), how]
    return await made.spawn(argv, cwd=folder, env={"PATH": os.environ["PATH"]}, name="family")


@pytest.mark.parametrize("holder", ["alone", "fork"])
def test_nothing_outlives_a_killed_host(tmp_path: Path, runtime_id: str, holder: str) -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST, runtime_id, FAMILY, str(tmp_path), holder])
    pids = family(tmp_path)
    assert all(alive(pid) for pid in pids.values())
    host.kill()
    host.wait()
    until(lambda: not marked(runtime_id) and not any(map(alive, pids.values())), 2, "all are gone")


@pytest.mark.anyio
async def test_a_stubborn_family_is_gone_after_a_stop(tmp_path: Path, runtime_id: str) -> None:
    async with kept(runtime_id) as made:
        process = await start_family(made, tmp_path, "stubborn")
        pids = await asyncio.to_thread(family, tmp_path)
        await process.stop(0.5)
        assert process.returncode == -signal.SIGKILL
        # What left its group, its parent and its environment is beyond telling whose it was, until the keeper ends.
        await soon(lambda: not any(alive(pids[n]) for n in ("plain", "session", "agent")), 1, "the family is gone")
        assert made.pid is not None
    await soon(lambda: not any(map(alive, pids.values())), 2, "the daemons are gone")


@pytest.mark.anyio
async def test_a_process_that_exits_by_itself_leaves_no_children(tmp_path: Path, runtime_id: str) -> None:
    async with kept(runtime_id) as made:
        process = await start_family(made, tmp_path, "exits")
        assert await asyncio.wait_for(process.wait(), 20) == 3
        pids = await asyncio.to_thread(family, tmp_path)
        assert not alive(pids["plain"])
        assert not alive(pids["agent"])
        await process.stop()


@pytest.mark.anyio
async def test_an_orderly_close_ends_all_within_its_bound(tmp_path: Path, runtime_id: str) -> None:
    made = Keeper(runtime_id)
    await start_family(made, tmp_path, "stubborn")
    pids = await asyncio.to_thread(family, tmp_path)
    before = time.monotonic()
    await made.close(1.0)
    assert time.monotonic() - before < 6
    assert marked(runtime_id) == []
    assert not any(map(alive, pids.values()))


@pytest.mark.anyio
async def test_when_the_keeper_is_killed_its_processes_end_and_the_next_spawn_works(
    tmp_path: Path, runtime_id: str
) -> None:
    async with kept(runtime_id) as made:
        process = await start_family(made, tmp_path, "stubborn")
        await asyncio.to_thread(family, tmp_path)
        old = made.pid
        assert old is not None
        os.kill(old, signal.SIGKILL)
        assert await asyncio.wait_for(process.wait(), 5) == -signal.SIGKILL
        assert marked(runtime_id) == []
        again = await made.spawn(["/bin/echo", "hi"], cwd=tmp_path, env={}, name="echo")
        assert await again.read() == b"hi\n"
        assert made.pid not in (None, old)
        await again.stop()
        for stray in ("nameless", "daemon", "daemons_child"):  # they hid from the sweep by their empty environment
            pid = int((tmp_path / stray).read_text())
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        await process.stop()


@pytest.mark.anyio
async def test_an_interrupt_of_our_group_reaches_neither_keeper_nor_agents(tmp_path: Path, runtime_id: str) -> None:
    async with kept(runtime_id) as made:
        process = await made.spawn(["/bin/cat"], cwd=tmp_path, env={}, name="cat")
        assert made.pid is not None
        assert os.getsid(process.pid) == process.pid
        assert os.getsid(made.pid) == made.pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(made.pid, number)
        await process.write(b"still here")
        assert await process.read() == b"still here"
        await process.stop()


@pytest.mark.anyio
async def test_there_are_no_zombies(tmp_path: Path, runtime_id: str) -> None:
    async with kept(runtime_id) as made:
        argv = ["/bin/sh", "-c", "(sleep 0.01 &) ; (sleep 0.02 &) ; exit 0"]
        processes = [
            await made.spawn(argv, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, name="sh") for _ in range(5)
        ]
        for process in processes:
            await asyncio.wait_for(process.wait(), 10)
        pid = made.pid
        assert pid is not None
        await soon(lambda: not keeper.below([pid], keeper.all_processes()), 5, "all were reaped")
        for process in processes:
            await process.stop()


def test_two_keepers_in_one_process_on_loops_of_two_threads_do_not_meet(tmp_path: Path) -> None:
    said: list[bytes] = []

    async def one() -> None:
        async with kept(new_id()) as made:
            process = await made.spawn(["/bin/cat"], cwd=tmp_path, env={}, name="cat")
            await process.write(b"x" * 300_000)
            got = b""
            while len(got) < 300_000:
                got += await asyncio.wait_for(process.read(), 10)
            said.append(got)
            await process.stop()

    threads = [threading.Thread(target=lambda: asyncio.run(one())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert said == [b"x" * 300_000] * 2
