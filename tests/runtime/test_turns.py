"""Turns, through the whole runtime: real git, real store, a real agent process."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Callable

import pytest
from support.history import MemoryHistory
from support.place import DEADLINE, Person, Place, aclosing_stream, make_repository

from coder_nb import errors, ids
from coder_nb.backends.base import AgentSession, Opening
from coder_nb.backends.events import AnyEvent, Noticed, TextDelta, ToolUpdate
from coder_nb.core.entries import Notice, Permission, ToolCall, UserMessage
from coder_nb.core.prompts import Prompt
from coder_nb.core.stream import ChangesFrame
from coder_nb.runtime.agents import Agents
from coder_nb.runtime.turn import Turn
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent
from coder_nb.warm.process import Keeper

pytestmark = pytest.mark.anyio


async def test_an_agent_writes_in_the_worktree_and_the_checkout_changes_by_apply_alone(place: Place) -> None:
    person = await place.person()
    turn = await person.prompt("write new.txt content", mode="accept_edits")
    assert turn.end == "completed"
    (change,) = await person.runtime.changes(person.chat.id)
    assert (change.path, change.operation, change.agent, change.status) == ("new.txt", "create", "scripted", "pending")
    assert not (person.repository / "new.txt").exists()
    assert (await person.runtime.get_session(person.session.id)).branch is None
    (applied,) = await person.runtime.apply(person.chat.id, [change.id])
    assert applied.status == "applied"
    assert (person.repository / "new.txt").read_text().strip() == "content"
    (again,) = await person.runtime.apply(person.chat.id, [change.id])
    assert again == applied


async def test_a_rejected_change_is_gone_from_the_worktree_and_was_never_in_the_checkout(place: Place) -> None:
    person = await place.person()
    await person.prompt("write new.txt content", mode="accept_edits")
    (change,) = await person.runtime.changes(person.chat.id)
    (rejected,) = await person.runtime.reject(person.chat.id, [change.id])
    assert rejected.status == "rejected"
    assert not (await person.worktree() / "new.txt").exists()
    assert not (person.repository / "new.txt").exists()


async def test_the_second_turn_runs_in_the_same_process_and_the_same_native_session(place: Place) -> None:
    person = await place.person()
    first = await person.prompt("pid")
    (before,) = await person.runtime.agent_sessions(person.session.id)
    second = await person.prompt("pid; recall")
    (after,) = await person.runtime.agent_sessions(person.session.id)
    assert (await person.said(second.id)).startswith(await person.said(first.id))
    assert (before.native_id, before.pid) == (after.native_id, after.pid)


async def test_a_second_prompt_queues_and_runs_after_the_first(place: Place) -> None:
    person = await place.person()
    first = await person.send("stream 5 20")
    second = await person.send("say second")
    assert [prompt.id for prompt in (await person.state()).queued][-1:] == [second]
    one, two = await person.ended(first), await person.ended(second)
    assert one.ended_at is not None
    assert one.ended_at <= two.started_at


async def test_a_prompt_sent_twice_with_one_id_is_one_prompt(place: Place) -> None:
    person = await place.person()
    prompt_id = ids.new_id()
    await person.send("say once", id=prompt_id)
    await person.send("say once", id=prompt_id)
    await person.ended(prompt_id)
    await person.send("say once", id=prompt_id)
    await person.prompt("say other")
    assert [e.body.prompt_id for e in await person.entries() if isinstance(e.body, UserMessage)].count(prompt_id) == 1


@pytest.mark.parametrize("doing", ["stream 500 20", "hang", "run sleep 30"])
async def test_stop_cancels_the_turn_and_the_same_process_takes_the_next_prompt(place: Place, doing: str) -> None:
    person = await place.person()
    before = await person.said((await person.prompt("pid")).id)
    running = await person.send(f"think hm; {doing}", mode="bypass")
    await person.shown("reasoning", "hm")
    assert await person.runtime.stop(person.chat.id)
    assert (await person.ended(running)).end == "cancelled"
    assert await person.said((await person.prompt("pid")).id) == before


async def test_a_stopped_turn_is_never_recorded_as_complete_however_late_its_end_comes(place: Place) -> None:
    person = await place.person()
    running = await person.send("think hm; late 300")
    await person.shown("reasoning", "hm")
    await person.runtime.stop(person.chat.id)
    following = await person.send("say next")
    await person.runtime.go_on(person.chat.id)
    assert (await person.ended(running)).end == "cancelled"
    turn = await person.ended(following)
    assert turn.end == "completed"
    assert await person.said(turn.id) == "next"


async def test_an_agent_that_ignores_a_stop_is_ended_and_the_next_prompt_starts_it_again(place: Place) -> None:
    person = await place.person(cancel_grace=0.3)
    before = await person.said((await person.prompt("pid")).id)
    running = await person.send("think hm; deaf")
    await person.shown("reasoning", "hm")
    await person.runtime.stop(person.chat.id)
    assert (await person.ended(running)).end == "cancelled"
    after = await person.prompt("pid")
    assert after.end == "completed"
    assert await person.said(after.id) != before


async def test_after_a_stop_the_queue_is_held_until_the_user_goes_on(place: Place) -> None:
    person = await place.person()
    running = await person.send("think hm; hang")
    waiting = await person.send("say later")
    await person.shown("reasoning", "hm")
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    chat = await person.state()
    assert chat.held
    assert [prompt.id for prompt in chat.queued] == [waiting]
    await person.runtime.go_on(person.chat.id)
    assert (await person.ended(waiting)).end == "completed"


async def test_stopping_with_nothing_queued_does_not_hold_the_next_prompt(place: Place) -> None:
    person = await place.person()
    running = await person.send("think hm; hang")
    await person.shown("reasoning", "hm")
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    assert (await person.prompt("say on")).end == "completed"


@pytest.mark.parametrize("death", ["kill", "die 3", "half"])
async def test_an_agent_that_dies_ends_its_turn_as_failed_and_the_next_prompt_works(place: Place, death: str) -> None:
    person = await place.person()
    turn = await person.prompt(f"say before; {death}")
    assert turn.end == "failed"
    assert turn.message
    chat = await person.state()
    assert (chat.run_status, chat.error) == ("error", turn.message)
    after = await person.prompt("recall")
    assert after.end == "completed"
    assert "say before" in await person.said(after.id)
    assert (await person.state()).run_status == "idle"


@pytest.mark.parametrize("noise", ["garbage", "badutf8", "huge 20000000", "stderr 400000"])
async def test_noise_on_the_wire_costs_nothing_else(place: Place, noise: str) -> None:
    person = await place.person()
    turn = await person.prompt(f"say before; {noise}; say after")
    assert turn.end == "completed"
    said = await person.said(turn.id)
    assert said.startswith("before")
    assert said.endswith("after")


async def test_an_agent_that_exits_at_once_is_one_sentence_with_the_cause(place: Place) -> None:
    person = await place.person(agents={"gone": scripted_agent.entry(exit=4)})
    turn = await person.prompt("say x", agent="gone")
    assert turn.end == "failed"
    assert turn.code in {"agent_died", "agent_failed"}
    assert "4" in turn.message


async def test_an_agent_without_a_login_says_what_to_do(place: Place) -> None:
    person = await place.person(agents={"locked": scripted_agent.entry(auth=True)})
    turn = await person.prompt("say x", agent="locked")
    assert (turn.end, turn.code) == ("failed", "agent_not_logged_in")


async def test_what_cannot_be_asked_is_refused_and_leaves_no_trace(place: Place) -> None:
    person = await place.person(prompt_limit=100)
    for text, agent, error in [
        ("x", "nobody", errors.UnknownAgent),
        ("  \n", "scripted", errors.EmptyPrompt),
        ("é" * 51, "scripted", errors.PromptTooLong),
        ("x", "claude", errors.AgentDisabled),
        (7, "scripted", errors.InvalidOption),
        ("x", 7, errors.InvalidOption),
    ]:
        with pytest.raises(error, match=r"[.!`)}]$"):
            await person.send(text, agent=agent)
    with pytest.raises(errors.InvalidOption, match="There is no mode 'careful': choose one of plan, ask"):
        await person.send("x", mode="careful")
    assert await person.entries() == []
    assert (await person.state()).queued == ()


async def test_a_program_that_is_not_installed_is_named_with_how_to_install_it(place: Place) -> None:
    person = await place.person(agents={"absent": {"argv": ["no-such-program"], "install": "pip install it"}})
    with pytest.raises(errors.AgentNotInstalled, match="no-such-program.*pip install it"):
        await person.send("x", agent="absent")


async def test_a_permission_is_asked_denied_and_the_file_is_not_there(place: Place) -> None:
    person = await place.person()
    running = await person.send("write no.txt x", answers=("callback",))
    asked = await person.shown("permission")
    assert isinstance(asked.body, Permission)
    await person.asking("callback")
    refusal = next(option.id for option in asked.body.options if option.kind == "reject_once")
    with pytest.raises(errors.InvalidOption, match="'sure' is no answer to this permission"):
        await person.runtime.answer(person.chat.id, asked.body.request_id, "sure", by="a person")
    assert await person.runtime.answer(person.chat.id, asked.body.request_id, refusal, by="a person")
    turn = await person.ended(running)
    permission = next(e.body for e in await person.entries(turn.id) if isinstance(e.body, Permission))
    assert (permission.status, permission.by) == ("denied", "a person")
    assert not (await person.worktree() / "no.txt").exists()
    assert not await person.runtime.answer(person.chat.id, asked.body.request_id, refusal, by="late")


async def test_a_browser_that_was_just_seen_is_asked(place: Place) -> None:
    person = await place.person()
    await person.runtime.attend(person.chat.id, who="browser")
    running = await person.send("write yes.txt x")
    asked = await person.shown("permission")
    assert isinstance(asked.body, Permission)
    await person.asking("browser")
    allow = next(option.id for option in asked.body.options if option.kind == "allow_once")
    await person.runtime.answer(person.chat.id, asked.body.request_id, allow, by="a person")
    assert (await person.ended(running)).end == "completed"
    assert (await person.worktree() / "yes.txt").exists()


async def test_where_nobody_can_answer_the_call_is_denied_and_the_turn_says_so(place: Place) -> None:
    person = await place.person()
    turn = await person.prompt("write no.txt x")
    assert (turn.end, turn.code) == ("cancelled", "nobody_to_ask")
    permission = next(e.body for e in await person.entries(turn.id) if isinstance(e.body, Permission))
    assert (permission.status, permission.by) == ("denied", "nobody")
    assert not (await person.worktree() / "no.txt").exists()


async def test_the_administrators_limit_lowers_the_mode(place: Place) -> None:
    person = await place.person(most_permissive_mode="ask")
    turn = await person.prompt("write no.txt x", mode="bypass")
    assert turn.code == "nobody_to_ask"


async def test_plan_mode_writes_nothing(place: Place) -> None:
    person = await place.person()
    await person.prompt("write no.txt x", mode="plan")
    assert not (await person.worktree() / "no.txt").exists()


async def test_when_a_turn_ends_nothing_in_it_is_open(place: Place) -> None:
    person = await place.person()
    await person.runtime.attend(person.chat.id, who="browser")
    running = await person.send("say half; ask something")
    await person.shown("permission")
    await person.runtime.stop(person.chat.id)
    turn = await person.ended(running)
    entries = await person.entries(turn.id)
    assert not any(entry.open for entry in entries)
    assert [e.body.status for e in entries if isinstance(e.body, Permission)] == ["expired"]
    assert all(e.body.status in ("cancelled", "failed") for e in entries if isinstance(e.body, ToolCall))


async def test_an_agent_sees_what_others_said_since_its_last_turn(place: Place) -> None:
    person = await place.person()
    await person.prompt("say from the first")
    await person.prompt("say from the other", agent="other")
    await person.prompt("say on")
    turn = await person.prompt("recall")  # what it was prompted with, word for word
    assert "from the other" in await person.said(turn.id)


async def test_prompts_of_different_sessions_run_at_the_same_time(place: Place) -> None:
    runtime = await place.runtime()
    one = await place.person(runtime)
    two = await place.person(runtime, path=make_repository(place.root / "second"))
    held = await one.send("think hm; hang")
    await one.shown("reasoning", "hm")
    assert (await two.prompt("say meanwhile")).end == "completed"
    await runtime.stop(one.chat.id)
    assert (await one.ended(held)).end == "cancelled"


async def test_many_first_prompts_at_once_start_one_process(place: Place) -> None:
    person = await place.person()
    sent = [Prompt(id=ids.new_id(), text="pid", agent="scripted") for _ in range(8)]
    await asyncio.gather(*(person.runtime.prompt(person.chat.id, prompt) for prompt in sent))
    turns = [await person.ended(prompt.id) for prompt in sent]
    assert len({await person.said(turn.id) for turn in turns}) == 1


async def test_an_agent_whose_memory_is_lost_is_told_the_conversation_and_the_transcript_says_so(place: Place) -> None:
    agents = {"forgetful": scripted_agent.entry(load=False, resume=False)}
    person = await place.person(agents=agents)
    await person.prompt("say remember the milk", agent="forgetful")
    await person.prompt("kill", agent="forgetful")
    turn = await person.prompt("recall", agent="forgetful")
    codes = [e.body.code for e in await person.entries(turn.id) if isinstance(e.body, Notice)]
    assert "memory_rebuilt" in codes


async def test_a_turn_whose_changes_cannot_be_looked_for_has_its_end_and_the_next_one_shows_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person()

    async def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(person.runtime._context.worktrees, "changes", full)
        turn = await person.prompt("write a.txt x", mode="bypass")
    assert turn.end == "completed"
    assert any(e.kind == "error" and "No space left" in str(e.body) for e in await person.entries(turn.id))
    assert (await person.prompt("say on")).end == "completed"
    assert [change.path for change in await person.runtime.changes(person.chat.id)] == ["a.txt"]


async def test_a_session_goes_on_after_a_turn_that_broke_in_a_way_that_nobody_foresaw(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person()
    with monkeypatch.context() as fault:
        fault.setattr(Turn, "_settle", lambda self: 1 // 0)
        broken = await person.send("say before")
        assert (await person.ended(broken)).end == "interrupted"
    assert (await person.prompt("say on")).end == "completed"


async def test_an_agent_that_was_started_and_cannot_be_written_down_is_ended(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person()

    async def locked(*_: object) -> None:
        raise errors.StoreLocked

    with monkeypatch.context() as store:
        store.setattr(person.runtime._store.agents, "put", locked)
        assert (await person.prompt("pid")).code == "store_locked"
    assert not person.runtime._keeper._processes
    assert (await person.prompt("pid")).end == "completed"


@pytest.mark.parametrize("path", ["~nobody-has-that-name/work", "/a\0b", "/\ud800"])
async def test_a_path_that_no_directory_can_have_is_a_bad_path(place: Place, path: str) -> None:
    runtime = await place.runtime()
    with pytest.raises(errors.BadPath, match="check the path"):
        await runtime.open_session(path)


async def test_a_user_without_a_name_owns_what_they_make(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert (await place.person()).session.owner == f"user {os.getuid()}"


async def test_where_no_agent_can_be_used_it_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    agents = Agents(Settings(replay_recording=str(place.root / "absent.jsonl")), Keeper("0" * 26), MemoryHistory())
    with pytest.raises(errors.AgentUnavailable, match="No agent can be used here"):
        await agents.default()


async def test_what_an_agent_says_late_is_in_no_later_turn_and_what_it_offers_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person()
    opened, say = person.runtime._agents.open, []

    async def overheard(opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        say.append(idle_events)
        return await opened(opening, idle_events=idle_events)

    monkeypatch.setattr(person.runtime._agents, "open", overheard)
    await person.prompt("say first")
    for late in (TextDelta(text="late"), ToolUpdate(call_id="c", title="late"), Noticed(text="It compacts itself.")):
        say[0](late)
    turn = await person.prompt("say second")
    assert await person.said(turn.id) == "second"
    kinds = [entry.kind for entry in await person.entries(turn.id)]
    assert ("notice" in kinds, "tool_call" in kinds) == (True, False)


async def test_whoever_reads_a_chat_is_told_when_another_one_has_superseded_its_change(place: Place) -> None:
    person = await place.person()
    other = Person(person.runtime, person.session, await person.runtime.open_chat(person.session.id, name="other"))
    await person.prompt("write a.txt 1", mode="bypass")
    async with asyncio.timeout(DEADLINE), aclosing_stream(person) as frames:
        told = (frame.changes async for frame in frames if isinstance(frame, ChangesFrame))
        assert [change.path for change in await anext(told)] == ["a.txt"]
        await other.prompt("write a.txt 2", mode="bypass")
        while await anext(told):
            pass


async def test_an_agent_that_offers_nothing_has_its_memory_rebuilt_with_an_entry_that_says_so(place: Place) -> None:
    poor = {"scripted": scripted_agent.entry(resume=False, load=False)}
    person = await place.person(agents=poor)
    await person.prompt("say the number is 7")
    await person.runtime.close()
    person = await place.person(agents=poor)
    turn = await person.prompt("say again")
    notices = [e.body for e in await person.entries(turn.id) if isinstance(e.body, Notice)]
    assert [notice.code for notice in notices if notice.code != "files_left_out"] == ["memory_rebuilt"]
    asked = await person.prompt("recall")
    said = await person.said(asked.id)
    assert "the user to you: say the number is 7" in said
    assert "you: the number is 7" in said


async def test_an_agent_whose_settings_have_changed_begins_anew_and_is_told_what_was(place: Place) -> None:
    person = await place.person()
    await person.prompt("say the number is 7")
    (before,) = await person.runtime.agent_sessions(person.session.id)
    await person.runtime.close()
    changed = scripted_agent.entry() | {"model": "another"}
    person = await place.person(agents={"scripted": changed})
    turn = await person.prompt("say again")
    (after,) = await person.runtime.agent_sessions(person.session.id)
    assert before.config_hash
    assert (after.native_id == before.native_id, after.config_hash == before.config_hash) == (False, False)
    codes = [e.body.code for e in await person.entries(turn.id) if isinstance(e.body, Notice)]
    assert "config_changed" in codes
    assert "you: the number is 7" in await person.said((await person.prompt("recall")).id)
    await person.runtime.close()
    person = await place.person(agents={"scripted": changed})
    await person.prompt("say once more")
    (same,) = await person.runtime.agent_sessions(person.session.id)
    assert same.native_id == after.native_id


LINES = "think hm; say one; plan a, b; write new.txt text; usage 10 5; say two; stream 5 1"


async def test_an_agent_that_is_kept_and_one_that_is_not_leave_the_same_entries(place: Place) -> None:
    person = await place.person()
    kept = await person.prompt(LINES, mode="bypass")
    other = Person(person.runtime, person.session, await person.runtime.open_chat(person.session.id, name="other"))
    once = await other.prompt(LINES.replace("new.txt", "old.txt"), mode="bypass", once=True)
    seen = [
        [(e.kind, re.sub(r"scripted-[\d-]+", "", str(e.body))) for e in await who.entries(turn.id)]
        for who, turn in ((person, kept), (other, once))
    ]
    assert [kind for kind, _ in seen[0]] == [kind for kind, _ in seen[1]]
    alike = ("text", "reasoning", "plan", "usage")
    assert [body for kind, body in seen[0] if kind in alike] == [body for kind, body in seen[1] if kind in alike]
    live = {fact.key for fact in person.runtime._pool.facts()}
    assert live == {(person.chat.id, "scripted")}
    assert "one" in await other.said((await other.prompt("recall")).id), "it is resumed, as any other"
