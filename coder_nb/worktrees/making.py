"""How a session's worktree is made, mended, and moved on with the user's checkout; complete or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from pathlib import Path

from coder_nb.settings import Settings
from coder_nb.worktrees import ignored
from coder_nb.worktrees.git import git, run
from coder_nb.worktrees.snapshot import Sieve, Snapshot, head_of, resolve, snapshot, tree_of
from coder_nb.worktrees.state import MAKING, Repository, WorktreeState, ref

MUCH = 10
"""How many times longer a call of git may take that writes all files."""
MARK = ".store"
"""The file that says which store has made a session's folder."""


class Making:
    """One session's worktree, on its way to be ready. To be used under the repository's lock."""

    def __init__(self, root: Path, settings: Settings, repository: Repository, session_id: str) -> None:
        self._root, self._settings, self._timeout = root, settings, settings.git_timeout
        self._repository, self._session_id = repository, session_id
        self._aside = root / f"{session_id}{MAKING}"
        self.home = root / session_id / (repository.root.name or "repository")

    async def ready(
        self, now: Snapshot, *, has_pending: bool, known: WorktreeState | None, requested: bool
    ) -> WorktreeState:
        """The worktree, made, mended or moved on to `now`; `requested` where that is not the checkout but a commit."""
        standing = await self._standing()
        base = await self._base(known, standing == "ready")
        if standing == "cut off" and base is not None:
            await self._relink(base)
        elif standing == "ready":
            await asyncio.to_thread(shutil.rmtree, self._aside, ignore_errors=True)
        else:
            base = await self._make(base if has_pending and base else now.commit)
        base = base or now.commit
        moved_on = base != now.commit
        if requested and moved_on:
            under = await head_of(self.home, base, timeout=self._timeout)
            applied = under.tree != await tree_of(self.home, base, timeout=self._timeout)
            moved_on, has_pending = under.commit != now.commit, has_pending or applied
        if moved_on and not has_pending:
            base = await self._follow(base, now)
        stale = moved_on and base != now.commit and await tree_of(self.home, base, timeout=self._timeout) != now.tree
        return await self._state(base, now, stale=stale)

    async def _standing(self) -> str:
        """``ready``, ``missing``, or ``cut off``: the folder is there and git does not know it as a worktree of this
        repository."""
        home = self.home
        if not await asyncio.to_thread(home.is_dir):
            return "missing"
        places = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir", "--git-dir", "HEAD")
        found = await run(home, *places, timeout=self._timeout)
        words = os.fsdecode(found.out).split("\n")
        if found.code != 0 or words[:2] != [str(home), self._repository.common_dir]:
            return "cut off"
        if not await asyncio.to_thread(_leads_back, Path(words[2]), home):
            await git(self._repository.root, "worktree", "repair", str(home), timeout=self._timeout)
        return "ready"

    async def _base(self, known: WorktreeState | None, standing: bool) -> str | None:
        """The session's base; where its ref was lost, the one the caller knows or the commit the worktree stands on."""
        root, name = self._repository.root, ref(self._session_id, "base")
        base = await resolve(root, name, timeout=self._timeout)
        if base is not None:
            return base
        if known is not None:
            base = await resolve(root, known.base_commit, timeout=self._timeout)
        if base is None and standing:
            base = await resolve(self.home, "HEAD", timeout=self._timeout)
        if base is not None:
            await git(root, "update-ref", name, base, timeout=self._timeout)
        return base

    async def _make(self, base: str) -> str:
        """Make the worktree aside and put it in its place when it is complete, so that a crash leaves nothing half."""
        root, home = self._repository.root, self.home
        await asyncio.to_thread(_set_aside, home, home.parent)
        await git(root, "update-ref", ref(self._session_id, "base"), base, timeout=self._timeout)
        making = await self._clear()
        add = ("worktree", "add", "-f", "-f", "--detach", str(making), base)
        await git(root, *add, timeout=self._timeout * MUCH)
        kept = await resolve(root, ref(self._session_id, "kept"), timeout=self._timeout)
        if kept is not None and await self._is_work_on(kept, base):
            await git(making, "read-tree", "--reset", "-u", kept, timeout=self._timeout * MUCH)
            await git(making, "reset", "--quiet", "--mixed", timeout=self._timeout)
        await ignored.copy(root, making, self._settings.copy_ignored, timeout=self._timeout)
        await asyncio.to_thread(_put_in_place, making, home, store_mark(self._settings))
        await git(root, "worktree", "repair", str(home), timeout=self._timeout)
        return base

    async def _is_work_on(self, kept: str, base: str) -> bool:
        """Whether what was kept is work on this base, which is put back into a worktree that was lost."""
        said = await git(self._repository.root, "log", "-1", "--format=%P", kept, "--", timeout=self._timeout)
        return said.decode().split()[:1] == [base]

    async def _clear(self) -> Path:
        """A free place to make a worktree in; what git remembers of one that is gone is forgotten, ours alone."""
        making = self._aside / self.home.name
        for place in (making, self.home):
            if place == making or not await asyncio.to_thread(self.home.exists):
                forget = ("worktree", "remove", "-f", "-f", str(place))
                await run(self._repository.root, *forget, timeout=self._timeout)
        await asyncio.to_thread(shutil.rmtree, making.parent, ignore_errors=True)
        await asyncio.to_thread(making.parent.mkdir, parents=True, exist_ok=True)
        return making

    async def _relink(self, base: str) -> None:
        """Make git know a folder again whose link was pruned or broken; the folder's content stays as it is."""
        making = await self._clear()
        add = ("worktree", "add", "-f", "-f", "--detach", "--no-checkout", str(making), base)
        await git(self._repository.root, *add, timeout=self._timeout)
        await asyncio.to_thread(_move_link, making, self.home)
        await git(self._repository.root, "worktree", "repair", str(self.home), timeout=self._timeout)
        await git(self.home, "reset", "--quiet", "--mixed", timeout=self._timeout)

    async def _follow(self, base: str, now: Snapshot) -> str:
        """Move the worktree to what the user sees now, unless there is work in it; gives the base it is at."""
        home = self.home
        sieve = Sieve(guarded=False, links_to=self._repository.toplevel)
        await asyncio.to_thread(_drop_stale_lock, await self._index(), home, self._timeout)
        mine = await snapshot(home, sieve=sieve, timeout=self._timeout)
        if mine.tree not in (now.tree, await tree_of(home, base, timeout=self._timeout)):
            return base
        await snapshot(home, sieve=sieve, in_place=True, timeout=self._timeout)
        go = ("checkout", "--quiet", "--force", "--detach", now.commit)
        await git(home, *go, timeout=self._timeout * MUCH)
        await git(home, "update-ref", ref(self._session_id, "base"), now.commit, timeout=self._timeout)
        return now.commit

    async def _index(self) -> Path:
        asked = ("rev-parse", "--path-format=absolute", "--git-path", "index")
        place = await git(self.home, *asked, timeout=self._timeout)
        return Path(os.fsdecode(place.removesuffix(b"\n")))

    async def _state(self, base: str, now: Snapshot, *, stale: bool) -> WorktreeState:
        cwd = self.home / self._repository.subdirectory
        await asyncio.to_thread(cwd.mkdir, parents=True, exist_ok=True)
        links = (self._repository.root, self.home, self._settings.link_ignored, now.left_out)
        await asyncio.to_thread(ignored.link, *links)
        return WorktreeState(
            session_id=self._session_id,
            repository=self._repository.toplevel,
            path=str(self.home),
            cwd=str(cwd),
            base_commit=base,
            files_left_out=now.left_out,
            stale=stale,
            shadow=self._repository.shadow,
            large=self._settings.large_file,
        )


