"""The way of one reviewed change: into the checkout, back out of it, out of the worktree, and into the base."""

from __future__ import annotations

import asyncio
from pathlib import Path

from coder_nb.core.changes import Change, Clash, FileDelta, Preview, is_secret
from coder_nb.core.parts import inverse
from coder_nb.errors import ApplyConflict
from coder_nb.worktrees import files, landing, undo
from coder_nb.worktrees.commits import tree_with
from coder_nb.worktrees.files import LINK
from coder_nb.worktrees.landing import Landing, Plan, blob_content, checked_out
from coder_nb.worktrees.merge import clashes
from coder_nb.worktrees.state import Applied

__all__ = ["apply", "preview", "reject", "revert", "tree_with"]


async def apply(root: Path, change: Change | FileDelta, *, timeout: float, kept_as: str | None = None) -> Applied:
    """Bring a change into the checkout at `root`, wholly or not at all; twice is once.

    What it writes over is kept under the name of a ref, for `revert`.
    """
    try:
        plan = await Landing(root, change, timeout).plan()
        if kept_as is not None:
            await undo.keep(root, kept_as, change, plan, timeout=timeout)
        await asyncio.to_thread(landing.take, root, change, plan)
    except ApplyConflict as conflict:
        return Applied(path=change.path, status="conflict", note=conflict.message)
    except OSError as error:
        note = f"{change.path} cannot be written: {error.strerror or error}. Settle that, then apply again."
        return Applied(path=change.path, status="conflict", note=note)
    return Applied(path=change.path, status="applied")


async def revert(root: Path, change: Change, *, timeout: float, kept_as: str) -> Applied:
    """Take an applied change back out of the checkout: to the byte where nobody wrote there since, else by a merge."""
    try:
        landing.refuse(change)
        if await undo.restore(root, kept_as, change, timeout=timeout):
            return Applied(path=change.path, status="applied")
    except (ApplyConflict, OSError) as error:
        return Applied(path=change.path, status="conflict", note=f"{change.path} cannot be written: {error}")
    done = await apply(root, inverse(change), timeout=timeout)
    if done.status == "conflict":
        note = f"{change.path} was changed where this would be taken back: it stays as it is. Undo it there by hand."
        return Applied(path=change.path, status="conflict", note=note)
    return Applied(path=change.path, status="applied")


async def reject(root: Path, change: Change | FileDelta, *, timeout: float) -> None:
    """Give the file of a worktree at `root` its base content back."""
    found = await asyncio.to_thread(files.look, root, change.path)
    if change.old_blob is not None:
        path = change.old_path or change.path
        content = await blob_content(root, change.old_blob, timeout=timeout)
        if change.old_mode != LINK:
            content = await checked_out(root, change.old_blob, path, timeout=timeout)
        over = found if path == change.path else await asyncio.to_thread(files.look, root, path)
        modes = {"mode": change.old_mode, "old_mode": change.new_mode}
        await asyncio.to_thread(lambda: files.write(root, path, content, over=over, **modes))
    if found is not None and (change.old_blob is None or change.old_path is not None):
        await asyncio.to_thread(files.remove, root, change.path, found)


async def preview(root: Path, change: Change, *, timeout: float) -> Preview:
    """What applying would do to the checkout as it is now; nothing is written."""
    way = Landing(root, change, timeout)
    try:
        plan = await way.plan()
    except ApplyConflict as conflict:
        places = await _clashes(root, change, way)
        return Preview(change_id=change.id, outcome="conflict", note=conflict.message, clashes=places)
    except OSError as error:
        note = f"{change.path} cannot be read: {error.strerror or error}."
        return Preview(change_id=change.id, outcome="conflict", note=note)
    return outcome(change, plan)


def outcome(change: Change, plan: Plan) -> Preview:
    """A plan in the words of a preview."""
    if not plan.steps:
        return Preview(change_id=change.id, outcome="done", note="The checkout has this already.")
    if plan.merged:
        note = "Your file has changed since, elsewhere: both changes will be kept."
        return Preview(change_id=change.id, outcome="merges", note=note)
    return Preview(change_id=change.id, outcome="clean")


async def _clashes(root: Path, change: Change, way: Landing) -> tuple[Clash, ...]:
    """The places that differ, where both sides are text; what may hold secrets is not read."""
    secret = any(is_secret(path) for path in (change.path, change.old_path) if path)
    if change.operation not in ("edit", "rename") or change.binary or secret:
        return ()
    try:
        found = await asyncio.to_thread(files.look, root, change.old_path or change.path)
    except (ApplyConflict, OSError):
        return ()
    if found is None or found.link or LINK in (change.old_mode, change.new_mode):
        return ()
    ours, base, theirs = await way.sides(found)
    return await clashes(ours, base, theirs, timeout=way.timeout)
