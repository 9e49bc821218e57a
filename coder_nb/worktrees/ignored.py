"""Ignored files, such as data, in a new worktree: copied, sharing the disk where the file system can, or linked."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from coder_nb.core.changes import is_secret
from coder_nb.errors import BadPath
from coder_nb.worktrees.git import git

_FICLONE = 0x40049409


async def copy(checkout: Path, worktree: Path, folders: Sequence[str], *, timeout: float) -> None:
    """Copy what git ignores in the named folders; a folder that is not there, or leads outside, is passed over."""
    wanted = [folder for folder in folders if _inside(checkout, folder)]
    if not wanted:
        return
    listing = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", *wanted)
    listed = await git(checkout, *listing, timeout=timeout)
    names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    try:
        await asyncio.to_thread(_copy_all, checkout, worktree, names)
    except (OSError, shutil.Error) as error:
        raise BadPath(
            f"The folders {', '.join(wanted)} of the setting copy_ignored cannot be copied into the worktree: {error}. "
            "Make them readable, free some space, or take them out of the setting."
        ) from error


def _inside(checkout: Path, folder: str) -> bool:
    place = (checkout / folder).resolve()
    return place != checkout and place.is_relative_to(checkout) and place.exists()


def _copy_all(checkout: Path, worktree: Path, names: Sequence[str]) -> None:
    for name in names:
        source, target = checkout / name, worktree / name
        if os.path.lexists(target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            shutil.copytree(source, target, symlinks=True, copy_function=_clone)
        else:
            _clone(str(source), str(target))


def _clone(source: str, target: str) -> str:
    """Copy one file with its mode and times, sharing its blocks where the file system can."""
    if os.path.islink(source) or not sys.platform.startswith("linux"):
        return shutil.copy2(source, target, follow_symlinks=False)
    import fcntl

    with open(source, "rb") as old, open(target, "wb") as new, suppress(OSError):
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        shutil.copystat(source, target)
        return target
    return shutil.copy2(source, target)


def link(checkout: Path, worktree: Path, names: Sequence[str], left_out: Sequence[str]) -> None:
    """Links into the checkout for what the names say, of what git ignores or what was left out for its size.

    Whoever writes through such a link writes in the checkout: it is made on request only, and never to a secret.
    """
    wanted = [name for name in names if _inside(checkout, name)]
    wanted += [name for name in left_out if any(fnmatchcase(name, pattern) for pattern in names)]
    for name in dict.fromkeys(wanted):
        place = worktree / name.rstrip("/")
        if not os.path.lexists(place) and not is_secret(name.rstrip("/")):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(checkout / name.rstrip("/"))
