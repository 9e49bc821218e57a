"""Rules through the runtime: made with an answer, asked before anyone else, told in the audit, revoked."""

from __future__ import annotations

import asyncio
import getpass
from typing import Any

import pytest
from support.place import Person, Place, make_repository

from coder_nb import errors
from coder_nb.core.entries import Entry, Notice, Permission
from coder_nb.core.prompts import Prompt
from coder_nb.core.rules import Always, Commands, Edits, Line, Uses
from coder_nb.ids import new_id
from coder_nb.runtime.asking import Presence

pytestmark = pytest.mark.anyio


async def permissions(person: Person, turn_id: str | None = None) -> list[Permission]:
    return [entry.body for entry in await person.entries(turn_id) if isinstance(entry.body, Permission)]


async def waiting(person: Person, text: str) -> Permission:
    """The permission that waits, with a text in it, as soon as it can be answered."""

    def found(entries: list[Entry]) -> Permission | None:
        bodies = [entry.body for entry in entries if isinstance(entry.body, Permission)]
        return next((body for body in bodies if body.status == "pending" and text in body.title), None)

    async with asyncio.timeout(60):
        await person.asking("browser")
        frames = person.runtime.stream(person.chat.id)
        async for _ in frames:
            if (body := found(await person.entries())) is not None and body.options:
                await frames.aclose()  # type: ignore[attr-defined]  # it is a generator
                return body
    raise AssertionError("nothing was asked")


async def answer(
    person: Person, text: str, option: str | None, always: Always | None = None, *, by: str | None = "ann"
) -> bool:
    asked = await waiting(person, text)
    return await person.runtime.answer(person.chat.id, asked.request_id, option, by=by, always=always)


async def watched(place: Place, **settings: Any) -> Person:
    """Somebody at a browser."""
    person = await place.person(**settings)
    await person.runtime.attend(person.chat.id, who="ann")
    return person


async def test_always_makes_a_rule_of_ours_that_answers_from_then_on_until_it_is_revoked(place: Place) -> None:
    person = await watched(place)
    first = await person.send("run echo one")
    asked = await waiting(person, "echo one")
    assert [option.kind for option in asked.options] == ["allow_once", "reject_once"], "the agent's own always"
    assert [(offer.id, offer.label) for offer in asked.offers] == [("commands", "echo …"), ("line", "this command")]
    assert asked.scopes == ("session", "project", "everywhere")
    assert await answer(person, "echo one", "yes", Always("commands", "session"))
    turn = await person.ended(first)
    (rule,) = await person.runtime.rules(person.session.id)
    assert (rule.does, rule.scope, rule.covers, rule.by) == ("allow", "session", Commands(("echo",)), "ann")
    assert rule.session_id == person.session.id
    (told,) = await permissions(person, turn.id)
    assert (told.status, told.by, told.rules) == ("allowed", "ann", (rule.id,))
    assert told.why == "allow commands that begin with `echo`, in this session"

    second = await person.prompt("run echo two && echo three")
    (told,) = await permissions(person, second.id)
    assert (told.status, told.by, told.rules, told.why) == ("allowed", "rule", (rule.id,), rule.text)

    assert await person.runtime.revoke(rule.id, by="ann")
    assert not await person.runtime.revoke(rule.id, by="ann")
    assert await person.runtime.rules(person.session.id) == ()
    assert [known.revoked_by for known in await person.runtime.rules()] == ["ann"]
    third = await person.send("run echo four")
    assert await answer(person, "echo four", "no")
    assert (await permissions(person, (await person.ended(third)).id))[0].status == "denied"


async def test_where_nobody_is_named_rules_and_audit_name_the_user_of_the_operating_system(place: Place) -> None:
    person, me = await watched(place), getpass.getuser()
    sent = await person.send("run echo one")
    assert await answer(person, "echo one", "yes", Always("commands", "session"), by=None)
    await person.ended(sent)
    made = await person.runtime.make_rule(Commands(("ls",)), does="allow", scope="everywhere")
    assert await person.runtime.revoke(made.id)
    first, second = await person.runtime.rules()
    (told,) = await person.runtime.audit()
    assert (first.by, second.by, second.revoked_by, told.by, person.session.owner) == (me,) * 5


async def test_what_the_rule_does_not_say_is_asked(place: Place) -> None:
    person = await watched(place)
    await person.runtime.make_rule(
        Commands(("echo",)), does="allow", scope="session", session_id=person.session.id, by="ann"
    )
    for line in ("echo $(touch x)", "echo a > x", "touch x", "echo a | tee x"):
        running = await person.send(f"run {line}")
        assert await answer(person, line, "no")
        await person.ended(running)
    assert not (await person.worktree() / "x").exists()


