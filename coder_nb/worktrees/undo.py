"""What an apply found and what it left, kept so that it can be taken back to the byte.

A private ref holds a tree of them: entries ``<n>.before.<permissions>`` and ``<n>.after``, for the n-th path of the
change. So undo takes back what the apply did, and nothing where the user had done the same before.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from coder_nb.core.changes import Change, FileDelta
from coder_nb.core.entries import Value
from coder_nb.worktrees import files
from coder_nb.worktrees.files import Found
from coder_nb.worktrees.git import git, run
from coder_nb.worktrees.landing import Plan, blob_content, blob_id, store_blob


class Image(Value):
    """One path before and after an apply; None where nothing was there."""

    before: bytes | None = None
    permissions: int = 0
    after: bytes | None = None


async def keep(root: Path, name: str, change: Change | FileDelta, plan: Plan, *, timeout: float) -> None:
    """Keep what the steps will write over, before they are taken; of a second apply, which writes nothing, nothing."""
    if not plan.steps and (await run(root, "rev-parse", "--verify", "--quiet", name, timeout=timeout)).code == 0:
        return
    lines = []
    for number, path in enumerate(paths(change)):
        step = next((step for step in plan.steps if step.path == path), None)
        found = await asyncio.to_thread(files.look, root, path, going=True) if step is None else step.found
        if found is not None and found.link:
            continue
        writes = step is not None and step.kind != "mode"
        after = step.content if step is not None and writes else None if found is None else found.content
        sides = {} if found is None else {f"before.{found.permissions:o}": found.content}
        sides |= {} if after is None else {"after": after}
        for side, content in sides.items():
            lines.append(f"100644 blob {await _stored(root, content, change, timeout=timeout)}\t{number}.{side}\n")
    tree = (await git(root, "mktree", input="".join(sorted(lines)).encode(), timeout=timeout)).decode().strip()
    await git(root, "update-ref", name, tree, timeout=timeout)


async def _stored(root: Path, content: bytes, change: Change | FileDelta, *, timeout: float) -> str:
    """The blob of a content: one of the change's own, where it is just that."""
    for blob in (change.old_blob, change.new_blob):
        if blob is not None and blob_id(content, len(blob)) == blob:
            return blob
    return await store_blob(root, content, timeout=timeout)


async def restore(root: Path, name: str, change: Change | FileDelta, *, timeout: float) -> bool:
    """Put back what was kept, where all is still as the apply left it; False where it is not, or nothing was kept."""
    images = await _images(root, name, timeout=timeout)
    if images is None:
        return False
    found: list[tuple[str, Image, Found | None]] = []
    for number, path in enumerate(paths(change)):
        image = images.get(number, Image())
        here = await asyncio.to_thread(files.look, root, path, going=image.after is None)
        if (None if here is None or here.link else here.content) != image.after or (here is not None and here.link):
            return False
        found.append((path, image, here))
    await asyncio.to_thread(_put_back, root, found)
    return True


def _put_back(root: Path, found: list[tuple[str, Image, Found | None]]) -> None:
    for path, image, here in found:
        if image.before is not None and (here is None or here.content != image.before):
            files.write(root, path, image.before, over=here, mode="100644", old_mode="100644")
        if image.before is not None:
            files.place_of(root, path).chmod(image.permissions)
    for path, image, here in found:
        if image.before is None and here is not None:
            files.remove(root, path, here)


async def _images(root: Path, name: str, *, timeout: float) -> dict[int, Image] | None:
    listed = await run(root, "ls-tree", "-z", name, timeout=timeout)
    if listed.code != 0:
        return None
    images: dict[int, Image] = {}
    for line in filter(None, os.fsdecode(listed.out).split("\0")):
        facts, entry = line.split("\t", 1)
        content = await blob_content(root, facts.split(" ")[2], timeout=timeout)
        number, side, *permissions = entry.split(".")
        known = images.get(int(number), Image())
        if side == "before":
            images[int(number)] = Image(before=content, permissions=int(permissions[0], 8), after=known.after)
        else:
            images[int(number)] = Image(before=known.before, permissions=known.permissions, after=content)
    return images


def paths(change: Change | FileDelta) -> tuple[str, ...]:
    """The paths that a change touches."""
    return (change.path,) if change.old_path in (None, change.path) else (change.path, str(change.old_path))
