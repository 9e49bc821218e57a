"""The end of chats, sessions and worktrees: asked first, done whole, with ways out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.place import Person, Place

from coder_nb.core.entries import Notice
from coder_nb.core.sessions import SessionInfo
from coder_nb.errors import AtRisk, Conflict, NotFound
from coder_nb.runtime import reaper
from coder_nb.worktrees.removal import GOING
from coder_nb.worktrees.state import MAKING

pytestmark = pytest.mark.anyio


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


async def worked(place: Place, text: str = "write one.txt x", **settings: Any) -> Person:
    person = await place.person(**settings)
    await person.prompt(text, mode="bypass")
    return person


async def notices(person: Person) -> list[Notice]:
    return [e.body for e in await person.entries() if isinstance(e.body, Notice) and e.body.code == "outside"]


async def test_a_session_without_work_is_closed_and_goes_on_when_it_is_prompted(place: Place) -> None:
    person = await worked(place, "say hi")
    tree = await person.worktree()
    await person.runtime.close_session(person.session.id)
    assert not tree.exists()
    assert git(place.repository, "worktree", "list").count("\n") == 1
    assert (await person.runtime.get_session(person.session.id)).worktree is None
    assert all(info.pid is None for info in await person.runtime.agent_sessions(person.session.id))
    assert (await person.prompt("say again")).end == "completed"
    assert (await person.worktree()).is_dir()


async def test_deleting_by_force_leaves_nothing_and_without_it_everything(place: Place) -> None:
    person = await worked(place)
    tree = await person.worktree()
    with pytest.raises(AtRisk) as refused:
        await person.runtime.delete_session(person.session.id)
    assert refused.value.report.pending == 1  # type: ignore[attr-defined]
    assert (tree / "one.txt").exists()
    assert (await person.runtime.get_session(person.session.id)).worktree == str(tree)
    await person.runtime.delete_session(person.session.id, force=True)
    assert not tree.parent.exists()
    assert git(place.repository, "for-each-ref", "refs/coder-nb") == ""
    with pytest.raises(NotFound):
        await person.runtime.get_chat(person.chat.id)


async def test_work_can_be_stashed_or_kept_on_a_branch_and_then_nothing_is_at_risk(place: Place) -> None:
    person = await worked(place)
    assert not (await person.runtime.stash(person.session.id)).at_risk
    assert "one.txt" in git(place.repository, "stash", "show", "--include-untracked", "--name-only")
    await person.prompt("write two.txt y", mode="bypass")
    assert not (await person.runtime.keep_branch(person.session.id, "idea")).at_risk
    assert git(place.repository, "show", "idea:two.txt").strip() == "y"
    assert "coder-nb.invalid" not in git(place.repository, "log", "-1", "--format=%ae %ce", "main..idea")
    with pytest.raises(Conflict, match="branch idea already"):
        await person.runtime.keep_branch(person.session.id, "idea")
    await person.runtime.delete_session(person.session.id)


async def test_only_the_last_chat_of_a_session_takes_the_worktree_with_it(place: Place) -> None:
    person = await worked(place, "say hi")
    other = await person.runtime.open_chat(person.session.id, name="other")
    tree = await person.worktree()
    await person.runtime.close_chat(other.id)
    assert tree.exists()
    assert (await person.runtime.agent_sessions(person.session.id))[0].status == "warm"
    await person.runtime.delete_chat(person.chat.id)
    assert not tree.exists()
    with pytest.raises(NotFound):
        await person.runtime.get_chat(person.chat.id)


async def test_a_chat_with_pending_changes_is_not_deleted_by_the_way(place: Place) -> None:
    person = await worked(place)
    await person.runtime.open_chat(person.session.id, name="other")
    with pytest.raises(AtRisk, match=r"1 pending change\b"):
        await person.runtime.delete_chat(person.chat.id)
    await person.runtime.delete_chat(person.chat.id, force=True)
    assert (await person.worktree() / "one.txt").exists()


async def test_a_session_at_work_is_closed_by_force_alone(place: Place) -> None:
    person = await place.person()
    running = await person.send("say on; hang")
    await person.shown("text", "on")
    with pytest.raises(Conflict, match="An agent is working"):
        await person.runtime.close_session(person.session.id)
    await person.runtime.close_session(person.session.id, force=True)
    turns = await person.runtime.turns(person.chat.id)
    assert [(turn.prompt_id, turn.end) for turn in turns] == [(running, "cancelled")]


async def orphaned(place: Place) -> tuple[Person, Path]:
    """A worktree without any work in it, and whose session is gone."""
    person = await worked(place, "say hi")
    tree = await person.worktree()
    runtime: Any = person.runtime
    lease, _ = await runtime._host.worker(person.session.id)
    await runtime._store.catalog.delete_session(lease, person.session.id)
    return person, tree


def left_alone(tree: Path) -> None:
    past = time.time() - 4000
    for path in (tree.parent, tree, *tree.iterdir()):
        os.utime(path, (past, past), follow_symlinks=False)


async def test_an_orphan_is_reaped_when_it_was_left_alone_and_holds_nothing(place: Place) -> None:
    person, tree = await orphaned(place)
    runtime = person.runtime
    (info,) = await runtime.worktrees()
    assert (info.standing, info.why) == ("left", "It was written to less than 60 minutes ago.")
    left_alone(tree)
    (info,) = await runtime.reap(dry_run=True)
    assert (info.standing, tree.exists()) == ("to take", True)
    (info,) = await runtime.reap()
    assert (info.standing, tree.parent.exists()) == ("taken", False)
    assert await runtime.reap() == ()
    assert git(place.repository, "worktree", "list").count("\n") == 1
    assert git(place.repository, "for-each-ref", "refs/coder-nb") == ""


@pytest.mark.parametrize("end", [GOING, MAKING])
async def test_what_was_being_made_or_removed_when_its_runtime_died_goes(place: Place, end: str) -> None:
    person, tree = await orphaned(place)
    tree.parent.rename(tree.parent.with_name(tree.parent.name + end))
    await person.runtime.reap()
    assert list(tree.parent.parent.iterdir()) == []


@pytest.mark.parametrize("what", ["it has an owner again", "somebody works in it"])
async def test_an_orphan_that_is_not_one_any_more_when_it_is_to_go_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    person, tree = await orphaned(place)
    left_alone(tree)
    runtime: Any = person.runtime
    take = reaper._take

    async def late(*given: Any) -> Any:
        if what == "somebody works in it":
            (tree / "work.txt").write_text("precious\n")
            left_alone(tree)
        else:
            monkeypatch.setattr(runtime._store.catalog, "sessions", lambda: asyncio.sleep(0, (person.session,)))
        return await take(*given)

    monkeypatch.setattr(reaper, "_take", late)
    (info,) = await runtime.reap()
    assert (info.standing, tree.is_dir()) == ("left", True)
    assert ("It belongs to" if what == "it has an owner again" else "At risk: 1 untracked file") in info.why


async def test_an_orphan_that_is_a_link_stays_with_what_it_leads_to(place: Place, tmp_path: Path) -> None:
    person, tree = await orphaned(place)
    left_alone(tree)
    elsewhere = tree.parent.rename(tmp_path / "elsewhere")
    tree.parent.symlink_to(elsewhere)
    past = time.time() - 4000
    os.utime(tree.parent, (past, past), follow_symlinks=False)
    (info,) = await person.runtime.reap()
    assert (info.standing, info.why) == ("left", "It is a symbolic link: what it leads to is not touched.")
    assert (elsewhere / tree.name / "hello.txt").exists()
    assert tree.parent.is_symlink()


async def test_in_place_an_agent_works_in_the_checkout_and_its_changes_are_accepted_or_rejected(place: Place) -> None:
    runtime = await place.runtime()
    session: SessionInfo = await runtime.open_session(str(place.repository), isolation="none")
    person = Person(runtime, session, await runtime.open_chat(session.id))
    turn = await person.prompt("write one.txt x; write two.txt y", mode="bypass")
    assert (place.repository / "one.txt").read_text().strip() == "x"
    one, two = await runtime.changes(person.chat.id)
    assert (one.path, one.agent, one.status) == ("one.txt", "scripted", "pending")
    await runtime.apply(person.chat.id, [one.id])
    await runtime.reject(person.chat.id, [two.id])
    assert sorted(p.name for p in place.repository.glob("*.txt")) == ["hello.txt", "one.txt"]
    (place.repository / "mine.txt").write_text("the user's\n")
    await person.prompt("say hi")
    assert [c.path for c in await runtime.changes(person.chat.id) if c.status == "pending"] == []
    await runtime.restore(person.chat.id, turn.id)
    assert not (place.repository / "one.txt").exists()
    assert await notices(person) == []
    await runtime.delete_session(session.id)
    assert (place.repository / "hello.txt").exists()
    await runtime.open_session(str(place.repository))
    with pytest.raises(Conflict, match="begun otherwise"):
        await runtime.open_session(str(place.repository), isolation="none")


async def test_a_write_outside_the_worktree_is_told_after_the_turn(place: Place) -> None:
    person = await place.person()
    target = place.repository / "leak.txt"
    await person.prompt(f"run echo x > '{target}'", mode="bypass")
    (notice,) = await notices(person)
    assert notice.level == "warning"
    assert "The agent wrote outside its worktree, into your checkout: leak.txt" in notice.text
    running = await person.send("say on; hang")
    await person.shown("text", "on")
    (place.repository / "hello.txt").write_text("the user's\n")
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    (_, other) = await notices(person)
    assert other.level == "info"
    assert "changed in your checkout: hello.txt. If it was neither you" in other.text


async def test_an_apply_during_a_turn_is_no_write_outside_the_worktree(place: Place) -> None:
    person = await worked(place)
    (change,) = await person.runtime.changes(person.chat.id)
    running = await person.send("say on; hang")
    await person.shown("text", "on")
    await person.runtime.apply(person.chat.id, [change.id])
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    assert (place.repository / "one.txt").exists()
    assert await notices(person) == []
