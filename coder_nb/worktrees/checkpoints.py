"""Checkpoints: the files before each turn, in private refs, and the way back to them, which a crash takes back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from coder_nb.core.changes import Change
from coder_nb.core.entries import Value
from coder_nb.errors import ApplyConflict, Conflict, NotFound
from coder_nb.ids import is_id, made_at
from coder_nb.worktrees import files
from coder_nb.worktrees.git import git, run
from coder_nb.worktrees.snapshot import head_of, of_worktree, resolve
from coder_nb.worktrees.state import WorktreeState, ref

_SUBMODULE = "160000"


class _Step(Value):
    """What becomes of one path: its mode and blob, all zeros where there is no file."""

    path: str
    old_mode: str
    new_mode: str
    new_blob: str

    @property
    def removes(self) -> bool:
        return not self.new_mode.strip("0")


async def take(state: WorktreeState, checkpoint_id: str, *, timeout: float) -> str:
    """Keep the files as they are now; gives the commit."""
    made = await of_worktree(state, timeout=timeout)
    name = ref(state.session_id, "checkpoints", checkpoint_id)
    await git(state.root, "update-ref", name, made.commit, timeout=timeout)
    return made.commit


async def kept(root: Path, session_id: str, *, timeout: float) -> frozenset[str]:
    """The ids of all checkpoints that are there."""
    return frozenset(await _names(root, session_id, "checkpoints", timeout=timeout))


async def unsettled(state: WorktreeState, *, timeout: float) -> tuple[str, ...]:
    """The ids of restores that a crash cut short."""
    return tuple(await _names(state.root, state.session_id, "restoring", timeout=timeout))


async def _names(root: Path, session_id: str, kind: str, *, timeout: float) -> list[str]:
    prefix = ref(session_id, kind)
    listed = await git(root, "for-each-ref", "--format=%(refname)", f"{prefix}/", timeout=timeout)
    return [name.removeprefix(f"{prefix}/") for name in listed.decode().split()]


async def prune(state: WorktreeState, *, oldest: float, most: int, timeout: float) -> int:
    """Forget checkpoints made before a time (in seconds), and the oldest beyond so many; gives how many."""
    names = await _names(state.root, state.session_id, "checkpoints", timeout=timeout)
    ids = sorted(one for one in names if is_id(one))
    gone = [one for at, one in enumerate(ids) if len(ids) - at > most or made_at(one) < oldest * 1000]
    lines = "".join(f"delete {ref(state.session_id, 'checkpoints', one)}\n" for one in gone)
    if gone:
        await git(state.root, "update-ref", "--stdin", input=lines.encode(), timeout=timeout)
    return len(gone)


async def restore(state: WorktreeState, checkpoint_id: str, restore_id: str, *, timeout: float) -> str:
    """Bring the files back to a checkpoint; before that, what they are now becomes the checkpoint `restore_id`."""
    target = await resolve(state.root, ref(state.session_id, "checkpoints", checkpoint_id), timeout=timeout)
    if target is None:
        raise NotFound("The files of that turn are not kept any more: `chat.checkpoints` says which are.")
    before = await take(state, restore_id, timeout=timeout)
    steps = await _steps(state.root, before, target, timeout=timeout)
    await asyncio.to_thread(_check_room, state.root, steps)
    await git(state.root, "update-ref", ref(state.session_id, "restoring", restore_id), target, timeout=timeout)
    await _take_steps(state.root, steps, timeout=timeout)
    await _move_head(state, target, timeout=timeout)
    return before


async def settle(state: WorktreeState, restore_id: str, *, counts: bool, timeout: float) -> None:
    """The end of a restore: as it is, or taken back, file by file, where nobody else has written since."""
    name = ref(state.session_id, "restoring", restore_id)
    target = await resolve(state.root, name, timeout=timeout)
    if target is None:
        return
    before = await resolve(state.root, ref(state.session_id, "checkpoints", restore_id), timeout=timeout)
    if not counts and before is not None:
        now = (await of_worktree(state, timeout=timeout)).commit
        brought = {step.path for step in await _steps(state.root, before, target, timeout=timeout)}
        brought -= {step.path for step in await _steps(state.root, now, target, timeout=timeout)}
        back = [step for step in await _steps(state.root, now, before, timeout=timeout) if step.path in brought]
        await _take_steps(state.root, back, timeout=timeout)
        await _move_head(state, before, timeout=timeout)
    await git(state.root, "update-ref", "-d", name, timeout=timeout)


async def as_left(root: Path, commit: str, changes: Sequence[Change], *, timeout: float) -> list[Change]:
    """Those changes whose file is in a commit just as the change has left it."""
    if not changes:
        return []
    paths = sorted({change.path for change in changes})
    listed = os.fsdecode(await git(root, "ls-tree", "-z", "--full-tree", commit, "--", *paths, timeout=timeout))
    lines = (line.split("\t", 1) for line in listed.split("\0") if line)
    there = {path: facts.split(" ")[2] for facts, path in lines}
    return [change for change in changes if there.get(change.path) == change.new_blob]


async def _steps(root: Path, before: str, after: str, *, timeout: float) -> list[_Step]:
    """What leads from one commit's files to another's; repositories inside are left alone."""
    listing = ("diff-tree", "-r", "--no-renames", "--raw", "--no-abbrev", "-z", before, after, "--")
    words = iter(os.fsdecode(await git(root, *listing, timeout=timeout)).split("\0"))
    steps = []
    for word in words:
        if word.startswith(":"):
            old_mode, new_mode, _, new_blob, _ = word[1:].split(" ")
            path = next(words)
            if _SUBMODULE not in (old_mode, new_mode):
                steps.append(_Step(path=path, old_mode=old_mode, new_mode=new_mode, new_blob=new_blob))
    return steps


def _check_room(root: Path, steps: Iterable[_Step]) -> None:
    """Raises `Conflict` where something that no checkpoint has stands in the way, before anything is written."""
    going = {step.path for step in steps if step.removes}
    stuck: list[str] = []
    for step in steps:
        if not step.removes and (root / step.path).is_dir() and not (root / step.path).is_symlink():
            inside = (Path(folder) / name for folder, _, names in os.walk(root / step.path) for name in names)
            if any(place.relative_to(root).as_posix() not in going for place in inside):
                stuck.append(step.path)
    if stuck:
        raise Conflict(
            f"{', '.join(stuck[:5])}: a folder with files that git ignores stands where a file has to come back. "
            "Nothing was restored; move it away, then try again."
        )


async def _take_steps(root: Path, steps: Collection[_Step], *, timeout: float) -> None:
    """Remove and write, each file in one step and never through a link."""
    wanted = [step for step in steps if not step.removes]
    await asyncio.to_thread(_remove_all, root, [step.path for step in steps if step.removes])
    if not wanted:
        return
    with TemporaryDirectory(prefix="coder-nb-") as scratch:
        env = {"GIT_INDEX_FILE": os.path.join(scratch, "index")}
        lines = "".join(f"{step.new_mode} {step.new_blob}\t{step.path}\0" for step in wanted)
        await git(root, "update-index", "-z", "--index-info", input=os.fsencode(lines), env=env, timeout=timeout)
        out = Path(scratch) / "files"
        await git(root, "checkout-index", "--all", "--force", f"--prefix={out}/", env=env, timeout=timeout)
        await asyncio.to_thread(_write_all, root, out, wanted)


def _remove_all(root: Path, paths: Iterable[str]) -> None:
    for path in paths:
        found = files.look(root, path, going=True)
        if found is not None:
            files.remove(root, path, found)


def _write_all(root: Path, out: Path, steps: Iterable[_Step]) -> None:
    for step in steps:
        _write(root, out, step)


def _write(root: Path, out: Path, step: _Step) -> None:
    place = out / step.path
    link = step.new_mode == files.LINK
    content = os.fsencode(place.readlink()) if link else place.read_bytes()
    over = files.look(root, step.path)
    old_mode = step.old_mode if step.old_mode.strip("0") else None
    try:
        files.write(root, step.path, content, mode=step.new_mode, old_mode=old_mode, over=over)
    except ApplyConflict:
        if not link:
            raise
        # a link out of the tree was there before, so that it may come back
        over_it = root / step.path
        over_it.unlink(missing_ok=True)
        over_it.symlink_to(os.fsdecode(content))


async def _move_head(state: WorktreeState, commit: str, *, timeout: float) -> None:
    """Put a worktree's own HEAD back to where it was at a checkpoint, and unstage what was staged since."""
    if state.isolation == "none":
        return
    named = await run(state.root, "symbolic-ref", "--quiet", "HEAD", timeout=timeout)
    wanted = (await head_of(state.root, commit, timeout=timeout)).commit
    under = (await head_of(state.root, state.base_commit, timeout=timeout)).commit
    if named.code != 0:
        head = state.base_commit if wanted == under else wanted
        await git(state.root, "update-ref", "--no-deref", "HEAD", head, timeout=timeout)
    await git(state.root, "reset", "--quiet", "--mixed", timeout=timeout)
