"""Review through the whole runtime, hunk by hunk: the checkout is exactly what was decided, and undo gives it back."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest
from support.place import Person, Place

from coder_nb.core.changes import Change
from coder_nb.errors import Conflict, InvalidOption, StaleChange
from coder_nb.ids import new_id

pytestmark = pytest.mark.anyio
LINES = [f"line {n}\n" for n in range(60)]
AGENTS = {3: "three\n", 30: "thirty\n", 55: "fifty-five\n"}


def lines(edits: dict[int, str]) -> str:
    return "".join(edits.get(n, line) for n, line in enumerate(LINES))


def git(person: Person, *words: str) -> str:
    options = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    return subprocess.run(
        ["git", *options, *words], cwd=person.repository, check=True, capture_output=True, text=True
    ).stdout


def seen(person: Person) -> dict[str, object]:
    """All that the user could notice."""
    root = person.repository
    found: dict[str, object] = {
        str(place.relative_to(root)): (place.read_bytes(), place.stat().st_mode)
        for place in root.rglob("*")
        if place.is_file() and ".git" not in place.parts
    }
    commands = ("rev-parse HEAD", "for-each-ref refs/heads refs/tags", "diff --cached", "stash list")
    return found | {command: git(person, *command.split()) for command in commands}


@pytest.fixture
async def person(place: Place, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Somebody whose agent has edited three places of one file and another file."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "t")
    person = await place.person()
    (person.repository / "long.txt").write_text(lines({}))
    (person.repository / "other.txt").write_text("other\n")
    git(person, "config", "user.name", "t")
    git(person, "config", "user.email", "t@localhost")
    git(person, "add", "-A")
    git(person, "commit", "-qm", "two files")
    await person.prompt("say ready")
    await work(person, {"long.txt": lines(AGENTS), "other.txt": "agent's\n"})
    return person


async def work(person: Person, edits: dict[str, str | None]) -> None:
    """A turn in which the agent writes and removes files."""
    desk = person.repository.parent / f"desk-{new_id()}"
    for path, content in edits.items():
        if content is not None:
            (desk / path).parent.mkdir(parents=True, exist_ok=True)
            (desk / path).write_text(content)
    orders = [f"run cp -r {desk}/. ."] if desk.exists() else []
    orders += [f"run rm {path}" for path, content in edits.items() if content is None]
    turn = await person.prompt("; ".join(orders), mode="bypass")
    assert turn.end == "completed"


async def change_of(person: Person, path: str, status: str = "pending") -> Change:
    (found,) = [c for c in await person.runtime.changes(person.chat.id) if (c.path, c.status) == (path, status)]
    return found


async def statuses(person: Person) -> list[tuple[str, str, int]]:
    changes = await person.runtime.changes(person.chat.id)
    return sorted((change.path, change.status, len(change.hunks)) for change in changes)


async def decide(person: Person, verb: str, change: Change, places: Sequence[int]) -> tuple[Change, ...]:
    ids = [change.hunks[place].id for place in places]
    done: tuple[Change, ...] = await getattr(person.runtime, verb)(person.chat.id, [change.id], hunks={change.id: ids})
    return done


async def test_two_of_three_hunks_land_another_file_is_rejected_and_undo_gives_the_checkout_back(
    person: Person,
) -> None:
    before = seen(person)
    long, other = await change_of(person, "long.txt"), await change_of(person, "other.txt")
    assert len(long.hunks) == 3
    rest, applied = await decide(person, "apply", long, [0, 2])
    assert (applied.status, rest.status, rest.id, len(rest.hunks)) == ("applied", "pending", long.id, 1)
    await person.runtime.reject(person.chat.id, [other.id])
    assert (person.repository / "long.txt").read_text() == lines({3: "three\n", 55: "fifty-five\n"})
    assert (person.repository / "other.txt").read_text() == "other\n"
    assert await statuses(person) == [
        ("long.txt", "applied", 2),
        ("long.txt", "pending", 1),
        ("other.txt", "rejected", 1),
    ]
    await person.prompt("say next")
    assert len(await statuses(person)) == 3, "what was decided does not show again"
    await person.runtime.revert(person.chat.id, [applied.id])
    assert seen(person) == before
    pending = await change_of(person, "long.txt")
    assert [hunk.lines for hunk in pending.hunks] == [hunk.lines for hunk in long.hunks]
    await person.runtime.apply(person.chat.id, [pending.id])
    assert (person.repository / "long.txt").read_text() == lines(AGENTS)


@pytest.mark.parametrize("order", [(2, 0), (0, 2)])
async def test_hunks_land_in_any_order_and_twice_is_once(person: Person, order: tuple[int, int]) -> None:
    long = await change_of(person, "long.txt")
    for place in order:
        await decide(person, "apply", long, [place])
        await decide(person, "apply", long, [place])
    assert (person.repository / "long.txt").read_text() == lines({3: "three\n", 55: "fifty-five\n"})
    await decide(person, "apply", long, [1])
    assert (person.repository / "long.txt").read_text() == lines(AGENTS)
    assert ("long.txt", "pending", 1) not in await statuses(person)


async def test_a_rejected_hunk_is_gone_from_the_worktree_and_the_others_are_left_to_decide(person: Person) -> None:
    long = await change_of(person, "long.txt")
    before = seen(person)
    await decide(person, "reject", long, [1])
    assert (await person.worktree() / "long.txt").read_text() == lines({3: "three\n", 55: "fifty-five\n"})
    assert seen(person) == before
    await person.prompt("say next")
    await person.runtime.apply(person.chat.id, [(await change_of(person, "long.txt")).id])
    assert (person.repository / "long.txt").read_text() == lines({3: "three\n", 55: "fifty-five\n"})


async def test_a_decision_about_what_was_changed_again_is_refused(person: Person) -> None:
    long = await change_of(person, "long.txt")
    await work(person, {"long.txt": lines({**AGENTS, 3: "drei\n"})})
    for verb in ("apply", "reject"):
        with pytest.raises(StaleChange):
            await decide(person, verb, long, [0])
        with pytest.raises(StaleChange):
            await getattr(person.runtime, verb)(person.chat.id, [long.id])
    now = await change_of(person, "long.txt")
    with pytest.raises(StaleChange, match="has changed since this was shown"):
        await person.runtime.apply(person.chat.id, [now.id], hunks={now.id: [long.hunks[0].id]})
    with pytest.raises(InvalidOption):
        await person.runtime.apply(person.chat.id, [now.id], hunks={long.id: [long.hunks[1].id]})
    assert (person.repository / "long.txt").read_text() == lines({})


async def test_hunks_land_beside_what_the_user_changed_and_undo_leaves_that_alone(person: Person) -> None:
    file = person.repository / "long.txt"
    file.write_text(lines({10: "mine\n"}))
    before = seen(person)
    long = await change_of(person, "long.txt")
    assert [p.outcome for p in await person.runtime.preview(person.chat.id)] == ["merges", "clean"]
    _, applied = await decide(person, "apply", long, [0, 1])
    assert file.read_text() == lines({10: "mine\n", 3: "three\n", 30: "thirty\n"})
    await person.runtime.revert(person.chat.id, [applied.id])
    assert seen(person) == before
    again = await decide(person, "apply", await change_of(person, "long.txt"), [0])
    file.write_text(lines({10: "mine\n", 3: "three\n", 50: "later\n"}))
    await person.runtime.revert(person.chat.id, [again[1].id])
    assert file.read_text() == lines({10: "mine\n", 50: "later\n"})


async def test_a_place_that_the_user_changed_is_shown_with_both_sides_and_nothing_is_written(person: Person) -> None:
    (person.repository / "long.txt").write_text(lines({1: "", 30: "mine\n"}))
    long = await change_of(person, "long.txt")
    shown = {p.change_id: p for p in await person.runtime.preview(person.chat.id)}[long.id]
    (clash,) = shown.clashes
    assert shown.outcome == "conflict"
    assert (clash.line, clash.yours, clash.base, clash.theirs) == (30, ("mine",), ("line 30",), ("thirty",))
    before = seen(person)
    (stuck,) = await person.runtime.apply(person.chat.id, [long.id])
    assert (stuck.status, seen(person)) == ("conflict", before)
    await decide(person, "apply", long, [0, 2])
    assert (person.repository / "long.txt").read_text() == lines(
        {1: "", 30: "mine\n", 3: "three\n", 55: "fifty-five\n"}
    )


async def test_what_was_written_over_comes_back_to_the_byte(person: Person) -> None:
    file = person.repository / "other.txt"
    git(person, "config", "core.autocrlf", "input")
    file.write_bytes(b"other\r\n")
    file.chmod(0o640)
    before = seen(person)
    (done,) = await person.runtime.apply(person.chat.id, [(await change_of(person, "other.txt")).id])
    assert file.read_bytes() == b"agent's\r\n"
    await person.runtime.revert(person.chat.id, [done.id])
    assert seen(person) == before
    await work(person, {"other.txt": None})
    (gone,) = await person.runtime.apply(person.chat.id, [(await change_of(person, "other.txt")).id])
    assert not file.exists()
    git(person, "gc", "--quiet", "--prune=now")
    await person.runtime.revert(person.chat.id, [gone.id])
    assert seen(person) == before


async def test_undo_is_refused_where_the_user_wrote_since(person: Person) -> None:
    (done,) = await person.runtime.apply(person.chat.id, [(await change_of(person, "other.txt")).id])
    (person.repository / "other.txt").write_text("mine\n")
    (stuck,) = await person.runtime.revert(person.chat.id, [done.id])
    assert (stuck.status, "was changed where" in stuck.note) == ("applied", True)
    assert (person.repository / "other.txt").read_text() == "mine\n"


async def test_a_commit_has_the_change_alone_and_leaves_what_is_staged_and_what_is_not(person: Person) -> None:
    root = person.repository
    (root / "staged.txt").write_text("staged\n")
    git(person, "add", "staged.txt")
    (root / "long.txt").write_text(lines({10: "mine\n"}))
    git(person, "add", "long.txt")
    (root / "long.txt").write_text(lines({10: "mine\n", 45: "also mine\n"}))
    long = await change_of(person, "long.txt")
    ids = [long.hunks[0].id]
    changes = await person.runtime.apply(person.chat.id, [long.id], hunks={long.id: ids}, commit="Three\n\nWhy.")
    assert changes[1].note.startswith("Commit ")
    assert git(person, "log", "-1", "--format=%an %B").strip() == "t Three\n\nWhy."
    assert git(person, "show", "HEAD:long.txt") == lines({3: "three\n"})
    assert git(person, "show", ":long.txt") == lines({3: "three\n", 10: "mine\n"})
    assert (root / "long.txt").read_text() == lines({3: "three\n", 10: "mine\n", 45: "also mine\n"})
    assert git(person, "diff", "--cached", "--name-only").split() == ["long.txt", "staged.txt"]
    assert git(person, "status", "--porcelain").splitlines() == ["MM long.txt", "A  staged.txt"]
    await person.prompt("say next")
    assert len((await change_of(person, "long.txt")).hunks) == 2


async def test_a_branch_gets_a_commit_and_the_checkout_is_left_alone(person: Person) -> None:
    (person.repository / "long.txt").write_text(lines({10: "mine\n"}))
    before = seen(person)
    both = [change.id for change in await person.runtime.changes(person.chat.id)]
    await person.runtime.apply(person.chat.id, both, to="branch:agent/work")
    assert git(person, "show", "agent/work:long.txt") == lines(AGENTS)
    assert (
        git(person, "log", "-1", "--format=%s %P", "agent/work").split()[-1] == git(person, "rev-parse", "HEAD").strip()
    )
    git(person, "branch", "-m", "agent/work", "aside")
    git(person, "branch", "-D", "aside")
    assert seen(person) == before
    await person.prompt("say next")
    assert {change.status for change in await person.runtime.changes(person.chat.id)} == {"applied"}


async def test_a_commit_that_does_not_fit_is_none_and_writes_nothing(person: Person) -> None:
    (person.repository / "other.txt").write_text("mine\n")
    git(person, "add", "other.txt")
    before = seen(person)
    both = [change.id for change in await person.runtime.changes(person.chat.id)]
    stuck = await person.runtime.apply(person.chat.id, both, commit="Both")
    assert [change.status for change in stuck] == ["conflict", "conflict"]
    assert seen(person) == before
    with pytest.raises(Conflict, match="is checked out"):
        await person.runtime.apply(person.chat.id, both, to=f"branch:{git(person, 'branch', '--show-current').strip()}")
    for to in ("agent", "branch:", "branch:a..b", "branch:-x"):
        with pytest.raises(InvalidOption):
            await person.runtime.apply(person.chat.id, both, to=to)
    assert seen(person) == before


async def test_a_file_with_an_unresolved_conflict_is_not_committed_over(person: Person) -> None:
    (person.repository / "long.txt").write_text(lines({45: "stashed\n"}))
    git(person, "stash", "-q")
    (person.repository / "long.txt").write_text(lines({45: "mine\n"}))
    git(person, "commit", "-qam", "mine")
    with pytest.raises(subprocess.CalledProcessError):
        git(person, "stash", "pop", "-q")
    before, unmerged = seen(person), git(person, "ls-files", "-u")
    assert unmerged
    (stuck,) = await person.runtime.apply(person.chat.id, [(await change_of(person, "long.txt")).id], commit="Mine")
    assert (stuck.status, "not resolved" in stuck.note) == ("conflict", True)
    assert (seen(person), git(person, "ls-files", "-u")) == (before, unmerged)


async def test_the_preview_of_a_file_that_may_hold_secrets_shows_nothing_of_it(person: Person) -> None:
    (person.repository / ".env").write_text("KEY=mine\n")
    git(person, "add", "-f", ".env")
    git(person, "commit", "-qm", "oops")
    await person.runtime.reject(person.chat.id, [c.id for c in await person.runtime.changes(person.chat.id)])
    await person.prompt("say next")
    await work(person, {".env": "KEY=agent\n"})
    (person.repository / ".env").write_text("KEY=other\n")
    (shown,) = await person.runtime.preview(person.chat.id)
    assert (shown.outcome, shown.clashes) == ("conflict", ())
    assert "secrets" in shown.note


async def test_a_file_is_shown_before_and_after(person: Person) -> None:
    other = await change_of(person, "other.txt")
    old = await person.runtime.content(person.chat.id, other.id, old=True)
    new = await person.runtime.content(person.chat.id, other.id)
    assert (old.text, new.text, new.media_type) == ("other\n", "agent's\n", "text/plain")


async def test_a_created_and_a_renamed_file_come_and_go_again(person: Person) -> None:
    await person.runtime.reject(person.chat.id, [(await change_of(person, "other.txt")).id])
    await work(person, {"new/file.txt": "new\n", "moved.txt": "other\n", "other.txt": None})
    before = seen(person)
    changes = [
        c for c in await person.runtime.changes(person.chat.id) if c.path != "long.txt" and c.status == "pending"
    ]
    assert {(c.path, c.operation) for c in changes} == {("new/file.txt", "create"), ("moved.txt", "rename")}
    done = await person.runtime.apply(person.chat.id, [c.id for c in changes])
    assert (person.repository / "new/file.txt").read_text() == "new\n"
    assert not (person.repository / "other.txt").exists()
    await person.runtime.revert(person.chat.id, [c.id for c in done])
    assert seen(person) == before