async def test_a_rule_about_files_holds_in_its_folder_and_nowhere_else(place: Place) -> None:
    person = await watched(place)
    running = await person.send("write src/a.txt one")
    asked = await waiting(person, "a.txt")
    assert [offer.id for offer in asked.offers] == ["file", "folder", "edits"]
    assert await answer(person, "a.txt", "yes", Always("folder", "session"))
    await person.ended(running)
    assert (await person.prompt("write src/deep/b.txt two")).end == "completed"
    (rule,) = await person.runtime.rules(person.session.id)
    assert rule.covers == Edits("src/")
    (await person.worktree() / "src" / "out").symlink_to(place.root)
    for path in ("c.txt", "src/../d.txt", "src/out/e.txt"):
        running = await person.send(f"write {path} three")
        assert await answer(person, path, "no"), path
        await person.ended(running)
    assert not (place.root / "e.txt").exists()


async def test_a_rule_holds_in_its_session_in_its_project_or_everywhere(place: Place) -> None:
    person = await watched(place)
    runtime = person.runtime
    for command, scope in (("echo", "session"), ("true", "project"), ("pwd", "everywhere")):
        made = await runtime.make_rule(
            Commands((command,)), does="allow", scope=scope, session_id=person.session.id, by="ann"
        )
        assert made.scope == scope
    again = await runtime.make_rule(Commands(("pwd",)), does="allow", scope="everywhere", by="bob")
    assert again.by == "ann", "the same rule, said twice"

    async def holding(session_id: str) -> list[str]:
        found = [rule.covers for rule in await runtime.rules(session_id)]
        return [covers.words[0] for covers in found if isinstance(covers, Commands)]

    other = await runtime.open_session(person.session.path, name="other")
    elsewhere = await runtime.open_session(str(make_repository(place.root / "elsewhere")))
    assert sorted(await holding(person.session.id)) == ["echo", "pwd", "true"]
    assert sorted(await holding(other.id)) == ["pwd", "true"]
    assert await holding(elsewhere.id) == ["pwd"]
    with pytest.raises(errors.InvalidOption, match="session"):
        await runtime.make_rule(Commands(("ls",)), does="allow", scope="project", by="ann")


async def test_a_new_rule_answers_what_already_waits(place: Place) -> None:
    person = await watched(place)
    elsewhere = await place.person(person.runtime, path=make_repository(place.root / "elsewhere"))
    await person.runtime.attend(elsewhere.chat.id, who="ann")
    running = [await person.send("run echo one"), await elsewhere.send("run echo two")]
    await waiting(elsewhere, "echo two")
    assert await answer(person, "echo one", "yes", Always("commands", "everywhere"))
    assert (await person.ended(running[0])).end == "completed"
    turn = await elsewhere.ended(running[1])
    assert [told.by for told in await permissions(elsewhere, turn.id)] == ["rule"]


async def test_what_is_forbidden_is_denied_in_every_mode_and_the_agent_is_made_to_ask(place: Place) -> None:
    person = await watched(place)
    rule = await person.runtime.make_rule(
        Commands(("touch",)), does="deny", scope="session", session_id=person.session.id, by="ann"
    )
    turn = await person.prompt("run touch x", mode="bypass")
    (told,) = await permissions(person, turn.id)
    assert (told.status, told.by, told.rules) == ("denied", "rule", (rule.id,))
    turn = await person.prompt("run echo fine", mode="bypass")
    (told,) = await permissions(person, turn.id)
    assert (told.status, told.by, told.why) == ("allowed", "mode", "the mode bypass allows it")
    assert not (await person.worktree() / "x").exists()
    await person.runtime.revoke(rule.id, by="ann")
    turn = await person.prompt("run touch x", mode="bypass")
    assert await permissions(person, turn.id) == [], "it asks no more than it has to"
    assert (await person.worktree() / "x").exists()


async def test_a_person_can_forbid_for_good_with_an_answer(place: Place) -> None:
    person = await watched(place)
    running = await person.send("run touch x")
    assert await answer(person, "touch x", "no", Always("commands", "project"))
    await person.ended(running)
    (rule,) = await person.runtime.rules(person.session.id)
    assert (rule.does, rule.text) == ("deny", "forbid commands that begin with `touch`, in this project")
    turn = await person.prompt("run touch y")
    assert [told.by for told in await permissions(person, turn.id)] == ["rule"]


