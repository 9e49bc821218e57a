"""The worktree as the native agent's tools see it: every path is looked at before it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from coder_nb.core.changes import is_secret

READ_LIMIT = 2_000_000
"""Bytes of the largest file that is read or edited whole."""
_PASSED_OVER = frozenset({".git", "node_modules", "__pycache__", ".venv", ".ipynb_checkpoints", ".mypy_cache"})
_SEEN_LIMIT = 100_000


class Refused(Exception):
    """A tool call that cannot be done as asked; the model reads why."""


class Workplace:
    """One worktree, and the directory in it where the agent begins."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = Path(os.path.realpath(cwd))
        self.root = next((at for at in (self.cwd, *self.cwd.parents) if (at / ".git").exists()), self.cwd)

    def path(self, given: str) -> Path:
        """Where a path of the model leads, links followed; raises `Refused` outside of the worktree."""
        if "\0" in given:
            raise Refused("A path cannot contain a NUL.")
        found = Path(os.path.realpath(self.cwd / given))
        if not found.is_relative_to(self.root):
            raise Refused(f"{given} is outside of the working directory {self.root}: only what is inside can be used.")
        inside = found.relative_to(self.root)
        if ".git" in inside.parts:
            raise Refused(f"{given} belongs to git: use git's own commands by the tool `shell`.")
        if is_secret(inside.as_posix()) or is_secret(Path(given).name):
            raise Refused(f"{given} may hold keys or passwords: such files are neither read nor written.")
        return found

    def shown(self, path: Path) -> str:
        """A path as people read it: from the agent's directory where it lies in it, else from the worktree's root."""
        return path.relative_to(self.cwd if path.is_relative_to(self.cwd) else self.root).as_posix()

    def text(self, path: Path) -> str:
        """A text file, line ends as they are; raises `Refused` where it is none."""
        try:
            if path.stat().st_size > READ_LIMIT:
                raise Refused(f"{self.shown(path)} has {path.stat().st_size:,} bytes: read parts of it by `shell`.")
            data = path.read_bytes()
        except IsADirectoryError:
            raise Refused(f"{self.shown(path)} is a directory: use `list_dir`.") from None
        except FileNotFoundError:
            raise Refused(f"There is no file {self.shown(path)}.") from None
        except OSError as error:
            raise Refused(f"{self.shown(path)} cannot be read: {error.strerror}.") from None
        if b"\0" in data:
            raise Refused(f"{self.shown(path)} is not a text file.")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(f"{self.shown(path)} is not text in UTF-8.") from None

    def write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8", "replace"))
        except OSError as error:
            raise Refused(f"{self.shown(path)} cannot be written: {error.strerror}.") from None

    def files(self, folder: Path, pattern: str) -> Iterator[Path]:
        """The files below a folder whose path from it, or name, fits; links to folders are not followed."""
        seen = 0
        for at, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
            for name in sorted(names):
                if (seen := seen + 1) > _SEEN_LIMIT:
                    return
                path = Path(at, name)
                inside = path.relative_to(folder).as_posix()
                if (not pattern or _fits(inside, pattern)) and not is_secret(inside):
                    yield path


def _fits(path: str, pattern: str) -> bool:
    if "/" not in pattern:
        return fnmatchcase(path.rsplit("/", 1)[-1], pattern)
    return fnmatchcase(path, pattern) or fnmatchcase(path, pattern.replace("**/", ""))
