"""A change is shown as git sees it, and comes into the checkout wholly, once, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coder_nb.core.changes import FileDelta
from coder_nb.core.hunks import apply_hunks
from coder_nb.errors import ApplyConflict
from coder_nb.ids import new_id
from coder_nb.worktrees.merge import merge
from coder_nb.worktrees.state import Applied

pytestmark = pytest.mark.anyio

BINARY = bytes(range(256)) * 4


def text(path: str, content: str | bytes) -> Any:
    """Work of an agent: write one file."""

    def work(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)

    return work


async def applied(desk: Any, delta: FileDelta) -> None:
    """Apply a change as a user does, and see that applying it again changes nothing."""
    index = (desk.checkout.root / ".git" / "index").read_bytes()
    assert await desk.worktrees.apply(desk.state, delta) == Applied(path=delta.path, status="applied")
    after = desk.checkout.seen()
    assert await desk.worktrees.apply(desk.state, delta) == Applied(path=delta.path, status="applied")
    assert desk.checkout.seen() == after
    assert (desk.checkout.root / ".git" / "index").read_bytes() == index
    desk.state = await desk.worktrees.rebase_after_apply(desk.state, [delta])


async def refused(desk: Any, delta: FileDelta, words: str) -> None:
    """Apply a change that must not be, and see that nothing was written."""
    before = desk.checkout.seen()
    done = await desk.worktrees.apply(desk.state, delta)
    assert done.status == "conflict"
    assert words in done.note
    assert desk.checkout.seen() == before


async def test_every_kind_of_change_is_told_as_what_it_is(desk: Any) -> None:
    desk.checkout.write("data.bin", BINARY)
    desk.checkout.write("long.txt", "".join(f"line {n}\n" for n in range(50)))
    desk.checkout.write("run.sh", "#!/bin/sh\n")
    desk.checkout.write("näme with space.txt", "x")
    (desk.checkout.root / "to-link").symlink_to("a.txt")

    def work(root: Path) -> None:
        (root / "a.txt").write_text("one\n2\nthree\nfour")
        (root / "src" / "b.py").unlink()
        (root / "-new ünd.txt").write_text("hello\n")
        (root / "data.bin").write_bytes(BINARY + b"x")
        (root / "sub").mkdir()
        (root / "long.txt").rename(root / "sub" / "moved.txt")
        (root / "run.sh").chmod(0o755)
        (root / "näme with space.txt").write_text("y\n")
        (root / "to-link").unlink()
        (root / "to-link").write_text("a file now\n")
        (root / "fresh-link").symlink_to("a.txt")

    deltas = {delta.path: delta for delta in await desk.turn(work)}
    told = {
        path: (d.operation, d.old_path, d.additions, d.deletions, d.binary, d.old_mode, d.new_mode)
        for path, d in deltas.items()
    }
    assert told == {
        "-new ünd.txt": ("create", None, 1, 0, False, None, "100644"),
        "a.txt": ("edit", None, 2, 1, False, "100644", "100644"),
        "data.bin": ("edit", None, None, None, True, "100644", "100644"),
        "fresh-link": ("create", None, 1, 0, False, None, "120000"),
        "näme with space.txt": ("edit", None, 1, 1, False, "100644", "100644"),
        "run.sh": ("edit", None, 0, 0, False, "100644", "100755"),
        "src/b.py": ("delete", None, 0, 2, False, "100644", None),
        "sub/moved.txt": ("rename", "long.txt", 0, 0, False, "100644", "100644"),
        "to-link": ("edit", None, 1, 1, False, "120000", "100644"),
    }
    assert deltas["a.txt"].hunks[0].lines == (
        *(" one", "-two", "+2", " three", "+four"),
        "\\ No newline at end of file",
    )
    assert [len(deltas[name].hunks) for name in ("to-link", "run.sh", "sub/moved.txt", "-new ünd.txt")] == [2, 0, 0, 1]
    assert apply_hunks("one\ntwo\nthree\n", deltas["a.txt"].hunks) == "one\n2\nthree\nfour"
    for delta in deltas.values():
        await applied(desk, delta)
    assert await desk.left() == []
    assert (desk.checkout.root / "run.sh").stat().st_mode & 0o111
    assert (desk.checkout.root / "fresh-link").readlink() == Path("a.txt")
    assert desk.checkout.read("sub/moved.txt").startswith(b"line 0\n")
    assert not (desk.checkout.root / "src").exists()


async def test_a_change_says_whether_this_turn_made_it(desk: Any) -> None:
    await desk.turn(text("a.txt", "first\n"))
    deltas = await desk.turn(text("b.txt", "second\n"), has_pending=True)
    assert [(d.path, d.touched) for d in deltas] == [("a.txt", False), ("b.txt", True)]
    deltas = await desk.turn(text("a.txt", "third\n"), has_pending=True)
    assert [(d.path, d.touched) for d in deltas] == [("a.txt", True), ("b.txt", False)]


async def test_commits_of_the_agent_are_changes_like_any_other(desk: Any) -> None:
    def work(root: Path) -> None:
        text("a.txt", "committed\n")(root)
        desk.checkout.git("-C", str(root), "commit", "-q", "-a", "-m", "agent's")

    await applied(desk, await desk.delta(work))
    assert desk.checkout.read("a.txt") == b"committed\n"
    assert await desk.left() == []


async def test_an_edit_of_the_same_size_in_the_same_moment_is_seen(desk: Any) -> None:
    desk.checkout.git("config", "core.trustctime", "false")
    state = await desk.ensure()
    place = state.root / "a.txt"
    index = desk.checkout.root / ".git" / "worktrees" / "project" / "index"
    moment = 1_700_000_000_000_000_000
    os.utime(place, ns=(moment, moment))
    desk.checkout.git("-C", state.path, "update-index", "--refresh")
    place.write_text("one\n2wo\nthree\n")
    for path in (place, index):
        os.utime(path, ns=(moment, moment))
    assert await desk.left() == ["a.txt"]


async def test_applied_work_is_not_shown_again_and_other_pending_work_is(desk: Any) -> None:
    desk.checkout.write("a.txt", "one\nuser\nthree\n")

    def work(root: Path) -> None:
        text("a.txt", "one\nuser\n3\n")(root)
        text("new.txt", "new\n")(root)

    deltas = await desk.turn(work)
    await applied(desk, deltas[0])
    assert await desk.left() == ["new.txt"]
    state = await desk.ensure(has_pending=True)
    assert not state.stale
    assert await desk.left() == ["new.txt"]
    assert desk.checkout.git("-C", state.path, "status", "--porcelain") == b"?? new.txt\n"
    await applied(desk, deltas[1])
    desk.checkout.commit()
    state = await desk.ensure()
    assert state.base_commit == desk.checkout.git("rev-parse", "HEAD").decode().strip()
    assert await desk.left() == []


async def test_rejected_work_is_gone_from_the_worktree_and_the_rest_stays(desk: Any) -> None:
    desk.checkout.write("run.sh", "#!/bin/sh\n")
    before = desk.checkout.seen()

    def work(root: Path) -> None:
        text("a.txt", "agent\n")(root)
        text("deep/new.txt", "new\n")(root)
        (root / "src" / "b.py").rename(root / "c.py")
        (root / "run.sh").chmod(0o755)
        (root / "kept.txt").write_text("kept\n")

    for delta in await desk.turn(work):
        if delta.path != "kept.txt":
            await desk.worktrees.reject(desk.state, delta)
    assert await desk.left() == ["kept.txt"]
    assert not (desk.state.root / "deep").exists()
    assert (desk.state.root / "a.txt").read_bytes() == b"one\ntwo\nthree\n"
    assert desk.checkout.seen() == before


async def test_edits_of_the_user_elsewhere_in_the_file_are_kept(desk: Any) -> None:
    lines = [f"{n}\n" for n in range(20)]
    desk.checkout.write("long.txt", "".join(lines))
    delta = await desk.delta(text("long.txt", "".join(lines[:17]) + "agent\n" + "".join(lines[18:])))
    desk.checkout.write("long.txt", "user\n" + "".join(lines[1:]))
    await applied(desk, delta)
    assert desk.checkout.read("long.txt").decode() == "user\n" + "".join(lines[1:17]) + "agent\n" + "".join(lines[18:])
    assert await desk.left() == []


async def test_edits_of_the_user_at_the_same_place_are_a_conflict_that_names_it(desk: Any) -> None:
    delta = await desk.delta(text("a.txt", "one\nagent\nthree\n"))
    desk.checkout.write("a.txt", "one\nuser\nthree\n")
    await refused(desk, delta, "a.txt has changed in the checkout around line 2")
    desk.checkout.write("a.txt", "one\ntwo\nthree\n")
    await applied(desk, delta)


async def test_a_place_that_repeats_is_a_conflict_and_never_a_guess(desk: Any) -> None:
    desk.checkout.write("r.txt", "x\nx\nx\nx\n")
    delta = await desk.delta(text("r.txt", "x\nx\nmark\nx\nx\n"))
    desk.checkout.write("r.txt", "x\nx\nx\n")
    await refused(desk, delta, "r.txt has changed in the checkout")


@pytest.mark.parametrize(
    ("work", "edit", "words"),
    [
        (text("new.txt", "agent\n"), ("new.txt", "user\n"), "another file new.txt"),
        (text("new.txt", "agent\n"), ("new.txt/inner", "user\n"), "new.txt is a folder there"),
        (text("new/inner", "agent\n"), ("new", "user\n"), "new is a file where new/inner needs a folder"),
        (lambda root: (root / "a.txt").unlink(), ("a.txt", "user\n"), "it was not deleted"),
        (text("a.txt", "agent\n"), ("a.txt", None), "a.txt is gone"),
        (text("data.bin", BINARY + b"1"), ("data.bin", BINARY + b"2"), "is binary"),
        (lambda root: (root / "src/b.py").rename(root / "c.py"), ("c.py", "user\n"), "another file c.py"),
        (lambda root: (root / "src/b.py").rename(root / "c.py"), ("src/b.py", None), "src/b.py is gone"),
        (lambda root: (root / "link").symlink_to("a.txt"), ("link", "a.txt"), "another file link"),
    ],
)
async def test_a_conflict_writes_nothing(desk: Any, work: Any, edit: Any, words: str) -> None:
    desk.checkout.write("data.bin", BINARY)
    delta = await desk.delta(work)
    path, content = edit
    if content is None:
        (desk.checkout.root / path).unlink()
    else:
        desk.checkout.write(path, content)
    await refused(desk, delta, words)


async def test_a_file_moved_by_the_agent_keeps_what_the_user_changed_in_it(desk: Any) -> None:
    lines = [f"{n}\n" for n in range(20)]
    desk.checkout.write("old.txt", "".join(lines))

    def work(root: Path) -> None:
        (root / "old.txt").unlink()
        text("sub/new.txt", "".join(lines[:19]) + "agent\n")(root)

    delta = await desk.delta(work)
    assert delta.operation == "rename"
    desk.checkout.write("old.txt", "user\n" + "".join(lines[1:]))
    await applied(desk, delta)
    assert desk.checkout.read("sub/new.txt").decode() == "user\n" + "".join(lines[1:19]) + "agent\n"
    assert not (desk.checkout.root / "old.txt").exists()


async def test_a_rename_cut_off_by_a_crash_is_finished_by_applying_again(desk: Any) -> None:
    delta = await desk.delta(lambda root: (root / "src" / "b.py").rename(root / "c.py"))
    desk.checkout.write("c.py", desk.checkout.read("src/b.py"))
    await applied(desk, delta)
    assert not (desk.checkout.root / "src").exists()


async def test_permissions_of_the_users_file_stay_but_for_the_bit_that_changed(desk: Any) -> None:
    (desk.checkout.root / "a.txt").chmod(0o640)
    await applied(desk, await desk.delta(text("a.txt", "agent\n")))
    assert stat.S_IMODE((desk.checkout.root / "a.txt").stat().st_mode) == 0o640
    await applied(desk, await desk.delta(lambda root: (root / "a.txt").chmod(0o755)))
    assert stat.S_IMODE((desk.checkout.root / "a.txt").stat().st_mode) == 0o750
    await applied(desk, await desk.delta(text("tool", "#!/bin/sh\n")))
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((desk.checkout.root / "tool").stat().st_mode) == 0o666 & ~umask


async def test_carriage_returns_that_are_committed_stay(desk: Any) -> None:
    desk.checkout.write("win.txt", "one\r\ntwo\r\n")
    delta = await desk.delta(text("win.txt", "one\r\n2\r\n"))
    assert delta.hunks[0].lines == (" one\r", "-two\r", "+2\r")
    await applied(desk, delta)
    assert desk.checkout.read("win.txt") == b"one\r\n2\r\n"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
async def test_autocrlf_keeps_the_line_ends_that_the_users_file_has(desk: Any, ends: str) -> None:
    desk.checkout.git("config", "core.autocrlf", "true")
    desk.checkout.write("win.txt", ends.join(["one", "two", "three", "four", "five", "six", ""]))

    def work(root: Path) -> None:
        assert (root / "win.txt").read_bytes().startswith(b"one\r\ntwo\r\n")
        text("win.txt", "one\r\ntwo\r\nthree\r\nfour\r\n5\r\nsix\r\n")(root)

    delta = await desk.delta(work)
    assert (delta.additions, delta.deletions) == (1, 1)
    desk.checkout.write("win.txt", ends.join(["1", "two", "three", "four", "five", "six", ""]))
    await applied(desk, delta)
    assert desk.checkout.read("win.txt").decode() == ends.join(["1", "two", "three", "four", "5", "six", ""])
    assert await desk.left() == []
    delta = await desk.delta(text("new.txt", "a\nb\n"))
    await applied(desk, delta)
    assert desk.checkout.read("new.txt") == b"a\r\nb\r\n"
    assert await desk.left() == []


async def test_autocrlf_leaves_carriage_returns_alone_that_were_committed_before_it(desk: Any) -> None:
    desk.checkout.write("win.txt", "one\r\ntwo\r\nthree\r\nfour\r\n")
    desk.checkout.commit()
    desk.checkout.git("config", "core.autocrlf", "true")
    delta = await desk.delta(text("win.txt", "one\r\ntwo\r\nthree\r\n4\r\n"))
    desk.checkout.write("win.txt", "1\r\ntwo\r\nthree\r\nfour\r\n")
    await applied(desk, delta)
    assert desk.checkout.read("win.txt") == b"1\r\ntwo\r\nthree\r\n4\r\n"
    assert await desk.left() == []


async def test_line_ends_that_git_strips_on_the_way_in_only_stay_in_the_users_file(desk: Any) -> None:
    desk.checkout.git("config", "core.autocrlf", "input")
    desk.checkout.write("win.txt", "one\r\ntwo\r\nthree\r\n")
    delta = await desk.delta(text("win.txt", "one\ntwo\n3\n"))
    assert (delta.additions, delta.deletions) == (1, 1)
    await applied(desk, delta)
    assert desk.checkout.read("win.txt") == b"one\r\ntwo\r\n3\r\n"


async def test_secret_files_are_shown_and_never_written(desk: Any) -> None:
    for path in (".env", "deploy/id_rsa", "x.pem"):
        delta = await desk.delta(text(path, "KEY=1\n"))
        assert "secrets" in delta.note
        await refused(desk, delta, "never written by an apply")
        await desk.worktrees.reject(desk.state, delta)


async def test_no_path_leads_out_of_the_checkout(desk: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    delta = await desk.delta(text("door/loot.txt", "agent\n"))
    (desk.checkout.root / "door").symlink_to(outside)
    await refused(desk, delta, "leads through the symbolic link door")
    for path in ("../loot.txt", "/tmp/loot.txt", ".git/hooks/pre-commit", "a/../../b", "sub/.GIT/config", ""):
        await refused(desk, msgspec.structs.replace(delta, path=path), "not a path inside the repository")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../elsewhere", ".git/hooks", "chain/x"])
async def test_a_link_that_leads_out_of_the_repository_is_not_made(desk: Any, target: str, tmp_path: Path) -> None:
    delta = await desk.delta(lambda root: (root / "exit").symlink_to(target))
    (desk.checkout.root / "chain").symlink_to(tmp_path)
    await refused(desk, delta, "leads out of the repository")


async def test_a_link_in_the_place_of_a_file_is_not_followed(desk: Any, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("one\ntwo\nthree\n")
    delta = await desk.delta(text("a.txt", "agent\n"))
    (desk.checkout.root / "a.txt").unlink()
    (desk.checkout.root / "a.txt").symlink_to(precious)
    await refused(desk, delta, "one side is a symbolic link")
    assert precious.read_text() == "one\ntwo\nthree\n"


async def test_rejecting_never_writes_through_a_link_of_the_agents(desk: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    deltas = await desk.turn(text("src/b.py", "agent\n"))
    (desk.state.root / "src" / "b.py").unlink()
    (desk.state.root / "src").rmdir()
    (desk.state.root / "src").symlink_to(outside)
    with pytest.raises(ApplyConflict, match="symbolic link"):
        await desk.worktrees.reject(desk.state, deltas[0])
    assert list(outside.iterdir()) == []


async def test_a_folder_that_cannot_be_written_is_a_conflict_with_its_cause(desk: Any) -> None:
    delta = await desk.delta(text("a.txt", "agent\n"))
    long = msgspec.structs.replace(delta, operation="create", path="x" * 300)
    await refused(desk, long, "File name too long")


async def test_changes_apply_from_a_session_in_a_subdirectory(desk: Any) -> None:
    await desk.ensure(path=desk.checkout.root / "src")
    before = await desk.worktrees.checkpoint(desk.state, new_id())
    text("up.txt", "agent\n")(desk.state.root)
    text("c.py", "agent\n")(Path(desk.state.cwd))
    deltas = await desk.worktrees.changes(desk.state, before=before)
    assert [delta.path for delta in deltas] == ["src/c.py", "up.txt"]
    for delta in deltas:
        await applied(desk, delta)
    assert desk.checkout.read("src/c.py") == b"agent\n"


async def test_sessions_of_one_repository_apply_side_by_side(desk: Any) -> None:
    states, found = [], []
    for name in ("one", "two"):
        state = await desk.worktrees.ensure(name, desk.checkout.root, has_pending=False)
        before = await desk.worktrees.checkpoint(state, new_id())
        text(f"{name}.txt", f"{name}\n")(state.root)
        found.append((await desk.worktrees.changes(state, before=before))[0])
        states.append(state)
    done = await asyncio.gather(*(desk.worktrees.apply(s, d) for s, d in zip(states, found, strict=True)))
    assert [one.status for one in done] == ["applied", "applied"]
    assert (desk.checkout.read("one.txt"), desk.checkout.read("two.txt")) == (b"one\n", b"two\n")


async def test_a_file_too_large_to_read_is_told_and_still_applied(desk: Any) -> None:
    delta = await desk.delta(text("big.txt", "line\n" * 1_000_000))
    assert (delta.hunks, delta.binary) == ((), True)
    assert "too large" in delta.note
    await applied(desk, delta)
    assert len(desk.checkout.read("big.txt")) == 5_000_000


async def test_bytes_that_are_no_utf8_are_applied_as_they_are(desk: Any) -> None:
    desk.checkout.write("latin.txt", "caf\xe9\nx\n".encode("latin-1"))
    delta = await desk.delta(text("latin.txt", "caf\xe9\ny \xfc\n".encode("latin-1")))
    assert delta.hunks[0].lines[0] == " caf\ufffd"
    await applied(desk, delta)
    assert desk.checkout.read("latin.txt") == "caf\xe9\ny \xfc\n".encode("latin-1")


async def test_a_thousand_changed_files_are_found_and_taken_into_the_base_at_once(desk: Any) -> None:
    def work(root: Path) -> None:
        for number in range(1000):
            text(f"many/{number:04}.txt", f"{number}\n")(root)

    deltas = await desk.turn(work)
    assert len(deltas) == 1000
    assert deltas[7].hunks[0].lines == ("+7",)
    desk.state = await desk.worktrees.rebase_after_apply(desk.state, deltas)
    assert await desk.left() == []


LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=9)


def edited(base: list[str], edits: list[tuple[int, str]]) -> list[str]:
    """Lines after some edits: a line taken out, put in, or (for a capital) replaced."""
    lines = list(base)
    for place, line in edits:
        at = place % (len(lines) + 1)
        lines[at : at + (line.isupper() or not line)] = [line] if line else []
    return lines


EDITS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "a", "x", "X", "Y"])), max_size=2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, EDITS, EDITS)
def test_a_merge_taken_in_once_is_not_taken_in_twice(
    base: list[str], mine: list[tuple[int, str]], agents: list[tuple[int, str]]
) -> None:
    ours, theirs = edited(base, mine), edited(base, agents)

    async def main() -> None:
        sides = [("".join(f"{line}\n" for line in side)).encode() for side in (ours, base, theirs)]
        try:
            once = await merge("x", *sides, timeout=10)
        except ApplyConflict:
            return
        assert await merge("x", once, *sides[1:], timeout=10) == once

    asyncio.run(main())
