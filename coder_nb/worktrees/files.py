"""One file of a working tree: looked at, written and removed without ever following a link out of the tree."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from coder_nb.core.entries import Value
from coder_nb.errors import ApplyConflict

LINK, EXECUTABLE = "120000", "100755"


class Found(Value):
    """What stands at a path."""

    link: bool
    content: bytes
    """The file's bytes, or where the link points."""
    permissions: int
    stamp: tuple[int, ...]
    """Differs when somebody wrote the file in the meantime."""


def look(root: Path, path: str, *, going: bool = False) -> Found | None:
    """What stands at a path, or None; `ApplyConflict` where the path leads out of the tree or names a folder.

    With `going`, a path that is to be removed, what has taken the file's place counts as nothing.
    """
    if going and _link_on_the_way(root, path) is not None:
        return None
    place = place_of(root, path)
    try:
        state = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if going and stat.S_ISDIR(state.st_mode):
        return None
    if stat.S_ISLNK(state.st_mode):
        content = os.fsencode(place.readlink())
    elif stat.S_ISREG(state.st_mode):
        content = place.read_bytes()
    else:
        raise ApplyConflict(f"{path} is a folder there: nothing was written. Move it away, then try again.")
    permissions = stat.S_IMODE(state.st_mode)
    return Found(link=stat.S_ISLNK(state.st_mode), content=content, permissions=permissions, stamp=_stamp(state))


def place_of(root: Path, path: str) -> Path:
    """Where a path of the repository is; `ApplyConflict` where it would lead anywhere else."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise ApplyConflict(f"{path!r} is not a path inside the repository: nothing was written.")
    if "\ufffd" in path:
        raise ApplyConflict(f"The name {path!r} is not valid UTF-8: nothing was written. Copy the file by hand.")
    link = _link_on_the_way(root, path)
    if link is not None:
        raise ApplyConflict(
            f"{path} leads through the symbolic link {link.relative_to(root)}: nothing was written. "
            f"Replace the link by a folder, or copy the file by hand."
        )
    return root / path


def _link_on_the_way(root: Path, path: str) -> Path | None:
    folders = [root / folder for folder in Path(path).parents if folder != Path()]
    return next((folder for folder in reversed(folders) if folder.is_symlink()), None)


def _make_room(root: Path, place: Path, path: str) -> None:
    """Make the folders that a file needs."""
    for folder in place.relative_to(root).parents:
        if (root / folder).exists() and not (root / folder).is_dir():
            raise ApplyConflict(
                f"{folder} is a file where {path} needs a folder: nothing was written. "
                "Apply its removal first, or move it away."
            )
    place.parent.mkdir(parents=True, exist_ok=True)


def write(root: Path, path: str, content: bytes, *, mode: str | None, old_mode: str | None, over: Found | None) -> None:
    """Put content at a path in one step; permissions stay as they are but for an executable bit that the change sets.

    Raises `ApplyConflict` where what stands there is no longer what was `over`.
    """
    place = place_of(root, path)
    if mode == LINK:
        _check_target(root, place, path, content)
    _make_room(root, place, path)
    aside = place.with_name(f".coder-nb-{os.urandom(6).hex()}.tmp")
    try:
        if mode == LINK:
            aside.symlink_to(os.fsdecode(content))
        else:
            _fill(aside, content, mode == EXECUTABLE)
            if over is not None and not over.link and old_mode != LINK:
                aside.chmod(_permissions(over.permissions, mode, old_mode))
        _check_unchanged(place, path, over)
        aside.replace(place)
    finally:
        aside.unlink(missing_ok=True)


def set_executable(root: Path, path: str, found: Found, *, mode: str | None, old_mode: str | None) -> None:
    """Give a file that has the right content the executable bit that the change gives it."""
    wanted = permissions(found, mode=mode, old_mode=old_mode)
    if wanted != found.permissions:
        place_of(root, path).chmod(wanted)


def permissions(found: Found, *, mode: str | None, old_mode: str | None) -> int:
    """What a file's permissions become by a change of its mode."""
    return found.permissions if found.link else _permissions(found.permissions, mode, old_mode)


def remove(root: Path, path: str, found: Found) -> None:
    """Remove what was found at a path, and the folders that it leaves empty."""
    place = place_of(root, path)
    _check_unchanged(place, path, found)
    place.unlink()
    with suppress(OSError):
        for folder in place.parents:
            if folder == root:
                break
            folder.rmdir()


def _permissions(now: int, mode: str | None, old_mode: str | None) -> int:
    if mode == old_mode:
        return now
    return now | (now & 0o444) >> 2 if mode == EXECUTABLE else now & ~0o111


def _fill(place: Path, content: bytes, executable: bool) -> None:
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if executable else 0o666)
    with open(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)


def _check_target(root: Path, place: Path, path: str, content: bytes) -> None:
    target = (place.parent / os.fsdecode(content)).resolve()
    inside = target.is_relative_to(root.resolve())
    if not inside or ".git" in target.relative_to(root.resolve()).parts:
        raise ApplyConflict(
            f"{path} is a symbolic link that leads out of the repository: nothing was written. "
            f"Make it by hand if it is meant."
        )


def _check_unchanged(place: Path, path: str, over: Found | None) -> None:
    try:
        stamp: tuple[int, ...] | None = _stamp(place.lstat())
    except FileNotFoundError:
        stamp = None
    if stamp != (None if over is None else over.stamp):
        raise ApplyConflict(f"{path} was written by somebody else at this moment: nothing was written. Apply again.")


def _stamp(state: os.stat_result) -> tuple[int, ...]:
    return state.st_mode, state.st_ino, state.st_size, state.st_mtime_ns