async def test_no_rule_allows_anything_in_a_plan(place: Place) -> None:
    person = await watched(place)
    await person.runtime.make_rule(Commands(("touch",)), does="allow", scope="everywhere", by="ann")
    entry = person.runtime.settings.agents["scripted"]
    assert entry["modes"]["plan"] == {"id": "plan"}
    turn = await person.prompt("run touch x; shell touch y", mode="plan")
    assert all(told.status == "denied" and told.by == "mode" for told in await permissions(person, turn.id))
    assert not list((await person.worktree()).glob("[xy]"))


async def test_the_administrator_has_the_last_word(place: Place) -> None:
    limits = {"forbidden_commands": ("git push", "touch"), "most_lasting_rule": "session"}
    person = await watched(place, **limits, most_permissive_mode="accept_edits")
    with pytest.raises(errors.InvalidOption, match="at most in this session"):
        await person.runtime.make_rule(Commands(("touch",)), does="allow", scope="everywhere", by="ann")
    await person.runtime.make_rule(
        Commands(("touch",)), does="allow", scope="session", session_id=person.session.id, by="ann"
    )
    turn = await person.prompt("run touch x", mode="bypass")
    (told,) = await permissions(person, turn.id)
    assert (told.status, told.by) == ("denied", "administrator")
    assert told.why == "the administrator forbids commands that begin with `touch`"
    notices = [entry.body for entry in await person.entries(turn.id) if isinstance(entry.body, Notice)]
    assert [notice.code for notice in notices][:1] == ["mode_limited"]
    running = await person.send("run echo one")
    asked = await waiting(person, "echo one")
    assert asked.scopes == ("session",)
    with pytest.raises(errors.InvalidOption, match="no rule that was offered"):
        await person.runtime.answer(
            person.chat.id, asked.request_id, "yes", by="ann", always=Always("commands", "everywhere")
        )
    assert await answer(person, "echo one", "yes")
    await person.ended(running)


async def test_a_rule_that_reaches_further_than_the_administrator_lets_it_answers_no_more(place: Place) -> None:
    person = await place.person()
    await person.runtime.make_rule(Commands(("echo",)), does="allow", scope="everywhere", by="ann")
    assert (await person.prompt("run echo one")).end == "completed"
    await person.runtime.close()
    later = await watched(place, most_lasting_rule="none")
    running = await later.send("run echo two")
    asked = await waiting(later, "echo two")
    assert (asked.offers, asked.scopes) == ((), ())
    assert await answer(later, "echo two", "no")
    await later.ended(running)


async def test_what_the_administrator_forbids_is_understood_before_anything_runs(place: Place) -> None:
    with pytest.raises(errors.InvalidOption, match="beginning"):
        await place.runtime(forbidden_commands=("rm && x",))


async def test_only_what_was_offered_can_be_made_a_rule_and_only_once(place: Place) -> None:
    person = await watched(place)
    running = await person.send("run echo one")
    asked = await waiting(person, "echo one")
    chat, request = person.chat.id, asked.request_id
    for wrong in (Always("tool"), Always("commands", "planet")):  # type: ignore[arg-type]  # no such place
        with pytest.raises(errors.InvalidOption):
            await person.runtime.answer(chat, request, "yes", by="ann", always=wrong)
    with pytest.raises(errors.InvalidOption, match="no answer"):
        await person.runtime.answer(chat, request, "always", by="ann")
    both = await asyncio.gather(
        person.runtime.answer(chat, request, "yes", by="ann", always=Always("line")),
        person.runtime.answer(chat, request, "no", by="bob", always=Always("commands")),
    )
    assert sorted(both) == [False, True]
    await person.ended(running)
    assert [rule.covers for rule in await person.runtime.rules()] == [Line("echo one")]


async def test_a_rule_is_made_or_nothing_was_answered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await watched(place)
    running = await person.send("run echo one")
    asked = await waiting(person, "echo one")

    async def full(*_: object) -> None:
        raise errors.StoreFull("The disk is full: make room, then try again.")

    with monkeypatch.context() as broken:
        broken.setattr(type(person.runtime._store.rules), "add", full)
        with pytest.raises(errors.StoreFull):
            await person.runtime.answer(person.chat.id, asked.request_id, "yes", by="ann", always=Always("commands"))
    assert (await permissions(person))[0].status == "pending"
    assert await answer(person, "echo one", "yes", Always("commands"))
    assert (await person.ended(running)).end == "completed"


