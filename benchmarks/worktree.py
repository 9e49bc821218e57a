"""A repository of 50,000 files: how soon a worktree is ready, and the changes of a turn that touched ten files.

The references are git's own `worktree add` and `status` on the same trees, in turn with ours. All lies in memory where
the system has a place for that: a disk that is busy with 50,000 files says nothing about either.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.row import Row
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.worktrees.state import WorktreeState
from coder_nb.worktrees.worktrees import Worktrees

FOLDERS, FILES = 500, 100
MAKES, TURNS = 5, 25
TOUCHED = 10
MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory(dir=_in_memory()) as folder:
        return asyncio.run(_measure(Path(folder)))


def _in_memory() -> Path | None:
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


async def _measure(folder: Path) -> list[Row]:
    repository = make_repository(folder / "repository")
    worktrees = Worktrees(folder / "worktrees", Settings(database=str(folder / "store.sqlite")))
    ready, add = [], []
    for number in range(MAKES):
        add.append(_git_worktree(repository, folder / f"reference{number}"))
        session_id = new_id()
        start = time.perf_counter()
        state = await worktrees.ensure(session_id, repository, has_pending=False)
        ready.append(time.perf_counter() - start)
        if number < MAKES - 1:
            await worktrees.remove(session_id, repository, forget=True)
    ours, status = await _turns(worktrees, state)
    return [
        Row("a worktree of 50,000 files", _ms(ready), "ms", 1.3, _ms(add), "ratio", "`git worktree add`"),
        Row("changes of a turn, ten files of 50,000", _ms(ours), "ms", 1.5, _ms(status), "ratio", "`git status`"),
    ]


async def _turns(worktrees: Worktrees, state: WorktreeState) -> tuple[list[float], list[float]]:
    """The changes of turns that touch ten files each, and git's own look at the same tree."""
    ours, reference = [], []
    for turn in range(TURNS):
        before = await worktrees.checkpoint(state, new_id())
        for number in range(TOUCHED):
            (state.root / f"folder{number * 7}" / "file3.txt").write_text(f"turn {turn}\n" * 20)
        reference.append(_timed("status", "--porcelain", cwd=state.root))
        start = time.perf_counter()
        found = await worktrees.changes(state, before=before)
        ours.append(time.perf_counter() - start)
        assert sum(delta.touched for delta in found) == TOUCHED
    return ours, reference


def make_repository(path: Path) -> Path:
    """A repository of 50,000 small files in one commit."""
    for number in range(FOLDERS):
        folder = path / f"folder{number}"
        folder.mkdir(parents=True)
        for file in range(FILES):
            (folder / f"file{file}.txt").write_text(f"file {file} of folder {number}\n" * 10)
    person = ["-c", "user.name=Ana", "-c", "user.email=ana@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*person, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], cwd=path, check=True)
    return path


def _git_worktree(repository: Path, place: Path) -> float:
    taken = _timed("worktree", "add", "-q", "--detach", str(place), cwd=repository)
    subprocess.run(["git", "worktree", "remove", "--force", str(place)], cwd=repository, check=True)
    shutil.rmtree(place, ignore_errors=True)
    return taken


def _timed(*words: str, cwd: Path) -> float:
    start = time.perf_counter()
    subprocess.run(["git", *words], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e3
