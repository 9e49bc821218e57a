"""What is decided about the changes of one session: in the checkout, in its worktree, on a branch or in a commit."""

from __future__ import annotations

import asyncio
import base64
import mimetypes
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from coder_nb.core import parts
from coder_nb.core.changes import Change, FileContent, FileDelta, Preview
from coder_nb.errors import ApplyConflict, Conflict
from coder_nb.worktrees import cells, commits, deltas, files, review
from coder_nb.worktrees.landing import blob_content, checked_out, store_blob
from coder_nb.worktrees.state import Applied, WorktreeState, ref

if TYPE_CHECKING:
    from coder_nb.worktrees.worktrees import Worktrees

IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")
MOST_IMAGE = 8 * 1024 * 1024
MOST_TEXT = deltas.SHOWN


class Decisions:
    """Calls for one repository run one after another, as those of `Worktrees`, beside which this stands."""

    def __init__(self, worktrees: Worktrees) -> None:
        self._worktrees = worktrees
        self._timeout = worktrees.timeout

    async def divide(
        self, state: WorktreeState, change: Change, chosen: Collection[str], *, rejecting: bool
    ) -> tuple[Change, Change]:
        """A change as the part that is decided, and the part that stays pending.

        Raises `ApplyConflict` where the chosen hunks alone would leave something that no program can open.
        """
        parts.check_divisible(change)
        taken = {hunk.id for hunk in change.hunks if (hunk.id in chosen) is not rejecting}
        root = state.checkout
        async with self._worktrees.at(state):
            old, new = [await self._blob(state, blob) for blob in (change.old_blob, change.new_blob)]
            content = parts.with_chosen(old, new, change.hunks, taken)
            parts.check_still_readable(change.path, content)
            middle = await store_blob(root, content, timeout=self._timeout)
            first, second = parts.halves(change, taken, middle, named="first" if rejecting else "second")
            first, second = [await cells.told(root, half, timeout=self._timeout) for half in (first, second)]
        return (second, first) if rejecting else (first, second)

    async def revert(self, state: WorktreeState, change: Change) -> tuple[Applied, WorktreeState]:
        """Take an applied change out of the checkout and of the base, so that it is to be decided again."""
        if state.isolation == "none":
            raise Conflict("The agents work in your files themselves here: restore the checkpoint before the turn.")
        back = parts.inverse(change)
        async with self._worktrees.at(state):
            try:
                options = {"timeout": self._timeout}
                tree = await commits.tree_with(state.root, state.base_commit, [back], **options, merged=True)
            except ApplyConflict:
                note = f"A later change of {change.path} stands on this one: revert that first."
                return Applied(path=change.path, status="conflict", note=note), state
            kept_as = ref(state.session_id, "undo", change.id)
            done = await review.revert(state.checkout, change, timeout=self._timeout, kept_as=kept_as)
        if done.status == "applied":
            state = await self._worktrees.rebase_onto(state, tree)
        return done, state

    async def pending(self, state: WorktreeState, paths: Collection[str]) -> list[FileDelta]:
        """What the worktree has at some paths that its base has not."""
        async with self._worktrees.at(state):
            found = await deltas.list_deltas(state, state.base_commit, timeout=self._timeout)
        return [delta for delta in found if delta.path in paths or delta.old_path in paths]

    async def put_back(self, state: WorktreeState, part: Change) -> None:
        """Take hunks out of the worktree's file, which must still be what they were chosen in."""
        async with self._worktrees.at(state):
            await deltas.keep(state, timeout=self._timeout)
            found = await asyncio.to_thread(files.look, state.root, part.path)
            blob = None
            if found is not None:
                blob = await store_blob(state.root, found.content, part.path, timeout=self._timeout)
            if blob != part.new_blob:
                raise ApplyConflict(f"{part.path} has changed in the worktree since this was shown: look again.")
            await review.reject(state.root, part, timeout=self._timeout)
            await deltas.keep(state, timeout=self._timeout)

    async def preview(self, path: str, changes: Sequence[Change]) -> tuple[Preview, ...]:
        """What applying each would do to the checkout of a directory as it is now."""
        repository = await self._worktrees.locate(Path(path))
        async with self._worktrees.at(repository):
            return tuple([await review.preview(repository.root, c, timeout=self._timeout) for c in changes])

    async def commit(self, state: WorktreeState, changes: Sequence[Change], *, to: str, message: str) -> str:
        """Commit changes onto a branch, or onto HEAD where `to` is empty; gives the commit.

        Raises `ApplyConflict` before anything is written, where one of them does not fit.
        """
        root = state.checkout
        if state.shadow:
            raise Conflict("This folder has no git repository to commit to: apply without `to` and `commit`.")
        async with self._worktrees.at(state):
            if to:
                return await commits.onto_branch(root, to, changes, message, timeout=self._timeout)
            onto = commits.OntoHead(root, changes, message, timeout=self._timeout)
            await onto.prepare()
            for change in changes:
                seen = await review.preview(root, change, timeout=self._timeout)
                if seen.outcome == "conflict":
                    raise ApplyConflict(seen.note)
            for change in changes:
                kept_as = ref(state.session_id, "undo", change.id)
                done = await review.apply(root, change, timeout=self._timeout, kept_as=kept_as)
                if done.status == "conflict":
                    raise ApplyConflict(done.note)
            return await onto.finish()

    async def content(self, path: str, change: Change, *, old: bool) -> FileContent:
        """A file before or after a change, to look at."""
        blob, mode = (change.old_blob, change.old_mode) if old else (change.new_blob, change.new_mode)
        name = change.old_path if old and change.old_path else change.path
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if blob is None or mode == deltas.SUBMODULE:
            return FileContent(media_type=media_type, size=0, note="There is no such file.")
        repository = await self._worktrees.locate(Path(path))
        async with self._worktrees.at(repository):
            data = await checked_out(repository.root, blob, name, timeout=self._timeout)
        return shown(data, media_type)

    async def _blob(self, state: WorktreeState, blob: str | None) -> bytes:
        return b"" if blob is None else await blob_content(state.checkout, blob, timeout=self._timeout)


def shown(data: bytes, media_type: str) -> FileContent:
    """Content as a page can show it."""
    found = FileContent(media_type=media_type, size=len(data))
    if media_type in IMAGES:
        if len(data) > MOST_IMAGE:
            return replace(found, note="The image is too large to be shown here.")
        return replace(found, base64=base64.b64encode(data).decode())
    if b"\0" in data:
        return replace(found, note="The file is binary.")
    if len(data) > MOST_TEXT:
        return replace(found, note="The file is too large to be shown here.")
    return replace(found, text=data.decode("utf-8", "replace"))
