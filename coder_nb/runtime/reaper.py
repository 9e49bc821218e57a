"""Finds worktrees whose session is gone and removes those that nobody can miss; `core.risk.may_take` decides."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from coder_nb.core.risk import Folder, WorktreeInfo, may_take
from coder_nb.core.sessions import SessionInfo
from coder_nb.errors import CoderError
from coder_nb.ids import is_id
from coder_nb.runtime.context import Context
from coder_nb.store.base import TreeRow
from coder_nb.worktrees.git import git
from coder_nb.worktrees.removal import GOING
from coder_nb.worktrees.state import MAKING

_log = logging.getLogger("coder_nb.reaper")


class _Found(NamedTuple):
    """A folder under the worktrees' root, and what is written down of it."""

    session_id: str
    folder: Path
    home: Path
    row: TreeRow | None


async def reap(context: Context, *, dry_run: bool) -> tuple[WorktreeInfo, ...]:
    """All worktrees on this machine; those whose session is gone are removed where that loses nothing."""
    sessions, rows = await _written_down(context)
    await _finish_begun(context, sessions)
    found = await asyncio.to_thread(_scan, context.worktrees.root, rows)
    told = [await _consider(context, one, sessions, dry_run=dry_run) for one in found]
    for info in told:
        if info.standing != "owned":
            _log.info("%s %s: %s", info.standing, info.path, info.why)
    return tuple(told)


async def _finish_begun(context: Context, sessions: Mapping[str, SessionInfo]) -> None:
    """Deletes folders whose removal was begun, and what was to become the worktree of a session that is gone."""
    try:
        names = await asyncio.to_thread(os.listdir, context.worktrees.root)
    except FileNotFoundError:
        return
    for name in names:
        going = name.endswith(GOING)
        session_id = name.removesuffix(GOING if going else MAKING)
        if session_id != name and is_id(session_id) and (going or session_id not in sessions):
            try:
                await context.worktrees.finish(session_id)
            except CoderError as error:
                _log.warning("%s", error.message)


async def _written_down(context: Context) -> tuple[dict[str, SessionInfo], dict[str, TreeRow]]:
    """The sessions by id, and the rows of worktrees by path, of those there are several of the latest."""
    sessions = {session.id: session for session in await context.store.catalog.sessions()}
    return sessions, {row.path: row for row in await context.store.trees.rows() if row.host == context.host}


def _scan(root: Path, rows: Mapping[str, TreeRow]) -> list[_Found]:
    if not root.is_dir():
        return []
    found = []
    for folder in sorted(place for place in root.iterdir() if is_id(place.name)):
        inside = [] if folder.is_symlink() or not folder.is_dir() else sorted(folder.iterdir())
        homes = [place for place in inside if place.name[0] != "." and ".aside-" not in place.name]
        home = homes[0] if homes else folder
        found.append(_Found(folder.name, folder, home, rows.get(str(home))))
    return found


async def _consider(
    context: Context, one: _Found, sessions: Mapping[str, SessionInfo], *, dry_run: bool
) -> WorktreeInfo:
    facts = await _facts(context, one, sessions)
    checkout = None if facts.owner else await _checkout(context, one)
    if not facts.owner and not facts.link and not facts.foreign:
        facts = replace(facts, risk=await context.worktrees.inspect(one.session_id, one.home, checkout))
    now = time.time()
    take, why = may_take(facts, now=now, grace=context.settings.orphan_grace)
    info = WorktreeInfo(
        path=str(one.home),
        session_id=one.session_id,
        checkout=one.row.checkout if one.row else str(checkout or ""),
        base_commit=one.row.base_commit if one.row else "",
        standing="owned" if facts.owner else "to take" if take else "left",
        why=why,
        idle_s=None if facts.touched_at is None else max(0.0, round(now - facts.touched_at, 1)),
        risk=facts.risk,
    )
    return info if dry_run or not take else await _take(context, one, info, checkout)


async def _take(context: Context, one: _Found, info: WorktreeInfo, checkout: Path | None) -> WorktreeInfo:
    """Removes a folder, if at this very moment nobody has it (again)."""
    sessions, _ = await _written_down(context)
    again = await _facts(context, one, sessions)
    again = replace(again, risk=await context.worktrees.inspect(one.session_id, one.home, checkout))
    take, why = may_take(again, now=time.time(), grace=context.settings.orphan_grace)
    if not take:
        return replace(info, standing="left", why=why, risk=again.risk)
    try:
        await context.worktrees.remove(one.session_id, checkout, forget=True)
        await context.store.trees.forget(str(one.home))
    except CoderError as error:
        return replace(info, standing="left", why=error.message)
    return replace(info, standing="taken")


async def _facts(context: Context, one: _Found, sessions: Mapping[str, SessionInfo]) -> Folder:
    session = sessions.get(one.session_id)
    if session is None and one.row is not None and one.row.status != "removed":
        session = sessions.get(one.row.session_id or "")
    return await asyncio.to_thread(
        lambda: Folder(
            path=str(one.folder),
            owner="" if session is None else f"the session {session.name!r} of {session.path}",
            foreign=context.worktrees.is_foreign(one.session_id),
            link=one.folder.is_symlink() or one.home.is_symlink(),
            touched_at=_touched_at(one),
        )
    )


def _touched_at(one: _Found) -> float | None:
    """When something was written last, as the folders tell; what lies deeper and differs is at risk anyway."""
    places = [one.folder, one.home]
    try:
        if one.home.is_dir() and not one.home.is_symlink():
            places += list(one.home.iterdir())
        return max(place.lstat().st_mtime for place in places)
    except OSError:
        return None


async def _checkout(context: Context, one: _Found) -> Path | None:
    """The checkout of a worktree whose session is gone: as it is written down, or as git tells."""
    if one.row is not None and one.row.checkout:
        return Path(one.row.checkout)
    try:
        said = await git(
            one.home, "rev-parse", "--path-format=absolute", "--git-common-dir", timeout=context.settings.git_timeout
        )
    except CoderError:
        return None
    common = Path(os.fsdecode(said.removesuffix(b"\n")))
    return common.parent if common.name == ".git" else None
