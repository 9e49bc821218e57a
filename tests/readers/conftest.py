"""Histories, written as the agents write them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of JSON lines beneath the home directory; text and bytes go as they are."""

    def written(name: str, lines: Iterable[Any], *, mtime: float | None = None, end: str = "\n") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = [line if isinstance(line, bytes) else _text(line).encode() for line in lines]
        path.write_bytes(b"\n".join(encoded) + end.encode())
        if mtime is not None:
            os.utime(path, (mtime, mtime))
        return path

    return written


def _text(line: Any) -> str:
    return line if isinstance(line, str) else json.dumps(line)
