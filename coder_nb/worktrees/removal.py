"""The end of a worktree: its folder is renamed in one step, and from then on gone for good, also after a crash.

Nothing here asks whether it may go: whoever calls has looked what would be lost (`risk.py`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from coder_nb.errors import BadPath, CoderError
from coder_nb.worktrees.git import git, run
from coder_nb.worktrees.state import MAKING, ref

GOING = ".going"
"""What is put behind the name of a session's folder that is being removed."""


async def remove(root: Path, session_id: str, repository: Path | None, *, forget: bool, timeout: float) -> None:
    """Removes a session's folder under `root`, and what git remembers of it; with `forget`, its private refs too.

    Without `forget`, what the worktree held last stays reachable by a ref. Called again after a crash, it finishes.
    """
    places = await asyncio.to_thread(_step_aside, root, session_id)
    if repository is not None and await asyncio.to_thread(repository.is_dir):
        for place in {*places, root / session_id / repository.name}:
            await run(repository, "worktree", "remove", "-f", "-f", str(place), timeout=timeout)
        await _drop_refs(repository, session_id, forget=forget, timeout=timeout)
    await finish(root, session_id)


def _step_aside(root: Path, session_id: str) -> list[Path]:
    """Renames the session's folder; gives the places in it that git may know."""
    folder, going = root / session_id, root / f"{session_id}{GOING}"
    checked(root, folder)
    if os.path.lexists(folder):
        if os.path.lexists(going):  # an earlier removal was cut short, and the worktree was made again since
            delete(root, going)
        folder.rename(going)
    with suppress(FileNotFoundError, NotADirectoryError):
        return [folder / name for name in os.listdir(going)]
    return []


async def finish(root: Path, session_id: str) -> None:
    """Deletes a folder that was renamed in order to be removed, or that never became a worktree, if there is one."""
    for end in (GOING, MAKING):
        await asyncio.to_thread(delete, root, root / f"{session_id}{end}")


async def _drop_refs(repository: Path, session_id: str, *, forget: bool, timeout: float) -> None:
    listed = await git(repository, "for-each-ref", "--format=%(refname)", ref(session_id), timeout=timeout)
    names = listed.decode().split()
    last = ref(session_id, "kept")
    if not forget:
        names = [name for name in names if name in (last, ref(session_id, "base"))]
        if last in names:
            await git(repository, "update-ref", ref(session_id, "closed"), last, timeout=timeout)
    lines = "".join(f"delete {name}\n" for name in names)
    await git(repository, "update-ref", "--stdin", input=lines.encode(), timeout=timeout)


def checked(root: Path, folder: Path) -> None:
    """Raises `BadPath` unless a folder is a plain one directly under the worktrees' root."""
    with suppress(FileNotFoundError):
        if folder.parent != root or root.is_symlink() or not stat.S_ISDIR(folder.lstat().st_mode):
            raise BadPath(f"{folder} is not a folder of ours, but a link or a file: look at it and remove it by hand.")


def delete(root: Path, folder: Path) -> None:
    """Deletes a folder of ours with all that is in it; links are removed, never followed."""
    checked(root, folder)
    try:
        shutil.rmtree(folder, onerror=_make_writable)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CoderError(
            f"{folder} cannot be deleted: {error.strerror or error}. Settle that; it is tried again at the next start."
        ) from error


def _make_writable(function: object, path: str, failure: object) -> None:
    """Folders without the right to write, as some package caches are, are deleted all the same."""
    if not isinstance(failure, tuple) or not isinstance(failure[1], PermissionError):
        raise failure[1] if isinstance(failure, tuple) else OSError(path)
    parent = os.path.dirname(path)
    os.chmod(parent, stat.S_IRWXU)
    if os.path.isdir(path) and not os.path.islink(path):
        os.chmod(path, stat.S_IRWXU)
        shutil.rmtree(path)
    else:
        os.unlink(path)
