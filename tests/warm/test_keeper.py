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

from coder_nb.backends.processes import Child
from coder_nb.ids import new_id
from coder_nb.warm import keeper, register
from coder_nb.warm.process import KEEPER, Keeper
from coder_nb.warm.register import MARKER

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
from coder_nb.warm.process import Keeper
async def main():
    keeper = Keeper(sys.argv[1], Path(sys.argv[5]))
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
    marks = [f"{name}={runtime_id}".encode() for name in (MARKER, KEEPER)]
    return [s.pid for s in keeper.all_processes() if any(register.carries(s, mark) for mark in marks)]


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


@pytest.fixture
def registers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registers")


def a_host(runtime_id: str, folder: Path, registers: Path, how: str = "alone") -> subprocess.Popen[bytes]:
    words = [runtime_id, FAMILY, str(folder), how, str(registers)]
    return subprocess.Popen([sys.executable, "-c", HOST, *words])


def known(registers: Path, runtime_id: str) -> register.Register:
    """What the keeper has written down, once an agent is in it."""
    found: list[register.Register] = []

    def written() -> bool:
        found[:] = [noted for noted in [register.read(register.path(registers, runtime_id))] if noted]
        return bool(found and found[0].agents)

    until(written, 20, "the register is written")
    return found[0]


def known_runtimes(registers: Path) -> list[Path]:
    return list(registers.iterdir())


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_nothing_outlives_a_killed_host(tmp_path: Path, registers: Path, runtime_id: str, how: str) -> None:
    host = a_host(runtime_id, tmp_path, registers, how)
    pids = family(tmp_path)
    assert all(alive(pid) for pid in pids.values())
    host.kill()
    host.wait()
    until(lambda: not marked(runtime_id) and not any(map(alive, pids.values())), 2, "all are gone")
    assert not known_runtimes(registers)


def test_nothing_outlives_a_host_that_is_killed_together_with_its_keeper(
    tmp_path: Path, registers: Path, runtime_id: str
) -> None:
    host = a_host(runtime_id, tmp_path, registers)
    pids = family(tmp_path)
    (keeper_pid, _), _ = known(registers, runtime_id).keepers
    for pid in (host.pid, keeper_pid):
        os.kill(pid, signal.SIGSTOP)  # so that they die in the same moment, and neither can act for the other
    for pid in (host.pid, keeper_pid):
        os.kill(pid, signal.SIGKILL)
    host.wait()
    until(lambda: not marked(runtime_id) and not any(map(alive, pids.values())), 2, "all are gone")
    assert register.reap(registers) == []
    assert not known_runtimes(registers)


def test_the_next_start_ends_what_was_left_where_nobody_could(tmp_path: Path, registers: Path, runtime_id: str) -> None:
    """A host, its keeper and all holders are killed in one moment."""
    host = a_host(runtime_id, tmp_path, registers)
    pids = family(tmp_path)
    bystander = subprocess.Popen(["sleep", "600"], env={MARKER: new_id()})  # of a runtime that lives
    noted = known(registers, runtime_id)
    ours = [host.pid, *(pid for pid, _ in noted.keepers)]
    try:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in ours:
                os.kill(pid, number)
        host.wait()
        until(lambda: not alive(pids["agent"]), 5, "the agent went with its holder")
        assert alive(pids["plain"])
        ((reaped, count),) = register.reap(registers)
        assert (reaped, count >= 2) == (runtime_id, True)
        assert not any(alive(pids[name]) for name in ("agent", "plain", "session", "daemon"))
        assert bystander.poll() is None
        assert not known_runtimes(registers)
    finally:
        bystander.kill()
        bystander.wait()
        for name in ("nameless", "daemons_child"):  # without a parent, a group and an environment, they are nobody's
            if alive(pids[name]):
                os.kill(pids[name], signal.SIGKILL)


def test_the_next_start_has_a_keeper_that_was_paused_do_its_work(
    tmp_path: Path, registers: Path, runtime_id: str
) -> None:
    host = a_host(runtime_id, tmp_path, registers)
    pids = family(tmp_path)
    for pid, _ in known(registers, runtime_id).keepers:
        os.kill(pid, signal.SIGSTOP)
    host.kill()
    host.wait()
    assert alive(pids["daemons_child"])
    register.reap(registers)
    until(lambda: not marked(runtime_id) and not any(map(alive, pids.values())), 2, "all are gone")
    assert not known_runtimes(registers)


@pytest.mark.anyio
async def test_a_stubborn_family_is_gone_after_a_stop(tmp_path: Path, runtime_id: str) -> None:
    async with kept(runtime_id) as made:
        process = await start_family(made, tmp_path, "stubborn")
        pids = await asyncio.to_thread(family, tmp_path)
        await process.stop(0.5)
        assert process.returncode == -signal.SIGKILL
        # Also what left its group, its parent and its environment: it came back to its holder.
        assert not any(map(alive, pids.values()))


@pytest.mark.anyio
async def test_a_process_that_exits_by_itself_leaves_no_children(tmp_path: Path, runtime_id: str) -> None:
    async with kept(runtime_id) as made:
        process = await start_family(made, tmp_path, "exits")
        assert await asyncio.wait_for(process.wait(), 20) == 3
        pids = await asyncio.to_thread(family, tmp_path)
        assert not any(map(alive, pids.values()))
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
        pids = await asyncio.to_thread(family, tmp_path)
        old = made.pid
        assert old is not None
        os.kill(old, signal.SIGKILL)
        assert await asyncio.wait_for(process.wait(), 5) == -signal.SIGKILL
        assert marked(runtime_id) == []
        again = await made.spawn(["/bin/echo", "hi"], cwd=tmp_path, env={}, name="echo")
        assert await again.read() == b"hi\n"
        assert made.pid not in (None, old)
        await again.stop()
        await process.stop()
    await soon(lambda: not any(map(alive, pids.values())), 10, "what hid from the sweep came back to its holder")


@pytest.mark.anyio
async def test_when_a_holder_is_killed_the_keeper_ends_its_family_and_no_other(
    tmp_path: Path, registers: Path, runtime_id: str
) -> None:
    made = Keeper(runtime_id, registers)
    try:
        process = await start_family(made, tmp_path, "stubborn")
        pids = await asyncio.to_thread(family, tmp_path)
        holder = (await asyncio.to_thread(known, registers, runtime_id)).keepers[1][0]
        other = await made.spawn(["/bin/cat"], cwd=tmp_path, env={}, name="cat")
        os.kill(holder, signal.SIGKILL)
        assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
        assert not any(map(alive, pids.values()))
        await other.write(b"still here")
        assert await other.read() == b"still here"
    finally:
        await made.close(1.0)
    assert not known_runtimes(registers)


@pytest.mark.anyio
async def test_a_holder_that_is_paused_holds_up_no_stop(tmp_path: Path, registers: Path, runtime_id: str) -> None:
    made = Keeper(runtime_id, registers)
    try:
        process = await start_family(made, tmp_path, "stubborn")
        pids = await asyncio.to_thread(family, tmp_path)
        os.kill((await asyncio.to_thread(known, registers, runtime_id)).keepers[1][0], signal.SIGSTOP)
        await process.stop(0.2)
        assert process.returncode == -signal.SIGKILL
        assert not any(map(alive, pids.values()))
    finally:
        await made.close(1.0)


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
