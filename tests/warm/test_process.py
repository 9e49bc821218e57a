"""One process with its pipes."""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coder_nb.errors import AgentDied, AgentFailed, AgentNotInstalled
from coder_nb.ids import new_id
from coder_nb.warm import register
from coder_nb.warm.child import STDERR_TAIL, secrets_of
from coder_nb.warm.process import Keeper

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")]
ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    made = Keeper(new_id())
    yield made
    await made.close(1.0)


async def all_of(process: object) -> bytes:
    got = b""
    while data := await asyncio.wait_for(process.read(), 20):  # type: ignore[attr-defined]
        got += data
    return got


async def test_what_goes_in_comes_out_whatever_its_size(keeper: Keeper, tmp_path: Path) -> None:
    process = await keeper.spawn(["/bin/cat"], cwd=tmp_path, env={}, name="cat")
    data = os.urandom(5_000_000)  # no line end needed, no limit met
    writing = asyncio.create_task(process.write(data))
    got = b""
    while len(got) < len(data):
        got += await asyncio.wait_for(process.read(), 20)
    await writing
    assert got == data
    await process.stop()
    assert process.returncode == 0


async def test_it_has_the_directory_and_exactly_the_environment_it_was_given(keeper: Keeper, tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), sorted(os.environ.items()))"
    env = {"A": "ä", "B": "\udcff"}
    process = await keeper.spawn([sys.executable, "-I", "-X", "utf8", "-c", code], cwd=tmp_path, env=env, name="py")
    cwd, _, said = (await all_of(process)).decode().partition(" ")
    found = dict(eval(said))
    found.pop("LC_CTYPE", None)  # Python's own coercion
    assert cwd == str(tmp_path)
    assert set(found) == {"A", "B", "CODER_NB_RUNTIME"}
    assert (found["A"], found["B"]) == ("ä", "\udcff")
    await process.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_it_inherits_no_open_file_but_its_own_three(keeper: Keeper, tmp_path: Path) -> None:
    first = await keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat")
    second = await keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat")
    await second.write(b"up")
    assert await second.read() == b"up"  # it is past its exec
    assert sorted(os.listdir(f"/proc/{second.pid}/fd")) == ["0", "1", "2"]
    await first.stop()
    await second.stop()


async def test_a_program_that_is_not_there_is_said_to_be_not_installed(keeper: Keeper, tmp_path: Path) -> None:
    with pytest.raises(AgentNotInstalled, match=r"no program 'no-such-program'.*install it"):
        await keeper.spawn(["no-such-program"], cwd=tmp_path, env=ENV, name="mine")
    (tmp_path / "not-executable").write_text("")
    with pytest.raises(AgentNotInstalled):
        await keeper.spawn([str(tmp_path / "not-executable")], cwd=tmp_path, env=ENV, name="mine")


async def test_a_directory_that_is_gone_is_named(keeper: Keeper, tmp_path: Path) -> None:
    with pytest.raises(AgentFailed, match="gone"):
        await keeper.spawn(["/bin/cat"], cwd=tmp_path / "gone", env=ENV, name="cat")


