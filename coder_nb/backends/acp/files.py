"""What an agent may reach through us: the files of the tree that it was given, but for secrets and git's own."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coder_nb.backends.acp import wire
from coder_nb.backends.acp.connection import RpcError
from coder_nb.core.changes import is_secret

LARGEST = 50 * 1024 * 1024
"""Bytes of a file that is read for an agent, or written."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Tree:
    """The worktree that an agent was given; every path is judged by where it really leads."""

    def __init__(self, cwd: Path) -> None:
        real = Path(os.path.realpath(cwd))
        self.root = next((place for place in (real, *real.parents) if (place / ".git").exists()), real)
        self.cwd = real

    def inside(self, path: Any) -> Path:
        """Where a path really is; raises `RpcError` where that is outside, a secret, or git's own."""
        if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
            raise RpcError(wire.INVALID_PARAMS, f"not an absolute path: {path!r}")
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self.root):
            raise RpcError(wire.INVALID_PARAMS, f"{path} is outside of the working directory {self.root}")
        if ".git" in real.relative_to(self.root).parts:
            raise RpcError(wire.INVALID_PARAMS, f"{path} belongs to git")
        if is_secret(path) or is_secret(str(real)):
            raise RpcError(wire.INVALID_PARAMS, f"{path} may hold keys or passwords, which are not handed on")
        return real

    def read(self, path: Any, line: Any = None, limit: Any = None) -> str:
        """The text of a file, or `limit` lines of it from `line` (the first is 1); raises `RpcError`."""
        place = self.inside(path)
        try:
            data = _bytes(place)
        except OSError as error:
            raise _failed(path, error) from error
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise RpcError(wire.INVALID_PARAMS, f"{path} is no text in UTF-8") from None
        if line is None and limit is None:
            return text
        first = max(1, _count(line, 1)) - 1
        lines = _LINE.findall(text)
        return "".join(lines[first : None if limit is None else first + _count(limit, 0)])

    def before(self, path: Any) -> str | None:
        """The text that a write would replace; None where there is no such file yet. Raises `RpcError`."""
        try:
            return self.read(path)
        except RpcError as error:
            if error.code == wire.NOT_FOUND:
                return None
            raise

    def write(self, path: Any, text: str) -> None:
        """Writes a file as it is given, with the folders above it; raises `RpcError`."""
        place = self.inside(path)
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > LARGEST:
            raise RpcError(wire.INVALID_PARAMS, f"{path} would be larger than {LARGEST} bytes")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists() and not stat.S_ISREG(place.stat().st_mode):
                raise RpcError(wire.INVALID_PARAMS, f"{path} is no file")
            place.write_bytes(data)
        except OSError as error:
            raise _failed(path, error) from error


def _bytes(place: Path) -> bytes:
    with open(os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:  # a pipe would wait
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise RpcError(wire.INVALID_PARAMS, f"{place} is no file")
        if found.st_size > LARGEST:
            raise RpcError(wire.INVALID_PARAMS, f"{place} is larger than {LARGEST} bytes: read a part of it otherwise")
        return file.read()


def _count(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


def _failed(path: Any, error: OSError) -> RpcError:
    if isinstance(error, FileNotFoundError):
        return RpcError(wire.NOT_FOUND, f"Resource not found: {path}")
    return RpcError(wire.INTERNAL_ERROR, f"{path}: {error.strerror or error}")


def names_of(call: Any, paths: Sequence[str]) -> frozenset[str]:
    """The real paths that a question of the agent is about: those of its diffs and locations, and of its input."""
    given = call.values() if isinstance(call, dict) else ()
    named = [*paths, *(value for value in given if isinstance(value, str) and os.path.isabs(value))]
    return frozenset(os.path.realpath(name) for name in named if "\0" not in name)
