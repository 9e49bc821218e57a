"""The way of one reviewed change: into the checkout, back out of the worktree, and into the base."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from coder_nb.core.changes import FileDelta, is_secret, keep_line_ends
from coder_nb.core.values import Change
from coder_nb.errors import ApplyConflict
from coder_nb.worktrees import files
from coder_nb.worktrees.files import LINK, Found
from coder_nb.worktrees.git import git
from coder_nb.worktrees.merge import merge
from coder_nb.worktrees.state import Applied

_SUBMODULE = "160000"


async def apply(root: Path, change: Change | FileDelta, *, timeout: float) -> Applied:
    """Bring a change into the checkout at `root`, wholly or not at all; twice is once."""
    try:
        _refuse(change)
        await _Landing(root, change, timeout).land()
    except ApplyConflict as conflict:
        return Applied(path=change.path, status="conflict", note=conflict.message)
    except OSError as error:
        note = f"{change.path} cannot be written: {error.strerror or error}. Settle that, then apply again."
        return Applied(path=change.path, status="conflict", note=note)
    return Applied(path=change.path, status="applied")


def _refuse(change: Change | FileDelta) -> None:
    for path in (change.path, change.old_path):
        if path is not None and is_secret(path):
            raise ApplyConflict(
                f"{path} may hold secrets: it is never written by an apply. Copy it by hand if it is meant."
            )
    if _SUBMODULE in (change.old_mode, change.new_mode):
        raise ApplyConflict(f"{change.path} is a repository inside the repository: update it by hand.")


class _Landing:
    """One change on its way into one checkout."""

    def __init__(self, root: Path, change: Change | FileDelta, timeout: float) -> None:
        self.root = root
        self.change = change
        self.timeout = timeout

    async def land(self) -> None:
        change = self.change
        going = change.operation == "delete"
        found = await asyncio.to_thread(files.look, self.root, change.path, going=going)
        if change.operation == "rename" and change.old_path is not None:
            await self._rename(change.old_path, found)
        elif change.operation == "delete":
            await self._delete(change.path, found)
        elif change.operation == "create":
            await self._create(found)
        else:
            await self._edit(found)

    async def _create(self, found: Found | None) -> None:
        if found is None:
            await self._write(self.change.new_blob, like=None, over=None)
        elif await self._is(found, self.change.new_mode, self.change.new_blob):
            await self._set_executable(found)
        else:
            raise ApplyConflict(
                f"The checkout has another file {self.change.path}: nothing was written. "
                "Move yours away, then apply again."
            )

    async def _delete(self, path: str, found: Found | None) -> None:
        if found is None:
            return
        if not await self._is(found, self.change.old_mode, self.change.old_blob):
            raise ApplyConflict(
                f"{path} has changed in the checkout: it was not deleted. Delete it by hand if it is meant."
            )
        await asyncio.to_thread(files.remove, self.root, path, found)

    async def _edit(self, found: Found | None) -> None:
        if found is None:
            raise ApplyConflict(
                f"{self.change.path} is gone from the checkout: nothing was written. Restore it, then apply again."
            )
        if await self._is(found, self.change.new_mode, self.change.new_blob):
            await self._set_executable(found)
            return
        blob = await self._merged(found)
        if blob is None:
            await self._set_executable(found)
        else:
            await self._write(blob, like=found, over=found)

    async def _rename(self, old_path: str, found: Found | None) -> None:
        source = await asyncio.to_thread(files.look, self.root, old_path, going=True)
        if found is None:
            if source is None:
                raise ApplyConflict(
                    f"{old_path} is gone from the checkout: nothing was written. Restore it, then apply again."
                )
            blob = await self._merged(source) or await self._hash(source.content)
            await self._write(blob, like=source, over=None)
        elif not await self._is(found, self.change.new_mode, self.change.new_blob) and (
            source is not None or await self._merged(found) is not None
        ):
            raise ApplyConflict(
                f"The checkout has another file {self.change.path}: nothing was written. "
                "Move yours away, then apply again."
            )
        if source is not None:
            if found is not None:
                await self._delete(old_path, source)
            else:
                await asyncio.to_thread(files.remove, self.root, old_path, source)

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
        base, theirs = await self._blob(change.old_blob), await self._blob(change.new_blob)
        ours = found.content
        if b"\r\n" not in base:
            ours = await self._blob(await self._hash(ours, change.old_path or change.path))
        result = await merge(change.path, ours, base, theirs, timeout=self.timeout)
        return None if result == ours else await self._hash(result)

    async def _is(self, found: Found, mode: str | None, blob: str | None) -> bool:
        """Whether what was found is the content of a blob, as it is or as git would store it."""
        if blob is None or found.link != (mode == LINK):
            return False
        if _blob_id(found.content, len(blob)) == blob:
            return True
        return not found.link and await self._hash(found.content, self.change.path) == blob

    async def _write(self, blob: str | None, *, like: Found | None, over: Found | None) -> None:
        change = self.change
        stored = await self._blob(blob)
        content = stored
        if change.new_mode != LINK:
            content = await checked_out(self.root, str(blob), change.path, timeout=self.timeout)
            if like is not None and not like.link and (content != stored or await self._converts(like)):
                content = keep_line_ends(content, like.content)
        modes = {"mode": change.new_mode, "old_mode": change.old_mode}
        await asyncio.to_thread(lambda: files.write(self.root, change.path, content, over=over, **modes))

    async def _converts(self, found: Found) -> bool:
        """Whether git would store the file otherwise than it is."""
        blob = await self._hash(found.content, self.change.path)
        return blob != _blob_id(found.content, len(blob))

    async def _set_executable(self, found: Found) -> None:
        modes = {"mode": self.change.new_mode, "old_mode": self.change.old_mode}
        await asyncio.to_thread(lambda: files.set_executable(self.root, self.change.path, found, **modes))

    async def _hash(self, content: bytes, path: str | None = None) -> str:
        """Store content as a blob; with a path, as `git add` would."""
        filters = [] if path is None else [f"--path={path}"]
        options = ("hash-object", "-w", "--stdin", *filters)
        return (await git(self.root, *options, input=content, timeout=self.timeout)).decode().strip()

    async def _blob(self, blob: str | None) -> bytes:
        return await git(self.root, "cat-file", "blob", str(blob), timeout=self.timeout)


def _blob_id(content: bytes, length: int) -> str:
    algorithm = hashlib.sha256 if length == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()


async def checked_out(root: Path, blob: str, path: str, *, timeout: float) -> bytes:
    """A blob's content as git would write it at a path, line ends and filters included."""
    return await git(root, "cat-file", "--filters", f"--path={path}", blob, timeout=timeout)