async def test_a_keeper_that_cannot_be_started_leaves_nothing_open(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", str(tmp_path / "gone"))
        with pytest.raises(AgentFailed, match="Prompt again"):
            await keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat")
    gc.collect()  # a socket that is left open is an error of the test
    process = await keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat")
    await process.stop()


@pytest.mark.parametrize("buried", [True, False])
async def test_a_keeper_that_is_not_understood_is_given_up_and_the_next_start_has_another(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buried: bool
) -> None:
    first = await keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat")

    def fault(*_: object) -> None:
        raise KeyError("pid")

    with monkeypatch.context() as broken:
        broken.setattr(keeper, "_take", fault)
        if not buried:
            broken.setattr(register, "end", fault)
        async with asyncio.timeout(30):
            with pytest.raises(AgentFailed):
                await keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat")
            await first.wait()
    async with asyncio.timeout(30):
        again = await keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat")
        await again.write(b"up")
        assert await again.read() == b"up"
    await again.stop()


async def test_a_flood_of_stderr_blocks_nothing_and_its_end_is_kept(keeper: Keeper, tmp_path: Path) -> None:
    code = "import sys; [sys.stderr.write(f'line {i}\\n') for i in range(200_000)]; print('done')"
    process = await keeper.spawn([sys.executable, "-c", code], cwd=tmp_path, env=ENV, name="py")
    assert await all_of(process) == b"done\n"
    await process.wait()
    assert process.stderr_tail().endswith("line 199999\n")
    assert len(process.stderr_tail()) == STDERR_TAIL
    await process.stop()


async def test_secrets_that_were_passed_are_blanked_out_of_stderr(keeper: Keeper, tmp_path: Path) -> None:
    env = ENV | {"MY_API_KEY": "canary-1234567", "HUB_TOKEN": "canary-1234567-longer", "DB_PASSWORD": "x"}
    code = "import os, sys; print(os.environ['MY_API_KEY'], os.environ['HUB_TOKEN'], 'x', file=sys.stderr)"
    process = await keeper.spawn([sys.executable, "-c", code], cwd=tmp_path, env=env, name="py")
    await all_of(process)
    await process.wait()
    assert process.stderr_tail() == "[hidden] [hidden] x\n"
    assert secrets_of(env) == ("canary-1234567-longer", "canary-1234567")
    await process.stop()


async def test_what_has_the_shape_of_a_key_is_blanked_out_of_stderr_wherever_it_came_from(
    keeper: Keeper, tmp_path: Path
) -> None:
    code = "import sys; sys.exit('refused: sk-' + 'canary' * 5)"
    process = await keeper.spawn([sys.executable, "-c", code], cwd=tmp_path, env=ENV, name="py")
    await all_of(process)
    await process.wait()
    assert process.stderr_tail() == "refused: [hidden]\n"
    assert "canary" not in process.explain()
    await process.stop()


async def test_writing_to_a_process_that_ended_says_so(keeper: Keeper, tmp_path: Path) -> None:
    process = await keeper.spawn(["/bin/true"], cwd=tmp_path, env=ENV, name="mine")
    assert await process.wait() == 0
    with pytest.raises(AgentDied, match=r"mine has ended.*prompt again"):
        await process.write(b"x" * 3_000_000)
    await process.stop()
    await process.stop()


async def test_a_write_that_blocks_ends_when_the_process_is_stopped(keeper: Keeper, tmp_path: Path) -> None:
    process = await keeper.spawn(["/bin/sleep", "600"], cwd=tmp_path, env=ENV, name="deaf")
    writing = asyncio.create_task(process.write(b"x" * 10_000_000))
    await process.stop(0.2)
    with pytest.raises(AgentDied):
        await asyncio.wait_for(writing, 60)


async def test_a_spawn_that_is_cancelled_leaves_no_process(keeper: Keeper, tmp_path: Path) -> None:
    first = await keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat")
    spawning = asyncio.create_task(keeper.spawn(["/bin/sleep", "600"], cwd=tmp_path, env=ENV, name="sleep"))
    await asyncio.sleep(0)
    spawning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spawning
    await first.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_spawn_that_is_cancelled_at_any_step_leaves_no_pipe(keeper: Keeper, tmp_path: Path) -> None:
    await (await keeper.spawn(["/bin/true"], cwd=tmp_path, env=ENV, name="first")).stop()
    before, cancelled = len(os.listdir("/proc/self/fd")), []
    for steps in range(8):
        spawning = asyncio.create_task(keeper.spawn(["/bin/cat"], cwd=tmp_path, env=ENV, name="cat"))
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled.append(spawning.cancel())
        await asyncio.wait({spawning})
        if not spawning.cancelled():
            await spawning.result().stop()
        await asyncio.sleep(0)  # in which the loop lets go of what was given up
        gc.collect()  # nor is any left to the collector, whose warning would be an error
        assert len(os.listdir("/proc/self/fd")) == before, f"given up after {steps} steps"
    assert all(cancelled[:6])


async def test_where_no_descriptors_are_left_it_is_said_and_none_is_lost(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await keeper.spawn(["true"], cwd=tmp_path, env=dict(os.environ), name="first")).stop()
    before, pipe, made = len(os.listdir("/proc/self/fd")), os.pipe, itertools.count()

    def scarce() -> tuple[int, int]:
        if next(made) == 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pipe()

    monkeypatch.setattr("os.pipe", scarce)
    with pytest.raises(AgentFailed, match="Too many open files"):
        await keeper.spawn(["true"], cwd=tmp_path, env=dict(os.environ), name="second")
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_closed_keeper_starts_nothing_more(tmp_path: Path) -> None:
    made = Keeper(new_id())
    await made.close()
    with pytest.raises(AgentFailed, match="closed"):
        await made.spawn(["/bin/true"], cwd=tmp_path, env=ENV, name="mine")
