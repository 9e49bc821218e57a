"""How one change would come into a working tree: looked at first, as steps that are then taken, or only shown."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Literal

from coder_nb.core.changes import Change, FileDelta, is_secret
from coder_nb.core.entries import Value
from coder_nb.core.hunks import keep_line_ends
from coder_nb.errors import ApplyConflict
from coder_nb.worktrees import files
from coder_nb.worktrees.files import LINK, Found
from coder_nb.worktrees.git import git
from coder_nb.worktrees.merge import merge

_SUBMODULE = "160000"


class Step(Value):
    """One file of the working tree as it was found, and what it becomes."""

    path: str
    found: Found | None
    content: bytes | None = None
    """None: it is removed, or keeps its content and only gets the mode."""
    kind: Literal["write", "remove", "mode"] = "write"


class Plan(Value):
    """What brings a change into a working tree, in order; no steps where it is there already."""

    steps: tuple[Step, ...] = ()
    merged: bool = False
    """Whether the file has changed since the change was made, so that both had to be put together."""


def take(root: Path, change: Change | FileDelta, plan: Plan) -> None:
    """Take the steps. Raises `ApplyConflict` where a file is no longer as it was found."""
    modes = {"mode": change.new_mode, "old_mode": change.old_mode}
    for step in plan.steps:
        if step.kind == "remove" and step.found is not None:
            files.remove(root, step.path, step.found)
        elif step.kind == "mode" and step.found is not None:
            files.set_executable(root, step.path, step.found, **modes)
        elif step.content is not None:
            files.write(root, step.path, step.content, over=step.found, **modes)


def refuse(change: Change | FileDelta) -> None:
    """Raises `ApplyConflict` for what an apply never writes."""
    for path in (change.path, change.old_path):
        if path is not None and is_secret(path):
            raise ApplyConflict(
                f"{path} may hold secrets: it is never written by an apply. Copy it by hand if it is meant."
            )
    if _SUBMODULE in (change.old_mode, change.new_mode):
        raise ApplyConflict(f"{change.path} is a repository inside the repository: update it by hand.")


class Landing:
    """One change on its way into one working tree."""

    def __init__(self, root: Path, change: Change | FileDelta, timeout: float) -> None:
        self.root = root
        self.change = change
        self.timeout = timeout
        self._met = False

    async def plan(self) -> Plan:
        """The steps. Raises `ApplyConflict` where it cannot be told what to do; nothing is written."""
        change = self.change
        refuse(change)
        going = change.operation == "delete"
        found = await asyncio.to_thread(files.look, self.root, change.path, going=going)
        if change.operation == "rename" and change.old_path is not None:
            steps = await self._rename(change.old_path, found)
        elif change.operation == "delete":
            steps = await self._delete(change.path, found)
        elif change.operation == "create":
            steps = await self._create(found)
        else:
            steps = await self._edit(found)
        return Plan(steps=tuple(step for step in steps if step is not None), merged=self._met)

    async def _create(self, found: Found | None) -> list[Step | None]:
        if found is None:
            return [await self._write(self.change.new_blob, like=None, over=None)]
        if await self._is(found, self.change.new_mode, self.change.new_blob):
            return [self._mode(found)]
        raise ApplyConflict(
            f"The checkout has another file {self.change.path}: nothing was written. Move yours away, then apply again."
        )

    async def _delete(self, path: str, found: Found | None) -> list[Step | None]:
        if found is None:
            return []
        if not await self._is(found, self.change.old_mode, self.change.old_blob):
            raise ApplyConflict(
                f"{path} has changed in the checkout: it was not deleted. Delete it by hand if it is meant."
            )
        return [Step(path=path, found=found, kind="remove")]

    async def _edit(self, found: Found | None) -> list[Step | None]:
        if found is None:
            raise ApplyConflict(
                f"{self.change.path} is gone from the checkout: nothing was written. Restore it, then apply again."
            )
        if await self._is(found, self.change.new_mode, self.change.new_blob):
            return [self._mode(found)]
        blob = await self._merged(found)
        return [self._mode(found) if blob is None else await self._write(blob, like=found, over=found)]

    async def _rename(self, old_path: str, found: Found | None) -> list[Step | None]:
        source = await asyncio.to_thread(files.look, self.root, old_path, going=True)
        if found is None:
            if source is None:
                raise ApplyConflict(
                    f"{old_path} is gone from the checkout: nothing was written. Restore it, then apply again."
                )
            blob = await self._merged(source) or await self._hash(source.content)
            write = await self._write(blob, like=source, over=None)
            return [write, Step(path=old_path, found=source, kind="remove")]
        if not await self._is(found, self.change.new_mode, self.change.new_blob) and (
            source is not None or await self._merged(found) is not None
        ):
            raise ApplyConflict(
                f"The checkout has another file {self.change.path}: nothing was written. "
                "Move yours away, then apply again."
            )
        return await self._delete(old_path, source)

    async def _merged(self, found: Found) -> str | None:
        """The blob to write over what was found; None where it has the change in it already."""
        change = self.change
        if await self._is(found, change.old_mode, change.old_blob):
            return change.new_blob
        if found.link or LINK in (change.old_mode, change.new_mode):
            raise ApplyConflict(
                f"{change.path} has changed in the checkout, and one side is a symbolic link: nothing was written. "
                "Undo the change of yours, or make this one by hand."
            )
        self._met = True
        result, ours = await self._together(found)
        return None if result == ours else await self._hash(result)

    async def _together(self, found: Found) -> tuple[bytes, bytes]:
        ours, base, theirs = await self.sides(found)
        return await merge(self.change.path, ours, base, theirs, timeout=self.timeout), ours

    async def sides(self, found: Found) -> tuple[bytes, bytes, bytes]:
        """What stands there, what the change was made from, and what it makes of that."""
        change = self.change
        base, theirs = await self._blob(change.old_blob), await self._blob(change.new_blob)
        ours = found.content
        if b"\r\n" not in base:
            ours = await self._blob(await self._hash(ours, change.old_path or change.path))
        return ours, base, theirs

    async def _is(self, found: Found, mode: str | None, blob: str | None) -> bool:
        """Whether what was found is the content of a blob, as it is or as git would store it."""
        if blob is None or found.link != (mode == LINK):
            return False
        if blob_id(found.content, len(blob)) == blob:
            return True
        return not found.link and await self._hash(found.content, self.change.path) == blob

    async def _write(self, blob: str | None, *, like: Found | None, over: Found | None) -> Step:
        change = self.change
        stored = await self._blob(blob)
        content = stored
        if change.new_mode != LINK:
            content = await checked_out(self.root, str(blob), change.path, timeout=self.timeout)
            if like is not None and not like.link and (content != stored or await self._converts(like)):
                content = keep_line_ends(content, like.content)
        return Step(path=change.path, found=over, content=content)

    async def _converts(self, found: Found) -> bool:
        """Whether git would store the file otherwise than it is."""
        blob = await self._hash(found.content, self.change.path)
        return blob != blob_id(found.content, len(blob))

    def _mode(self, found: Found) -> Step | None:
        wanted = files.permissions(found, mode=self.change.new_mode, old_mode=self.change.old_mode)
        return Step(path=self.change.path, found=found, kind="mode") if wanted != found.permissions else None

    async def _hash(self, content: bytes, path: str | None = None) -> str:
        return await store_blob(self.root, content, path, timeout=self.timeout)

    async def _blob(self, blob: str | None) -> bytes:
        return await blob_content(self.root, str(blob), timeout=self.timeout)


def blob_id(content: bytes, length: int) -> str:
    """The name that git gives a content, whose length tells the algorithm."""
    algorithm = hashlib.sha256 if length == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()


async def store_blob(root: Path, content: bytes, path: str | None = None, *, timeout: float) -> str:
    """Store content as a blob; with a path, as `git add` would."""
    filters = [] if path is None else [f"--path={path}"]
    options = ("hash-object", "-w", "--stdin", *filters)
    return (await git(root, *options, input=content, timeout=timeout)).decode().strip()


async def blob_content(root: Path, blob: str, *, timeout: float) -> bytes:
    """A blob as it is stored."""
    return await git(root, "cat-file", "blob", blob, timeout=timeout)


async def checked_out(root: Path, blob: str, path: str, *, timeout: float) -> bytes:
    """A blob's content as git would write it at a path, line ends and filters included."""
    return await git(root, "cat-file", "--filters", f"--path={path}", blob, timeout=timeout)
