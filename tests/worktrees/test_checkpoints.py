"""Files go back to any checkpoint, exactly, and forth again; nothing that no checkpoint has is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from coder_nb.errors import Conflict, NotFound
from coder_nb.ids import encode, new_id
from coder_nb.settings import Settings
from coder_nb.worktrees.state import ref
from coder_nb.worktrees.worktrees import Worktrees

pytestmark = pytest.mark.anyio


def seen(root: Path) -> dict[str, tuple[bytes, int]]:
    found = {}
    for place in sorted(root.rglob("*")):
        if place.name != ".git" and (place.is_symlink() or place.is_file()):
            content = os.fsencode(place.readlink()) if place.is_symlink() else place.read_bytes()
            found[place.relative_to(root).as_posix()] = (content, place.lstat().st_mode & 0o111)
    return found


def first(root: Path) -> None:
    (root / "tool.sh").write_text("#!/bin/sh\n")
    (root / "tool.sh").chmod(0o755)
    (root / "link").symlink_to("a.txt")
    (root / "out").symlink_to("/nowhere/at/all")
    (root / "bin.dat").write_bytes(bytes(range(256)))
    (root / "näme with space.txt").write_text("x\n")


def second(root: Path) -> None:
    (root / "tool.sh").chmod(0o644)
    (root / "link").unlink()
    (root / "link").write_text("a file now\n")
    (root / "out").unlink()
    (root / "bin.dat").unlink()
    (root / "a.txt").unlink()
    (root / "a.txt").mkdir()
    (root / "a.txt" / "deep.txt").write_text("in a folder\n")
    (root / "src" / "b.py").unlink()
    (root / "src").rmdir()
    (root / "src").write_text("a file\n")
    (root / "own.log").write_text("ignored\n")


async def restored(worktrees: Worktrees, state: Any, to: str) -> str:
    undo = new_id()
    await worktrees.restore(state, to, restore_id=undo)
    await worktrees.settle_restore(state, undo, counts=True)
    return undo


async def test_files_go_back_and_forth_again_exactly(desk: Any) -> None:
    desk.checkout.write(".gitignore", "*.log\n")
    desk.checkout.commit()
    state = await desk.ensure()
    looks = {}
    for work in (lambda root: None, first, second):
        work(state.root)
        checkpoint = new_id()
        await desk.worktrees.checkpoint(state, checkpoint)
        looks[checkpoint] = {path: one for path, one in seen(state.root).items() if path != "own.log"}
    now = seen(state.root)
    for checkpoint, look in looks.items():
        undo = await restored(desk.worktrees, state, checkpoint)
        assert seen(state.root) == look | {"own.log": (b"ignored\n", 0)}
        assert desk.checkout.git("-C", state.path, "diff", "--cached", "--name-only") == b""
        await restored(desk.worktrees, state, undo)
        assert seen(state.root) == now


async def test_the_agents_own_commits_go_back_and_forth_as_well(desk: Any) -> None:
    desk.checkout.write("a.txt", "uncommitted\n")
    state = await desk.ensure()
    start = new_id()
    await desk.worktrees.checkpoint(state, start)
    git = ("-C", state.path)
    (state.root / "a.txt").write_text("agent\n")
    desk.checkout.git(*git, "commit", "-qam", "the agent's")
    head = desk.checkout.git(*git, "rev-parse", "HEAD")
    undo = await restored(desk.worktrees, state, start)
    assert desk.checkout.git(*git, "rev-parse", "HEAD").decode().strip() == state.base_commit
    assert desk.checkout.git(*git, "status", "--porcelain") == b""
    await restored(desk.worktrees, state, undo)
    assert desk.checkout.git(*git, "rev-parse", "HEAD") == head
    assert (state.root / "a.txt").read_text() == "agent\n"


async def test_in_place_only_what_differs_is_written_and_the_rest_is_the_users(
    checkout: Any, worktrees: Worktrees
) -> None:
    checkout.write(".env", "KEY=1\n")
    state = await worktrees.ensure("s", checkout.root, has_pending=False, isolation="none")
    start = new_id()
    await worktrees.checkpoint(state, start)
    head = checkout.git("rev-parse", "HEAD")
    checkout.write("a.txt", "agent\n")
    checkout.write("new.txt", "agent\n")
    checkout.write(".env", "KEY=2\n")
    checkout.git("add", "new.txt")
    index = (checkout.root / ".git" / "index").read_bytes()
    await restored(worktrees, state, start)
    assert checkout.read("a.txt") == b"one\ntwo\nthree\n"
    assert not (checkout.root / "new.txt").exists()
    assert checkout.read(".env") == b"KEY=2\n"
    assert (checkout.root / ".git" / "index").read_bytes() == index
    assert checkout.git("rev-parse", "HEAD") == head


async def test_what_no_checkpoint_has_stands_in_the_way_and_is_left(desk: Any) -> None:
    desk.checkout.write(".gitignore", "*.log\n")
    state = await desk.ensure()
    start = new_id()
    await desk.worktrees.checkpoint(state, start)
    (state.root / "a.txt").unlink()
    (state.root / "a.txt").mkdir()
    (state.root / "a.txt" / "kept.log").write_text("ignored\n")
    with pytest.raises(Conflict, match=r"a\.txt: a folder with files that git ignores"):
        await desk.worktrees.restore(state, start, restore_id=new_id())
    assert (state.root / "a.txt" / "kept.log").read_text() == "ignored\n"


async def test_a_restore_that_does_not_count_is_taken_back_but_for_what_was_written_since(desk: Any) -> None:
    state = await desk.ensure()
    start, undo = new_id(), new_id()
    await desk.worktrees.checkpoint(state, start)
    (state.root / "a.txt").write_text("agent\n")
    (state.root / "b.txt").write_text("agent\n")
    await desk.worktrees.restore(state, start, restore_id=undo)
    (state.root / "a.txt").write_text("later\n")
    assert await desk.worktrees.unsettled(state) == (undo,)
    await desk.worktrees.settle_restore(state, undo, counts=False)
    assert (state.root / "a.txt").read_text() == "later\n"
    assert (state.root / "b.txt").read_text() == "agent\n"
    assert await desk.worktrees.unsettled(state) == ()


async def test_checkpoints_are_pruned_by_age_and_by_count(checkout: Any, tmp_path: Path) -> None:
    worktrees = Worktrees(tmp_path / "w", Settings(checkpoint_days=10, checkpoint_limit=3))
    state = await worktrees.ensure("s", checkout.root, has_pending=False)
    now, day = 1_700_000_000.0, 86_400.0
    ids = [encode(int((now - age * day) * 1000), 0) for age in (11, 9, 8, 7, 6)]
    for one in ids:
        await worktrees.checkpoint(state, one)
    assert await worktrees.prune(state, now=now) == 2
    assert await worktrees.checkpoint_ids("s", checkout.root) == frozenset(ids[2:])
    with pytest.raises(NotFound, match="not kept any more"):
        await worktrees.restore(state, ids[0], restore_id=new_id())
    assert checkout.git("for-each-ref", ref("s", "restoring")) == b""
