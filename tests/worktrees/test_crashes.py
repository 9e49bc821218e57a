"""Killed at whichever git command, the next run finds everything or mends it, and no byte of the user's is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coder_nb.settings import Settings
from coder_nb.worktrees.state import Applied, ref
from coder_nb.worktrees.worktrees import Worktrees

SCENARIO = """
import asyncio, sys
from pathlib import Path
from coder_nb.settings import Settings
from coder_nb.worktrees.worktrees import Worktrees

async def main(root, checkout):
    worktrees = Worktrees(root, Settings(copy_ignored=("data",)))
    state = await worktrees.ensure("s", checkout, has_pending=False)
    before = await worktrees.checkpoint(state, "t")
    (state.root / "a.txt").write_text("one\\nuser\\nagent\\n")
    (state.root / "new.txt").write_text("pending\\n")
    first, second = await worktrees.changes(state, before=before)
    await worktrees.apply(state, first)
    state = await worktrees.rebase_after_apply(state, [first])
    state = await worktrees.ensure("s", checkout, has_pending=True)
    await worktrees.reject(state, second)
    (checkout / "a.txt").write_text("one\\nuser again\\nagent\\n")
    await worktrees.ensure("s", checkout, has_pending=False)

asyncio.run(main(*map(Path, sys.argv[1:])))
"""
CALLS = 132
"""About as many git commands as the scenario runs."""


def crash(tmp_path: Path, checkout: Any, call: int) -> None:
    """Run the scenario and kill it at its n-th git command."""
    real = shutil.which("git")
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    count = tmp_path / "count"
    count.write_bytes(b"")
    program = folder / "git"
    program.write_text(
        f"#!/bin/sh\nprintf x >> '{count}'\n"
        f"if [ $(wc -c < '{count}') -eq {call} ]; then kill -9 $PPID; exit 1; fi\nexec '{real}' \"$@\"\n"
    )
    program.chmod(0o755)
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SCENARIO, str(tmp_path / "worktrees"), str(checkout.root)]
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode in (0, -9), done.stderr.decode()


@pytest.mark.parametrize("call", range(4, CALLS, 16))
def test_a_crash_at_any_step_is_mended_by_the_next_run(checkout: Any, tmp_path: Path, call: int) -> None:
    checkout.write(".gitignore", "data/\n")
    checkout.commit()
    checkout.write("data/x.csv", "1\n")
    checkout.write("a.txt", "one\nuser\nthree\n")
    checkout.write("untracked.txt", "user\n")
    before = checkout.seen()
    crash(tmp_path, checkout, call)
    text = checkout.read("a.txt")
    assert text in (b"one\nuser\nthree\n", b"one\nuser\nagent\n", b"one\nuser again\nagent\n")
    after = checkout.seen()
    names = ("index", "head", "commit", "stash", "branches", f"file {checkout.root}/untracked.txt")
    assert [after[name] for name in names] == [before[name] for name in names]
    asyncio.run(mended(checkout, tmp_path / "worktrees"))


async def mended(checkout: Any, root: Path) -> None:
    worktrees = Worktrees(root, Settings(copy_ignored=("data",)))
    state = await worktrees.ensure("s", checkout.root, has_pending=True)
    before = await worktrees.checkpoint(state, "t2")
    assert (state.root / "untracked.txt").read_text() == "user\n"
    assert (state.root / "data" / "x.csv").read_text() == "1\n"
    found = await worktrees.changes(state, before=before)
    assert {delta.path for delta in found} <= {"a.txt", "new.txt"}
    for delta in found:
        assert await worktrees.apply(state, delta) == Applied(path=delta.path, status="applied")
    state = await worktrees.rebase_after_apply(state, found)
    assert await worktrees.changes(state, before=before) == []
    state = await worktrees.ensure("s", checkout.root, has_pending=False)
    assert (state.root / "a.txt").read_bytes() == checkout.read("a.txt")
    assert not state.stale
    assert checkout.git("rev-parse", ref("s", "base")).decode().strip() == state.base_commit
    assert checkout.git("worktree", "list", "--porcelain").count(b"worktree ") == 2
