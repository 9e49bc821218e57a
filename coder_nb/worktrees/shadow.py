"""A folder without git: a repository outside of it stands for it, and nothing is written into the folder itself."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from pathlib import Path

from coder_nb.errors import NotARepository
from coder_nb.worktrees.git import git
from coder_nb.worktrees.state import Repository

_FOLDER = "shadows"
_EXCLUDED = """\
.ipynb_checkpoints/
__pycache__/
.venv/
venv/
node_modules/
.mypy_cache/
.pytest_cache/
.ruff_cache/
.DS_Store
"""
_EMAIL = "shadow@coder-nb.invalid"
"""Not that of private commits: the empty commit that a shadow begins with is the HEAD under them."""


def of(root: Path, folder: Path) -> Repository:
    """The repository that stands for a folder; raises `NotARepository` for one that holds more than a project."""
    home = Path.home()
    if folder == home or folder in home.parents or root.is_relative_to(folder):
        raise NotARepository(
            f"{folder} holds much more than one project: give the project's own folder, or run `git init` and commit "
            "once in this one."
        )
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:24]
    place = str(root / _FOLDER / f"{name}.git")
    return Repository(path=str(folder), toplevel=str(folder), common_dir=place, shadow=place)


async def ensure(repository: Repository, *, files: int, timeout: float) -> None:
    """Makes the shadow where there is none yet, complete or not at all; to be called under its lock."""
    place = Path(repository.shadow)
    if await asyncio.to_thread(place.is_dir):
        return
    making = place.with_suffix(f".{os.getpid()}.making")
    await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)
    await asyncio.to_thread(making.parent.mkdir, parents=True, exist_ok=True)
    env = {"GIT_DIR": str(making)}
    await git(making.parent, "init", "-q", "--template=", "-b", "main", env=env, timeout=timeout)
    for key, value in (("core.bare", "false"), ("core.worktree", repository.toplevel)):
        await git(making, "config", key, value, env=env, timeout=timeout)
    await asyncio.to_thread(_exclude, making)
    await _count(repository, making, files, timeout=timeout)
    empty = await git(making, "hash-object", "-w", "-t", "tree", "--stdin", input=b"", env=env, timeout=timeout)
    signature = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _SIGNATURE.items()}
    made = await git(
        making, "commit-tree", empty.decode().strip(), input=b"An empty folder\n", env=env | signature, timeout=timeout
    )
    await git(making, "update-ref", "refs/heads/main", made.decode().strip(), env=env, timeout=timeout)
    await asyncio.to_thread(making.rename, place)


_SIGNATURE = {"NAME": "coder-nb", "EMAIL": _EMAIL, "DATE": "@0 +0000"}


def _exclude(making: Path) -> None:
    (making / "info").mkdir(exist_ok=True)
    (making / "info" / "exclude").write_text(_EXCLUDED)


async def _count(repository: Repository, making: Path, most: int, *, timeout: float) -> None:
    env = {"GIT_DIR": str(making), "GIT_WORK_TREE": repository.toplevel}
    listing = ("ls-files", "-z", "--others", "--exclude-standard")
    found = (await git(Path(repository.toplevel), *listing, env=env, timeout=timeout)).count(b"\0")
    if found > most:
        raise NotARepository(
            f"{repository.toplevel} has {found:,} files and no git repository; up to {most:,} (the setting "
            "shadow_files) are handled without one: give a smaller folder, or run `git init` and commit once in it."
        )