def _set_aside(place: Path, folder: Path) -> None:
    """Move what stands where something of ours has to be; its content may be somebody's work."""
    if os.path.lexists(place):
        place.rename(folder / f"{place.name}.aside-{time.time_ns()}")


def store_mark(settings: Settings) -> str:
    """What tells the worktrees of one store from those of another that uses the same folder."""
    name = settings.database or str(settings.database_path())
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def _put_in_place(making: Path, home: Path, mark: str) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    (home.parent / MARK).write_text(mark)
    making.rename(home)
    making.parent.rmdir()


def _move_link(making: Path, home: Path) -> None:
    if (home / ".git").is_dir():
        _set_aside(home / ".git", home.parent)
    (making / ".git").replace(home / ".git")
    shutil.rmtree(making.parent, ignore_errors=True)


def _leads_back(git_dir: Path, home: Path) -> bool:
    """Whether git would find the worktree from the repository; after a crash in mid-move it would prune it instead."""
    link = git_dir / "gitdir"
    return link.exists() and os.fsdecode(link.read_bytes()).strip() == str(home / ".git")


def _drop_stale_lock(index: Path, home: Path, age: float) -> None:
    """Remove the lock that a killed git left: older than any git of ours can be, and no git is at work there.

    The time of day alone does not tell: it jumps, and goes on while the machine and a git of the agent's sleep.
    """
    lock = index.with_name(f"{index.name}.lock")
    if lock.exists() and time.time() - lock.stat().st_mtime > age and not _git_works_in(home):
        lock.unlink(missing_ok=True)


def _git_works_in(home: Path) -> bool:
    """Whether a git stands in a worktree, whoever started it; never, where there is no ``/proc`` to look at."""
    for name in Path("/proc").glob("[0-9]*/comm"):
        try:
            if name.read_bytes() == b"git\n" and name.with_name("cwd").readlink().is_relative_to(home):
                return True
        except OSError:  # it has ended, or is not ours to look at
            continue
    return False
