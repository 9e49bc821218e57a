"""A user's repository, made and looked at with real git, apart from the code under test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coder_nb.core.changes import FileDelta
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.worktrees.state import WorktreeState
from coder_nb.worktrees.worktrees import Worktrees


class Checkout:
    """What a user would do in her repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *args: str, check: bool = True) -> bytes:
        return subprocess.run(["git", *args], cwd=self.root, check=check, capture_output=True).stdout

    def write(self, path: str, content: str | bytes) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        return place

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def commit(self, title: str = "work") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", title)
        return self.git("rev-parse", "HEAD").decode().strip()

    def seen(self) -> dict[str, bytes]:
        """All that a user could notice: index, HEAD, stash, branches, status and files."""
        state = {name: self.git(*command.split()) for name, command in _NOTICEABLE.items()}
        state["index"] = (self.root / ".git" / "index").read_bytes()
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name != ".git"]
            for name in names:
                place = Path(folder) / name
                content = os.fsencode(place.readlink()) if place.is_symlink() else place.read_bytes()
                state[f"file {place}"] = content + oct(place.lstat().st_mode).encode()
        return state


_NOTICEABLE = {
    "status": "--no-optional-locks status --porcelain=v2 --branch",
    "head": "symbolic-ref -q HEAD",
    "commit": "rev-parse HEAD",
    "stash": "stash list",
    "branches": "for-each-ref refs/heads refs/tags refs/remotes refs/stash",
    "staged": "diff --cached",
}


class Desk:
    """A session at work: the checkout, the worktrees, and the shortest way through a turn."""

    def __init__(self, checkout: Checkout, worktrees: Worktrees) -> None:
        self.checkout = checkout
        self.worktrees = worktrees
        self.session_id = new_id()
        self.state: WorktreeState

    async def ensure(self, *, has_pending: bool = False, path: Path | None = None) -> WorktreeState:
        self.state = await self.worktrees.ensure(
            self.session_id, path or self.checkout.root, has_pending=has_pending, known=None
        )
        return self.state

    async def turn(self, work: Callable[[Path], object], *, has_pending: bool = False) -> list[FileDelta]:
        state = await self.ensure(has_pending=has_pending)
        before = await self.worktrees.checkpoint(state, new_id())
        work(state.root)
        return await self.worktrees.changes(state, before=before)

    async def delta(self, work: Callable[[Path], object]) -> FileDelta:
        [delta] = await self.turn(work)
        return delta

    async def left(self) -> list[str]:
        before = await self.worktrees.checkpoint(self.state, new_id())
        return [delta.path for delta in await self.worktrees.changes(self.state, before=before)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a git identity, and nothing of the machine's settings."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("XDG_CONFIG_HOME", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "user" / "project")
    made.write("a.txt", "one\ntwo\nthree\n")
    made.write("src/b.py", "def f():\n    return 1\n")
    made.commit("start")
    return made


@pytest.fixture
def worktrees(tmp_path: Path) -> Worktrees:
    return Worktrees(tmp_path / "worktrees", Settings())


@pytest.fixture
def desk(checkout: Checkout, worktrees: Worktrees) -> Desk:
    return Desk(checkout, worktrees)
