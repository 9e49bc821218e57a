"""git is asked without surprises, and its failures are told in time."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from coder_nb.errors import GitError
from coder_nb.settings import Settings
from coder_nb.worktrees.git import git, run
from coder_nb.worktrees.worktrees import Worktrees

pytestmark = pytest.mark.anyio


def script(folder: Path, text: str) -> None:
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


async def test_a_missing_git_is_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GitError, match="not on the PATH: install git"):
        await Worktrees(tmp_path).locate(tmp_path)


async def test_programs_that_git_runs_for_a_repository_get_no_token_of_jupyters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "CODER_NB_CONNECTION_FILE"):
        monkeypatch.setenv(name, "the secret")
    await git(tmp_path, "init", "-q")
    await git(tmp_path, "config", "filter.spy.clean", "env")
    (tmp_path / ".gitattributes").write_text("* filter=spy\n")
    seen = await git(tmp_path, "hash-object", "-w", "--stdin", "--path=a", input=b"x")
    told = await git(tmp_path, "cat-file", "blob", seen.decode().strip())
    assert b"PATH=" in told
    assert b"the secret" not in told


async def test_a_repository_of_another_user_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin", "echo \"fatal: detected dubious ownership in repository at '/r'\" >&2; exit 128")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(GitError, match=r"git does not trust it.*safe\.directory"):
        await Worktrees(tmp_path).locate(tmp_path)


async def test_a_git_that_hangs_is_ended_in_time_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin", f"trap '' TERM\nsleep 600 &\necho $! > '{tmp_path}/child'\nwait\nwait")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    worktrees = Worktrees(tmp_path / "w", Settings(git_timeout=1.0))
    started = time.monotonic()
    with pytest.raises(GitError, match=r"did not end within 1 s"):
        await worktrees.locate(tmp_path)
    assert time.monotonic() - started < 10
    assert not alive(int((tmp_path / "child").read_text()))


async def test_a_child_that_goes_on_after_a_git_that_was_told_to_end_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "started")
    going_on = f"trap '' TERM\nsleep 600 &\ntrap 'exit 143' TERM\necho $! > '{tmp_path}/started'\nwait"
    child = await begun_and_cancelled(tmp_path, going_on, monkeypatch)
    assert not alive(child)


async def test_what_has_left_gits_group_and_holds_its_output_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "started")
    leaving = f"setsid sh -c 'echo $$ > {tmp_path}/started; exec sleep 600' &\nexec sleep 600"
    descriptors = len(os.listdir("/proc/self/fd"))
    child = await begun_and_cancelled(tmp_path, leaving, monkeypatch)
    os.kill(child, signal.SIGKILL)  # ours, of this test
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def begun_and_cancelled(tmp_path: Path, git_does: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Cancels a call of a git that has told a process's id; gives that."""
    monkeypatch.setattr("coder_nb.worktrees.git._GRACE", 0.5)
    script(tmp_path / "bin", git_does)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    task = asyncio.create_task(git(tmp_path, "status"))
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return pid


async def test_a_cancelled_call_leaves_no_git_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "started")
    started = f"echo $$ > '{tmp_path}/started'\nexec sleep 600"
    assert not alive(await begun_and_cancelled(tmp_path, started, monkeypatch))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_call_that_is_cancelled_while_git_starts_lets_it_take_its_locks_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "started")
    lock = tmp_path / "index.lock"
    locking = f"trap 'rm {lock}; exit 143' TERM\ntouch '{lock}'\necho $$ > '{tmp_path}/started'\nsleep 600 &\nwait"
    script(tmp_path / "bin", locking)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    known, start = asyncio.Event(), asyncio.create_subprocess_exec

    async def slowly(*words: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*words, **options)
        await known.wait()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    task = asyncio.create_task(git(tmp_path, "status"))
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    task.cancel()
    asyncio.get_running_loop().call_soon(known.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(pid)
    assert not lock.exists()


async def test_a_failure_says_which_command_where_and_why(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=rf"`git write-tree` failed in {tmp_path}: fatal: not a git repository"):
        await git(tmp_path, "write-tree")
    with pytest.raises(GitError, match="cannot be started in .*gone"):
        await git(tmp_path / "gone", "status")


async def test_many_gits_run_at_once_and_much_goes_in_and_out(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    big = os.urandom(3_000_000)
    blobs = await asyncio.gather(
        *(git(tmp_path, "hash-object", "-w", "--stdin", input=big + bytes([n])) for n in range(8))
    )
    assert len(set(blobs)) == 8
    assert await git(tmp_path, "cat-file", "blob", blobs[3].decode().strip()) == big + b"\x03"


async def test_an_exit_code_can_be_an_answer(tmp_path: Path) -> None:
    await git(tmp_path, "init", "-q")
    outcome = await run(tmp_path, "rev-parse", "--verify", "--quiet", "HEAD")
    assert (outcome.code, outcome.out) == (1, b"")


async def test_an_interrupt_of_the_kernel_that_meets_git_as_it_starts_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, once = shutil.which("git"), tmp_path / "interrupted"
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\n[ -e "{once}" ] || {{ : > "{once}"; kill -INT $$; }}\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    assert (await git(tmp_path, "version")).startswith(b"git version")
    assert once.exists()