@pytest.mark.parametrize("elsewhere", ["two", "../.."])
async def test_a_rule_that_was_shown_is_made_as_it_was_shown_or_not_at_all(place: Place, elsewhere: str) -> None:
    person = await watched(place)
    await person.prompt("say ready")
    tree = await person.worktree()
    for folder in ("one", "two"):
        (tree / folder).mkdir()
    (tree / "link").symlink_to("one")
    running = await person.send("write link/a.txt x")
    asked = await waiting(person, "a.txt")
    assert [offer.text for offer in asked.offers][1] == "edits of all files below one/"
    (tree / "link").unlink()
    (tree / "link").symlink_to(elsewhere)
    with pytest.raises(errors.Conflict, match=r"edits of all files below one/.*: answer for this once\."):
        await answer(person, "a.txt", "yes", Always("folder"))
    assert await person.runtime.rules() == ()
    assert await answer(person, "a.txt", "no")
    await person.ended(running)


async def test_the_audit_tells_each_permission_once_with_who_or_what_answered(place: Place) -> None:
    person = await watched(place)
    running = await person.send("run echo one; write a.txt x; ask Nothing")
    assert await answer(person, "echo one", "yes", Always("commands"))
    assert await answer(person, "a.txt", "no")
    assert await answer(person, "Nothing", "yes", Always("tool"))
    first = await person.ended(running)
    second = await person.prompt("run echo two; write b.txt y; ask Again", mode="accept_edits")
    fork = await person.runtime.fork(person.chat.id)
    rows = await person.runtime.audit()
    told = [(row.turn_id, row.tool, row.command, row.status, row.by, len(row.rules)) for row in rows]
    assert told == [
        (first.id, "terminal", "echo one", "allowed", "ann", 1),
        (first.id, "file_write", str(await person.worktree() / "a.txt"), "denied", "ann", 0),
        (first.id, "nothing", None, "allowed", "ann", 1),
        (second.id, "terminal", "echo two", "allowed", "rule", 1),
        (second.id, "nothing", None, "allowed", "rule", 1),
    ]
    assert {row.path for row in rows} == {person.session.path}
    assert all(row.answered_at is not None and row.answered_at >= row.ts for row in rows)
    assert await person.runtime.audit(person.chat.id) == rows
    assert await person.runtime.audit(fork.id) == (), "a copy was not asked again"
    made = {rule.id: rule.entry_id for rule in await person.runtime.rules()}
    assert {made[rows[0].rules[0]], made[rows[2].rules[0]]} == {rows[0].entry_id, rows[2].entry_id}
    assert Uses("nothing") in [rule.covers for rule in await person.runtime.rules()]


async def test_a_permission_goes_with_its_turn_and_is_told_as_expired(place: Place) -> None:
    person = await watched(place)
    running = await person.send("run echo one")
    asked = await waiting(person, "echo one")
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    assert not await person.runtime.answer(person.chat.id, asked.request_id, "yes", by="ann", always=Always("line"))
    assert await person.runtime.rules() == ()
    (row,) = await person.runtime.audit()
    assert (row.status, row.by, row.answered_at) == ("expired", None, None)


async def test_what_waits_when_the_runtime_ends_is_expired_and_the_turn_interrupted(place: Place) -> None:
    person = await watched(place)
    await person.send("run echo one")
    await waiting(person, "echo one")
    await person.runtime.close()
    later = await place.person()
    assert await later.ends() == ["interrupted"]
    assert [told.status for told in await permissions(later)] == ["expired"]


async def test_a_caller_who_is_gone_is_asked_no_more_and_a_browser_is(place: Place) -> None:
    now = 0.0
    presence = Presence(clock=lambda: now)
    presence.seen("prompt")
    presence.seen("chat")
    answers = ("callback", "stdin")
    assert presence.answerer("chat", "permission", "prompt", answers) == "callback"
    now = 29.0
    presence.seen("chat")
    assert presence.answerer("chat", "permission", "prompt", answers) == "callback"
    now = 31.0
    assert presence.answerer("chat", "permission", "prompt", answers) == "browser"
    now = 60.0
    assert presence.answerer("chat", "permission", "prompt", answers) is None
    presence.seen("prompt")
    assert presence.answerer("chat", "permission", "prompt", ("stdin",)) == "stdin"


async def test_a_caller_who_says_that_they_wait_is_asked(place: Place) -> None:
    person = await place.person()
    prompt = Prompt(id=new_id(), text="run echo one", agent="scripted", answers=("callback",))
    await person.runtime.prompt(person.chat.id, prompt)
    await person.runtime.attend(person.chat.id, who="a kernel", prompt_id=prompt.id)
    await person.asking("callback")
    (asked,) = await permissions(person)
    assert await person.runtime.answer(person.chat.id, asked.request_id, "yes", by="callback")
    assert (await person.ended(prompt.id)).end == "completed"
