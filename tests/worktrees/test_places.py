"""Where agents work other than in a worktree of the checkout as it is: a base, no git, in place; and links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from coder_nb.core.changes import Change
from coder_nb.errors import InvalidOption, NotARepository
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.worktrees.worktrees import Worktrees

pytestmark = pytest.mark.anyio


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != ".git"}


def pending(delta: Any) -> Change:
    fields = ("path", "operation", "old_path", "old_mode", "new_mode", "old_blob", "new_blob", "hunks")
    given = {name: getattr(delta, name) for name in fields}
    return Change(id=new_id(), session_id="s", chat_id="c", turn_id="t", **given)


# A base on request --------------------------------------------------------------------------------------------------


async def test_a_base_on_request_is_a_commit_or_branch_and_is_followed(checkout: Any, worktrees: Worktrees) -> None:
    checkout.git("branch", "release")
    checkout.write("a.txt", "uncommitted\n")
    state = await worktrees.ensure("s", checkout.root, has_pending=False, base="release")
    assert (state.root / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert not state.stale
    checkout.git("stash")
    checkout.write("new.txt", "new\n")
    checkout.commit()
    checkout.git("branch", "-f", "release", "HEAD")
    state = await worktrees.ensure("s", checkout.root, has_pending=False, base="release")
    assert (state.root / "new.txt").exists()


async def test_what_was_applied_stays_in_a_worktree_on_a_base(checkout: Any, worktrees: Worktrees) -> None:
    checkout.git("branch", "release")
    state = await worktrees.ensure("s", checkout.root, has_pending=False, base="release")
    before = await worktrees.checkpoint(state, new_id())
    (state.root / "a.txt").write_text("agent\n")
    deltas = await worktrees.changes(state, before=before)
    assert (await worktrees.apply(state, deltas[0])).status == "applied"
    await worktrees.rebase_after_apply(state, deltas)
    state = await worktrees.ensure("s", checkout.root, has_pending=False, base="release")
    assert (state.root / "a.txt").read_text() == "agent\n"
    assert not state.stale


async def test_a_base_that_is_not_there_is_named(checkout: Any, worktrees: Worktrees) -> None:
    with pytest.raises(InvalidOption, match="no commit or branch 'nowhere'"):
        await worktrees.ensure("s", checkout.root, has_pending=False, base="nowhere")


# A folder without git ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "no git, höre"
    (place / "sub").mkdir(parents=True)
    (place / "a.txt").write_text("one\n")
    (place / "sub" / "b.txt").write_text("two\n")
    (place / ".env").write_text("KEY=1\n")
    (place / "__pycache__").mkdir()
    (place / "__pycache__" / "x.pyc").write_text("")
    (place / "data.bin").touch()
    os.truncate(place / "data.bin", 2_000_001)
    return place


@pytest.fixture
def small(tmp_path: Path) -> Worktrees:
    return Worktrees(tmp_path / "worktrees", Settings(large_file=2_000_000, link_ignored=("*.bin",)))


async def test_a_folder_without_git_is_worked_on_and_nothing_is_written_into_it(folder: Path, small: Worktrees) -> None:
    before = files(folder)
    state = await small.ensure("s", folder, has_pending=False)
    assert state.files_left_out == (".env", "data.bin")
    assert {"a.txt", "sub/b.txt"} <= files(state.root).keys()
    assert not (state.root / ".env").exists()
    assert not (state.root / "__pycache__").exists()
    checkpoint = await small.checkpoint(state, new_id())
    (state.root / "a.txt").write_text("agent\n")
    (state.root / "new.txt").write_text("new\n")
    deltas = await small.changes(state, before=checkpoint)
    assert [(d.path, d.operation) for d in deltas] == [("a.txt", "edit"), ("new.txt", "create")]
    assert files(folder) == before
    for delta in deltas:
        assert (await small.apply(state, delta)).status == "applied"
    await small.rebase_after_apply(state, deltas)
    assert files(folder) == before | {"a.txt": b"agent\n", "new.txt": b"new\n"}
    (folder / "a.txt").write_text("user\n")
    (folder / "sub" / "b.txt").unlink()
    state = await small.ensure("s", folder, has_pending=False)
    assert (state.root / "a.txt").read_text() == "user\n"
    assert not (state.root / "sub" / "b.txt").exists()
    assert not (folder / ".git").exists()


async def test_what_is_left_out_for_its_size_is_linked_on_request_and_is_no_change(
    folder: Path, small: Worktrees
) -> None:
    state = await small.ensure("s", folder, has_pending=False)
    assert (state.root / "data.bin").readlink() == folder / "data.bin"
    before = await small.checkpoint(state, new_id())
    assert await small.changes(state, before=before) == []
    assert not (await small.inspect("s", state.root, folder)).at_risk
    await small.remove("s", folder, forget=True)
    assert (folder / "data.bin").stat().st_size == 2_000_001


async def test_an_ignored_folder_is_linked_on_request(checkout: Any, tmp_path: Path) -> None:
    checkout.write(".gitignore", "data/\n")
    checkout.commit()
    checkout.write("data/x.csv", "1\n")
    worktrees = Worktrees(tmp_path / "w", Settings(link_ignored=("data", "missing", "../outside")))
    state = await worktrees.ensure("s", checkout.root, has_pending=False)
    assert (state.root / "data" / "x.csv").read_text() == "1\n"
    assert (state.root / "data").is_symlink()
    before = await worktrees.checkpoint(state, new_id())
    assert await worktrees.changes(state, before=before) == []
    checkout.write("a.txt", "user\n")
    state = await worktrees.ensure("s", checkout.root, has_pending=False)
    assert not state.stale
    await worktrees.remove("s", checkout.root, forget=True)
    assert checkout.read("data/x.csv") == b"1\n"


async def test_a_folder_that_is_no_project_is_refused(
    tmp_path: Path, small: Worktrees, home: Path, folder: Path
) -> None:
    for place in (home, tmp_path):
        with pytest.raises(NotARepository, match="much more than one project"):
            await small.locate(place)
    few = Worktrees(tmp_path / "few", Settings(shadow_files=2))
    with pytest.raises(NotARepository, match="up to 2"):
        await few.ensure("s", folder, has_pending=False)


# In place ------------------------------------------------------------------------------------------------------------


async def test_in_place_the_agent_works_in_the_checkout_and_rejecting_takes_it_back(
    checkout: Any, worktrees: Worktrees
) -> None:
    checkout.write("staged.txt", "staged\n")
    checkout.git("add", "staged.txt")
    checkout.write(".env", "KEY=1\n")
    before = checkout.seen()
    state = await worktrees.ensure("s", checkout.root, has_pending=False, isolation="none")
    assert (state.path, state.cwd) == (str(checkout.root), str(checkout.root))
    checkpoint = await worktrees.checkpoint(state, new_id())
    checkout.write("a.txt", "one\nagent\nthree\n")
    checkout.write("new.txt", "agent\n")
    checkout.write(".env", "KEY=agent\n")
    deltas = await worktrees.changes(state, before=checkpoint)
    assert [(d.path, d.operation, d.touched) for d in deltas] == [("a.txt", "edit", True), ("new.txt", "create", True)]
    checkout.write("a.txt", "user\none\nagent\nthree\n")
    for delta in deltas:
        await worktrees.reject(state, pending(delta))
    assert checkout.read("a.txt") == b"user\none\ntwo\nthree\n"
    assert not (checkout.root / "new.txt").exists()
    after = checkout.seen()
    for name in ("index", "head", "commit", "stash", "branches", "staged"):
        assert after[name] == before[name]
    assert checkout.git("worktree", "list").count(b"\n") == 1


async def test_in_place_a_pending_change_shows_as_a_whole_and_the_users_own_edits_do_not(
    checkout: Any, worktrees: Worktrees
) -> None:
    state = await worktrees.ensure("s", checkout.root, has_pending=False, isolation="none")
    checkpoint = await worktrees.checkpoint(state, new_id())
    checkout.write("a.txt", "first\n")
    first = [pending(d) for d in await worktrees.changes(state, before=checkpoint)]
    checkout.write("src/b.py", "the user's\n")
    state = await worktrees.ensure("s", checkout.root, has_pending=True, isolation="none", pending=first)
    checkpoint = await worktrees.checkpoint(state, new_id())
    checkout.write("a.txt", "second\n")
    (delta,) = await worktrees.changes(state, before=checkpoint)
    assert (delta.path, delta.old_blob, delta.touched) == ("a.txt", first[0].old_blob, True)
    state = await worktrees.rebase_after_apply(state, [pending(delta)])
    assert checkout.git("rev-parse", "HEAD").decode().strip() == checkout.git("rev-parse", "main").decode().strip()
    assert await worktrees.changes(state, before=checkpoint) == []


# Clones --------------------------------------------------------------------------------------------------------------


async def test_a_clone_has_the_same_uncommitted_work_on_the_same_base(desk: Any) -> None:
    await desk.turn(lambda root: (root / "new.txt").write_text("agent\n"))
    twin = await desk.worktrees.clone(desk.state, "twin", desk.checkout.root)
    assert files(twin.root) == files(desk.state.root)
    assert twin.base_commit == desk.state.base_commit
    (twin.root / "new.txt").write_text("twin\n")
    assert (desk.state.root / "new.txt").read_text() == "agent\n"
