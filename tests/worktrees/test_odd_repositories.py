"""Repositories that are laid out in less common ways serve like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coder_nb.worktrees.worktrees import Worktrees

pytestmark = pytest.mark.anyio


async def around(desk: Any) -> None:
    """One turn and its apply: the way of every change."""
    deltas = await desk.turn(lambda root: (root / "a.txt").write_text("one\nagent\nthree\n"))
    assert [delta.path for delta in deltas] == ["a.txt"]
    assert (await desk.worktrees.apply(desk.state, deltas[0])).status == "applied"
    desk.state = await desk.worktrees.rebase_after_apply(desk.state, deltas)
    assert desk.checkout.read("a.txt") == b"one\nagent\nthree\n"
    assert await desk.left() == []
    desk.checkout.write("a.txt", "one\nuser\nthree\n")
    desk.checkout.commit()
    state = await desk.ensure()
    assert (state.root / "a.txt").read_text() == "one\nuser\nthree\n"
    assert not state.stale


async def test_object_names_by_sha256(desk: Any) -> None:
    root = desk.checkout.root
    desk.checkout.git("init", "-q", "--object-format=sha256", str(root.parent / "modern"))
    desk.checkout.root = root.parent / "modern"
    desk.checkout.write("a.txt", "one\ntwo\nthree\n")
    desk.checkout.commit()
    await around(desk)


@pytest.mark.parametrize(
    "settings", [("core.splitIndex", "true"), ("feature.manyFiles", "true"), ("index.version", "4")]
)
async def test_an_index_in_another_form(desk: Any, settings: tuple[str, str]) -> None:
    desk.checkout.git("config", *settings)
    desk.checkout.write("c.txt", "c\n")
    desk.checkout.git("add", "c.txt")
    before = desk.checkout.seen()
    await desk.ensure()
    assert desk.checkout.seen() == before
    await around(desk)


async def test_a_sparse_checkout_deletes_nothing_that_it_does_not_show(desk: Any) -> None:
    desk.checkout.git("sparse-checkout", "set", "--no-cone", "/a.txt")
    assert not (desk.checkout.root / "src").exists()
    await desk.ensure()
    tree = desk.checkout.git("ls-tree", "-r", "--name-only", desk.state.base_commit).decode()
    assert "src/b.py" in tree
    await around(desk)


async def test_a_repository_with_a_submodule_and_a_session_inside_it(desk: Any, tmp_path: Path) -> None:
    library = tmp_path / "library"
    desk.checkout.git("clone", "-q", str(desk.checkout.root), str(library))
    desk.checkout.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "library")
    desk.checkout.commit()
    await around(desk)
    inside = desk.checkout.root / "library"
    (inside / "a.txt").write_text("inside\n")
    worktrees = Worktrees(tmp_path / "other")
    state = await worktrees.ensure("inside", inside, has_pending=False)
    assert state.repository == str(inside)
    assert (state.root / "a.txt").read_text() == "inside\n"
    before = await worktrees.checkpoint(state, "t")
    (state.root / "new.txt").write_text("agent\n")
    [delta] = await worktrees.changes(state, before=before)
    assert (await worktrees.apply(state, delta)).status == "applied"
    assert (inside / "new.txt").read_text() == "agent\n"


async def test_a_merge_in_the_middle_of_its_conflicts_is_seen_as_the_files_are(desk: Any) -> None:
    desk.checkout.git("checkout", "-q", "-b", "other")
    desk.checkout.write("a.txt", "other\n")
    desk.checkout.commit()
    desk.checkout.git("checkout", "-q", "main")
    desk.checkout.write("a.txt", "main\n")
    desk.checkout.commit()
    desk.checkout.git("merge", "-q", "other", check=False)
    before = desk.checkout.seen()
    state = await desk.ensure()
    assert (state.root / "a.txt").read_bytes() == desk.checkout.read("a.txt")
    assert b"<<<<<<<" in desk.checkout.read("a.txt")
    assert desk.checkout.seen() == before


async def test_a_file_that_is_tracked_although_ignored(desk: Any) -> None:
    desk.checkout.write(".gitignore", "*.log\n")
    desk.checkout.write("kept.log", "1\n")
    desk.checkout.git("add", "-f", "kept.log", ".gitignore")
    desk.checkout.git("commit", "-q", "-m", "log")
    desk.checkout.write("kept.log", "2\n")
    state = await desk.ensure()
    assert (state.root / "kept.log").read_text() == "2\n"
    await around(desk)


async def test_a_file_system_without_an_executable_bit(desk: Any) -> None:
    desk.checkout.git("config", "core.fileMode", "false")
    (desk.checkout.root / "a.txt").chmod(0o755)
    await around(desk)
    assert (desk.checkout.root / "a.txt").stat().st_mode & 0o111


async def test_a_folder_replaced_by_a_file_and_a_file_by_a_folder(desk: Any) -> None:
    def work(root: Path) -> None:
        (root / "src" / "b.py").unlink()
        (root / "src").rmdir()
        (root / "src").write_text("a file\n")
        (root / "a.txt").unlink()
        (root / "a.txt").mkdir()
        (root / "a.txt" / "inner").write_text("in a folder\n")

    deltas = await desk.turn(work)
    for _ in range(2):
        done = [await desk.worktrees.apply(desk.state, delta) for delta in deltas]
    assert {one.status for one in done} == {"applied"}
    assert desk.checkout.read("src") == b"a file\n"
    assert desk.checkout.read("a.txt/inner") == b"in a folder\n"