async def reject(root: Path, change: Change | FileDelta, *, timeout: float) -> None:
    """Give the file of a worktree at `root` its base content back."""
    found = await asyncio.to_thread(files.look, root, change.path)
    if change.old_blob is not None:
        path = change.old_path or change.path
        content = await git(root, "cat-file", "blob", change.old_blob, timeout=timeout)
        if change.old_mode != LINK:
            content = await checked_out(root, change.old_blob, path, timeout=timeout)
        over = found if path == change.path else await asyncio.to_thread(files.look, root, path)
        modes = {"mode": change.old_mode, "old_mode": change.new_mode}
        await asyncio.to_thread(lambda: files.write(root, path, content, over=over, **modes))
    if found is not None and (change.old_blob is None or change.old_path is not None):
        await asyncio.to_thread(files.remove, root, change.path, found)


async def tree_with(root: Path, base: str, applied: Sequence[Change | FileDelta], *, timeout: float) -> str:
    """The tree of a base with changes in it."""
    lines: list[str] = []
    for change in applied:
        for gone in (change.old_path, change.path if change.new_blob is None else None):
            if gone is not None:
                lines.append(f"0 {'0' * len(base)}\t{gone}\0")
        if change.new_blob is not None:
            lines.append(f"{change.new_mode} {change.new_blob}\t{change.path}\0")
    with TemporaryDirectory(prefix="coder-nb-") as scratch:
        env = {"GIT_INDEX_FILE": os.path.join(scratch, "index")}
        await git(root, "read-tree", base, env=env, timeout=timeout)
        told = os.fsencode("".join(lines))
        await git(root, "update-index", "-z", "--index-info", input=told, env=env, timeout=timeout)
        return (await git(root, "write-tree", env=env, timeout=timeout)).decode().strip()
