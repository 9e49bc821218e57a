"""Notebooks of changes, told by their cells."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from coder_nb.core.changes import Change, FileDelta
from coder_nb.core.notebooks import cell_deltas
from coder_nb.worktrees.landing import blob_content

Delta = TypeVar("Delta", Change, FileDelta)


async def told(root: Path, change: Delta, *, timeout: float) -> Delta:
    """The change with its cells, where it is one of a notebook whose lines are shown."""
    if not change.path.endswith(".ipynb") or change.binary or not change.hunks:
        return change
    blobs = (change.old_blob, change.new_blob)
    sides = [None if blob is None else await blob_content(root, blob, timeout=timeout) for blob in blobs]
    old, new = (None if side is None else side.decode("utf-8", "replace") for side in sides)
    return replace(change, cells=await asyncio.to_thread(cell_deltas, old, new))
