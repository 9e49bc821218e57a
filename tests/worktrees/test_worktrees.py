"""A worktree is what the user sees, is hers to keep, and never disturbs her."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coder_nb.errors import BadPath, GitError, NoCommit, NotARepository
from coder_nb.settings import Settings
from coder_nb.worktrees.state import LARGE, WorktreeState
from coder_nb.worktrees.worktrees import Worktrees

pytestmark = pytest.mark.anyio


def dirty(checkout: Any) -> None:
    """Staged, unstaged, untracked and stashed work, with names that are hard to handle."""
    checkout.write("a.txt", "stashed\n")
    checkout.git("stash")
    checkout.write("staged.txt", "staged\n")
    checkout.write("a.txt", "one\nstaged\nthree\n")
    checkout.git("add", "staged.txt", "a.txt")
    checkout.write("a.txt", "one\nunstaged\nthree\n")
    checkout.write("näme with space.txt", "no newline at the end")
    checkout.write("-dash", "dash\n")
    checkout.write(":(top)magic*", "magic\n")
    checkout.write('quo"te\ttab', "x\n")
    (checkout.root / "link").symlink_to("a.txt")
    (checkout.root / "src" / "b.py").unlink()


def files_of(root: Path) -> dict[str, bytes]:
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in names:
            place = Path(folder) / name
            if name != ".git":
                content = os.fsencode(place.readlink()) if place.is_symlink() else place.read_bytes()
                found[place.relative_to(root).as_posix()] = content
    return found


async def test_the_base_is_what_the_user_sees_and_nothing_of_hers_is_touched(desk: Any) -> None:
    dirty(desk.checkout)
    before = desk.checkout.seen()
    state = await desk.ensure()
    assert files_of(state.root) == files_of(desk.checkout.root)
    assert desk.checkout.seen() == before
    assert state.files_left_out == ()
    assert not state.stale
    assert await desk.left() == []
    assert desk.checkout.seen() == before


async def test_the_base_of_a_clean_checkout_is_its_head(desk: Any) -> None:
    state = await desk.ensure()
    assert state.base_commit == desk.checkout.git("rev-parse", "HEAD").decode().strip()
    assert state.branch is None


async def test_the_same_dirty_checkout_gives_the_same_base(desk: Any) -> None:
    dirty(desk.checkout)
    first = await desk.ensure()
    assert await desk.ensure() == first


async def test_secrets_are_left_out_and_listed_staged_or_not(desk: Any) -> None:
    desk.checkout.write(".env", "KEY=1\n")
    desk.checkout.write("deep/server.pem", "KEY\n")
    desk.checkout.write("id_rsa", "KEY\n")
    desk.checkout.git("add", "id_rsa")
    desk.checkout.write("kept.txt", "yes\n")
    before = desk.checkout.seen()
    state = await desk.ensure()
    assert state.files_left_out == (".env", "deep/server.pem", "id_rsa")
    assert "kept.txt" in files_of(state.root)
    assert not {".env", "deep/server.pem", "id_rsa"} & files_of(state.root).keys()
    assert desk.checkout.seen() == before
    blobs = desk.checkout.git("rev-list", "--objects", "--all").decode()
    assert ".env" not in blobs
    assert "id_rsa" not in blobs


async def test_a_secret_that_is_committed_is_there_as_it_is_in_every_clone(desk: Any) -> None:
    desk.checkout.write(".env", "PORT=80\n")
    desk.checkout.commit()
    state = await desk.ensure()
    assert (state.root / ".env").read_text() == "PORT=80\n"
    assert state.files_left_out == ()


async def test_very_large_untracked_files_are_left_out_and_listed(desk: Any) -> None:
    os.truncate(desk.checkout.write("model.bin", ""), LARGE + 1)
    state = await desk.ensure()
    assert state.files_left_out == ("model.bin",)
    assert not (state.root / "model.bin").exists()


async def test_a_repository_inside_and_a_link_to_nowhere_do_no_harm(desk: Any) -> None:
    inner = desk.checkout.root / "inner"
    inner.mkdir()
    desk.checkout.git("init", "-q", str(inner))
    desk.checkout.write("inner/x", "x")
    (desk.checkout.root / "dangling").symlink_to("/nowhere/at/all")
    os.mkfifo(desk.checkout.root / "pipe")
    state = await desk.ensure()
    assert state.files_left_out == ("inner/",)
    assert (state.root / "dangling").is_symlink()


async def test_without_pending_changes_the_worktree_follows_the_checkout(desk: Any) -> None:
    desk.checkout.write("new.txt", "untracked\n")
    first = await desk.ensure()
    desk.checkout.write("a.txt", "moved on\n")
    (desk.checkout.root / "new.txt").unlink()
    desk.checkout.commit()
    desk.checkout.write("later.txt", "later\n")
    second = await desk.ensure()
    assert second.base_commit != first.base_commit
    assert files_of(second.root) == files_of(desk.checkout.root)
    assert not second.stale
    assert await desk.left() == []


async def test_with_pending_changes_the_worktree_stays_and_says_that_it_is_stale(desk: Any) -> None:
    await desk.turn(lambda root: (root / "a.txt").write_text("agent\n"))
    assert not (await desk.ensure(has_pending=True)).stale
    base = desk.state.base_commit
    desk.checkout.write("src/b.py", "user\n")
    state = await desk.ensure(has_pending=True)
    assert state.stale
    assert state.base_commit == base
    assert (state.root / "a.txt").read_text() == "agent\n"


async def test_a_commit_of_what_was_seen_already_makes_nothing_stale(desk: Any) -> None:
    desk.checkout.write("a.txt", "user\n")
    await desk.turn(lambda root: (root / "b.txt").write_text("agent\n"))
    desk.checkout.commit()
    assert not (await desk.ensure(has_pending=True)).stale


async def test_work_that_no_change_accounts_for_is_never_overwritten(desk: Any) -> None:
    state = await desk.ensure()
    (state.root / "a.txt").write_text("half a turn\n")
    desk.checkout.write("a.txt", "user\n")
    state = await desk.ensure(has_pending=False)
    assert (state.root / "a.txt").read_text() == "half a turn\n"
    assert state.stale


async def test_following_leaves_the_agents_own_branch_where_it_is(desk: Any) -> None:
    state = await desk.ensure()
    desk.checkout.git("-C", str(state.root), "checkout", "-q", "-b", "agents-idea")
    desk.checkout.git("-C", str(state.root), "commit", "-q", "--allow-empty", "-m", "idea")
    idea = desk.checkout.git("rev-parse", "agents-idea")
    desk.checkout.write("a.txt", "user\n")
    state = await desk.ensure()
    assert (state.root / "a.txt").read_text() == "user\n"
    assert desk.checkout.git("rev-parse", "agents-idea") == idea


async def test_following_removes_what_the_user_removed_also_where_the_agent_never_staged_it(desk: Any) -> None:
    def work(root: Path) -> None:
        desk.checkout.git("-C", str(root), "checkout", "-q", "-b", "agents-idea")
        (root / "new.txt").write_text("agent\n")

    deltas = await desk.turn(work)
    await desk.worktrees.apply(desk.state, deltas[0])
    await desk.worktrees.rebase_after_apply(desk.state, deltas)
    (desk.checkout.root / "new.txt").unlink()
    state = await desk.ensure()
    assert files_of(state.root) == files_of(desk.checkout.root)
    assert not state.stale


async def test_a_session_in_a_subdirectory_works_in_the_same_subdirectory(desk: Any) -> None:
    (desk.checkout.root / "empty" / "folder").mkdir(parents=True)
    for name in ("src", "empty/folder"):
        state = await desk.ensure(path=desk.checkout.root / name)
        assert state.cwd == f"{state.path}/{name}"
        assert (desk.checkout.root / name).name in os.listdir(os.path.dirname(state.cwd))


async def test_a_detached_checkout_and_one_that_is_a_worktree_itself_can_have_sessions(
    desk: Any, tmp_path: Path
) -> None:
    desk.checkout.git("checkout", "-q", "--detach")
    desk.checkout.write("a.txt", "detached\n")
    assert ((await desk.ensure()).root / "a.txt").read_text() == "detached\n"
    desk.checkout.git("worktree", "add", "-q", str(tmp_path / "linked"), "main")
    (tmp_path / "linked" / "a.txt").write_text("linked\n")
    other = await desk.worktrees.ensure("other", tmp_path / "linked", has_pending=False, known=None)
    assert (other.root / "a.txt").read_text() == "linked\n"


async def test_two_sessions_of_one_repository_do_not_meet(desk: Any) -> None:
    one, two = await asyncio.gather(
        desk.worktrees.ensure("one", desk.checkout.root, has_pending=False),
        desk.worktrees.ensure("two", desk.checkout.root, has_pending=False),
    )
    (one.root / "a.txt").write_text("one\n")
    assert (two.root / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert one.path != two.path


@pytest.mark.parametrize("prune", [False, True])
async def test_a_worktree_whose_folder_was_deleted_comes_back_with_its_pending_work(desk: Any, prune: bool) -> None:
    def work(root: Path) -> None:
        (root / "new.txt").write_text("agent\n")
        (root / "src" / "b.py").unlink()

    deltas = await desk.turn(work)
    shutil.rmtree(desk.state.root)
    if prune:
        desk.checkout.git("worktree", "prune")
    state = await desk.ensure(has_pending=True)
    assert (state.root / "new.txt").read_text() == "agent\n"
    assert [d.path for d in deltas] == await desk.left() == ["new.txt", "src/b.py"]


async def test_a_deleted_worktree_without_pending_changes_is_made_afresh(desk: Any) -> None:
    await desk.ensure()
    shutil.rmtree(desk.state.root.parent)
    desk.checkout.write("a.txt", "now\n")
    state = await desk.ensure()
    assert (state.root / "a.txt").read_text() == "now\n"
    assert desk.checkout.git("worktree", "list").count(b"\n") == 2


@contextmanager
def git_at_work(root: Path) -> Iterator[None]:
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE):
        yield


async def test_an_old_lock_is_taken_away_only_where_no_git_is_at_work_in_the_worktree(desk: Any) -> None:
    root = (await desk.ensure()).root
    lock = desk.checkout.write(f".git/worktrees/{root.name}/index.lock", "")
    os.utime(lock, (0, 0))
    desk.checkout.write("a.txt", "now\n")
    with git_at_work(root):
        with pytest.raises(GitError, match="remove the file manually"):
            await desk.ensure()
        assert lock.exists()
    assert ((await desk.ensure()).root / "a.txt").read_text() == "now\n"
    assert not lock.exists()


async def test_a_worktree_that_git_forgot_is_made_known_again_with_all_that_is_in_it(desk: Any) -> None:
    await desk.turn(lambda root: (root / "a.txt").write_text("agent\n"))
    shutil.rmtree(desk.checkout.root / ".git" / "worktrees")
    state = await desk.ensure(has_pending=True)
    assert (state.root / "a.txt").read_text() == "agent\n"
    assert await desk.left() == ["a.txt"]


async def test_a_folder_of_an_unknown_origin_is_set_aside_and_kept(desk: Any) -> None:
    place = desk.worktrees.root / desk.session_id / "project"
    place.mkdir(parents=True)
    (place / "precious").write_text("mine")
    state = await desk.ensure()
    assert state.root == place
    assert not (place / "precious").exists()
    assert [p.read_text() for p in place.parent.glob("project.aside-*/precious")] == ["mine"]


async def test_a_worktree_half_made_by_a_crash_is_made_whole(desk: Any) -> None:
    making = desk.worktrees.root / f"{desk.session_id}.making" / "project"
    making.parent.mkdir(parents=True)
    desk.checkout.git("worktree", "add", "-q", "--detach", "--no-checkout", str(making))
    admin = desk.checkout.root / ".git" / "worktrees" / "project"
    (admin / "locked").write_text("initializing")
    state = await desk.ensure()
    assert files_of(state.root) == files_of(desk.checkout.root)
    assert not making.parent.exists()


async def test_a_crash_between_the_rename_and_the_repair_is_mended(desk: Any) -> None:
    await desk.ensure()
    admin = desk.checkout.root / ".git" / "worktrees" / "project"
    (admin / "gitdir").write_text(f"{desk.worktrees.root}/gone.making/project/.git\n")
    state = await desk.ensure()
    assert files_of(state.root) == files_of(desk.checkout.root)
    assert str(state.root) in desk.checkout.git("worktree", "list").decode()


@pytest.mark.parametrize("told", [True, False])
async def test_lost_private_refs_are_replaced_by_what_is_known_otherwise(desk: Any, told: bool) -> None:
    desk.checkout.write("a.txt", "user\n")
    await desk.turn(lambda root: (root / "new.txt").write_text("agent\n"))
    known = desk.state if told else None
    base = desk.state.base_commit
    for line in desk.checkout.git("for-each-ref", "--format=%(refname)", "refs/coder-nb").decode().split():
        desk.checkout.git("update-ref", "-d", line)
    state = await desk.worktrees.ensure(desk.session_id, desk.checkout.root, has_pending=True, known=known)
    assert state.base_commit == base
    assert await desk.left() == ["new.txt"]


async def test_what_a_session_needs_outlives_gc_and_is_not_pushed(desk: Any, tmp_path: Path) -> None:
    desk.checkout.write("a.txt", "user\n")
    deltas = await desk.turn(lambda root: (root / "a.txt").write_text("agent\n"))
    shutil.rmtree(desk.state.root)
    desk.checkout.git("worktree", "prune")
    desk.checkout.git("reflog", "expire", "--expire=now", "--all")
    desk.checkout.git("gc", "-q", "--prune=now")
    for blob in (deltas[0].old_blob, deltas[0].new_blob, desk.state.base_commit):
        desk.checkout.git("cat-file", "-e", str(blob))
    desk.checkout.git("init", "-q", "--bare", str(tmp_path / "remote.git"))
    desk.checkout.git("push", "-q", str(tmp_path / "remote.git"), "--all")
    refs = desk.checkout.git("ls-remote", str(tmp_path / "remote.git")).decode()
    assert "coder-nb" not in refs


async def test_hooks_of_the_repository_never_run(desk: Any, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "post-rewrite"):
        hook = desk.checkout.write(f".git/hooks/{name}", f"#!/bin/sh\necho {name} >> '{ran}'\nexit 1\n")
        hook.chmod(0o755)
    deltas = await desk.turn(lambda root: (root / "a.txt").write_text("agent\n"))
    await desk.worktrees.apply(desk.state, deltas[0])
    await desk.worktrees.rebase_after_apply(desk.state, deltas)
    await desk.ensure()
    assert not ran.exists()


async def test_ignored_folders_that_are_named_are_copied_once(checkout: Any, tmp_path: Path) -> None:
    checkout.write(".gitignore", "data/\n*.tmp\n")
    checkout.commit()
    checkout.write("data/big.csv", "1,2\n")
    checkout.write("data/run.sh", "#!/bin/sh\n").chmod(0o755)
    (checkout.root / "data" / "link").symlink_to("big.csv")
    checkout.write("other.tmp", "not asked for")
    worktrees = Worktrees(tmp_path / "w", Settings(copy_ignored=("data", "missing", "../outside")))
    state = await worktrees.ensure("s", checkout.root, has_pending=False)
    assert (state.root / "data" / "big.csv").read_text() == "1,2\n"
    assert os.access(state.root / "data" / "run.sh", os.X_OK)
    assert (state.root / "data" / "link").readlink() == Path("big.csv")
    assert not (state.root / "other.tmp").exists()
    (state.root / "data" / "big.csv").write_text("agent\n")
    await worktrees.ensure("s", checkout.root, has_pending=False)
    assert (state.root / "data" / "big.csv").read_text() == "agent\n"
    assert checkout.read("data/big.csv") == b"1,2\n"


async def test_a_path_that_does_not_serve_is_named_with_the_cure(worktrees: Worktrees, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadPath, match="nowhere.*create it"):
        await worktrees.locate(tmp_path / "nowhere")
    with pytest.raises(BadPath, match="file is a file: give the directory"):
        await worktrees.locate(tmp_path / "file")


async def test_a_bare_repository_and_one_without_a_commit_are_named_with_the_cure(
    checkout: Any, worktrees: Worktrees, tmp_path: Path
) -> None:
    checkout.git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    checkout.git("init", "-q", str(tmp_path / "fresh"))
    for path in (tmp_path / "bare.git", checkout.root / ".git"):
        with pytest.raises(NotARepository, match="give a checkout of it"):
            await worktrees.locate(path)
    with pytest.raises(NoCommit, match="fresh has no commit yet: commit once"):
        await worktrees.locate(tmp_path / "fresh")


async def test_a_link_to_a_directory_is_the_directory(checkout: Any, worktrees: Worktrees, tmp_path: Path) -> None:
    (tmp_path / "short").symlink_to(checkout.root / "src")
    found = await worktrees.locate(tmp_path / "short")
    assert (found.path, found.toplevel, found.subdirectory) == (
        str(checkout.root / "src"),
        str(checkout.root),
        "src",
    )


async def test_variables_and_settings_of_the_caller_do_not_lead_git_elsewhere(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    with (home / ".gitconfig").open("a") as config:
        config.write("[diff]\n\tnoprefix = true\n\texternal = false\n\tsuppressBlankEmpty = true\n\trenames = copies\n")
        config.write("[commit]\n\tgpgSign = true\n[core]\n\tsafecrlf = true\n[status]\n\tshort = true\n")
        config.write("[color]\n\tui = always\n[log]\n\tshowSignature = true\n[diff]\n\tmnemonicPrefix = true\n")
    desk.checkout.git("config", "status.relativePaths", "true")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere" / "index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    desk.checkout.write("a.txt", "one\n\nthree\n")
    delta = await desk.delta(lambda root: (root / "a.txt").write_text("one\n\n3\n"))
    assert delta.hunks[0].lines == (" one", " ", "-three", "+3")


async def test_the_state_is_a_value_that_survives_storage(desk: Any) -> None:
    import msgspec

    state = await desk.ensure()
    assert msgspec.json.decode(msgspec.json.encode(state), type=WorktreeState) == state
