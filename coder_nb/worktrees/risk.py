"""What would be lost with a worktree, asked of git and of the folder itself; whatever fails counts as at risk."""

from __future__ import annotations

import asyncio
import filecmp
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from coder_nb.core.risk import Risk, weighed
from coder_nb.errors import CoderError, GitError
from coder_nb.worktrees.git import git, run
from coder_nb.worktrees.snapshot import EMAIL, is_our_link
from coder_nb.worktrees.state import ref

_STATUS = ("status", "--porcelain=v2", "-z", "--no-ahead-behind", "--no-renames", "--untracked-files=all")
_replace = msgspec.structs.replace


async def inspect(
    session_id: str,
    home: Path,
    checkout: Path | None,
    *,
    listed: Sequence[str] = (),
    pending: int = 0,
    timeout: float,
) -> Risk:
    """The report on the worktree at `home`; never raises: what cannot be found out is the report's `error`."""
    risk = Risk(session_id=session_id, worktree=str(home), pending=pending)
    try:
        if not await asyncio.to_thread(os.path.lexists, home):
            return weighed(_replace(risk, worktree=None))
        risk = await _look(risk, session_id, home, timeout=timeout)
        if checkout is not None:
            links = await asyncio.to_thread(_our_links, home, checkout, risk.untracked)
            risk = _replace(risk, untracked=tuple(path for path in risk.untracked if path not in links))
        ignored = await asyncio.to_thread(_differing, home, checkout, await _ignored(home, listed, timeout=timeout))
        return weighed(_replace(risk, ignored=tuple(ignored)))
    except CoderError as error:
        return weighed(_replace(risk, error=error.message))
    except OSError as error:
        return weighed(_replace(risk, error=f"The worktree {home} cannot be read: {error.strerror or error}."))


async def _look(risk: Risk, session_id: str, home: Path, *, timeout: float) -> Risk:
    if await asyncio.to_thread(home.is_symlink):
        raise GitError(f"{home} is a symbolic link, which no worktree of ours is: look where it leads to.")
    top = os.fsdecode((await git(home, "rev-parse", "--show-toplevel", timeout=timeout)).removesuffix(b"\n"))
    if not await asyncio.to_thread(os.path.samefile, top, home):
        raise GitError(f"git does not know {home} as a worktree any more: look into it by hand.")
    risk = _from_status(risk, (await git(home, *_STATUS, "--ignore-submodules=none", timeout=timeout)).split(b"\0"))
    inside = await _submodules(home, timeout=timeout)
    aside = await asyncio.to_thread(_beside, home)
    risk = _replace(risk, submodules=tuple(inside), untracked=(*risk.untracked, *aside))
    return await _commits(risk, session_id, home, timeout=timeout)


def _from_status(risk: Risk, lines: Iterable[bytes]) -> Risk:
    dirty: list[str] = []
    staged: list[str] = []
    untracked: list[str] = []
    for line in map(os.fsdecode, lines):
        if line.startswith("? "):
            untracked.append(line[2:])
        elif line[:2] in ("1 ", "u "):
            path = line.split(" ", 8 if line[0] == "1" else 10)[-1]
            if line[2] != ".":
                staged.append(path)
            if line[3] != ".":
                dirty.append(path)
    return _replace(risk, dirty=tuple(dirty), staged=tuple(staged), untracked=tuple(untracked))


async def _submodules(home: Path, *, timeout: float) -> list[str]:
    """Submodules that were filled in: their commits lie in the worktree's own corner of the repository."""
    staged = await git(home, "ls-files", "-z", "--stage", timeout=timeout)
    links = [os.fsdecode(line.split(b"\t", 1)[1]) for line in staged.split(b"\0") if line.startswith(b"160000")]
    return await asyncio.to_thread(lambda: [path for path in links if os.path.lexists(home / path / ".git")])


def _beside(home: Path) -> list[str]:
    """What was set aside when the worktree was made; its content may be somebody's work."""
    return [str(place) for place in home.parent.iterdir() if place != home and ".aside-" in place.name]


async def _commits(risk: Risk, session_id: str, home: Path, *, timeout: float) -> Risk:
    """Counts what the agent has committed itself, by who else has it."""
    base = ref(session_id, "base")
    await git(home, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", timeout=timeout)
    named = await run(home, "symbolic-ref", "--quiet", "HEAD", timeout=timeout)
    branch = named.out.decode().strip() if named.code == 0 else ""
    others = ("--branches",) if not branch else (f"--exclude={branch.removeprefix('refs/heads/')}", "--branches")

    async def count(*known: str) -> int:
        said = await git(home, "log", "--format=%ae", "HEAD", "--not", base, *known, "--", timeout=timeout)
        return sum(line != EMAIL for line in said.decode("utf-8", "replace").splitlines())

    unmerged = await count(*others)
    if not unmerged:
        return risk
    remotes = (await git(home, "remote", timeout=timeout)).strip()
    return _replace(
        risk,
        unmerged=unmerged,
        detached=0 if branch else await count("--branches", "--tags", "--remotes"),
        unpushed=await count("--remotes") if remotes else 0,
    )


def _our_links(home: Path, checkout: Path, paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path for path in paths if is_our_link(home / path, checkout / path))


async def _ignored(home: Path, listed: Sequence[str], *, timeout: float) -> list[str]:
    """The ignored files in the folders that were copied because the setting names them."""
    if not listed:
        return []
    listing = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", *listed)
    return [os.fsdecode(name) for name in (await git(home, *listing, timeout=timeout)).split(b"\0") if name]


def _differing(home: Path, checkout: Path | None, names: Iterable[str]) -> list[str]:
    """Those that are not as in the checkout; a repository among them counts as different."""
    return [name for name in names if name.endswith("/") or checkout is None or not _same(home / name, checkout / name)]


def _same(mine: Path, theirs: Path) -> bool:
    try:
        one, other = mine.lstat(), theirs.lstat()
        if stat.S_IFMT(one.st_mode) != stat.S_IFMT(other.st_mode):
            return False
        if stat.S_ISLNK(one.st_mode):
            return mine.readlink() == theirs.readlink()
        if one.st_size != other.st_size:
            return False
        return one.st_mtime_ns == other.st_mtime_ns or filecmp.cmp(mine, theirs, shallow=False)
    except FileNotFoundError:
        return False
