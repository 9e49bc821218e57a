"""Forks, exports, imports and native sessions that are gone on with: whole or not at all, and nothing counted twice."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from support.place import Person, Place

from coder_nb.core.entries import Entry, Notice, Usage
from coder_nb.core.export import from_lines, to_lines
from coder_nb.errors import Conflict, NotFound
from coder_nb.ids import new_id
from coder_nb.testing import scripted_agent

pytestmark = pytest.mark.anyio


def told(entries: list[Entry]) -> list[Any]:
    """What a transcript says, without what differs between a chat and its copy."""
    return [(entry.kind, entry.agent, entry.ts, entry.body) for entry in entries if not isinstance(entry.body, Usage)]


async def copy_of(person: Person, **options: Any) -> Person:
    chat = await person.runtime.fork(person.chat.id, **options)
    return Person(person.runtime, await person.runtime.get_session(chat.session_id), chat)


def notices(entries: list[Entry]) -> list[str]:
    return [entry.body.code for entry in entries if isinstance(entry.body, Notice)]


async def test_a_fork_begins_with_what_the_chat_held_and_both_go_on_apart(place: Place) -> None:
    person = await place.person()
    await person.prompt("say one")
    fork = await copy_of(person)
    before = await fork.entries()
    assert told(before[:-1]) == told(await person.entries())
    assert notices(before) == ["forked"]
    await fork.prompt("say two")
    assert len(await person.runtime.turns(person.chat.id)) == 1
    assert len(await person.runtime.turns(fork.chat.id)) == 2
    assert fork.session.id == person.session.id


async def test_a_fork_at_an_earlier_turn_ends_with_that_turn(place: Place) -> None:
    person = await place.person()
    first = await person.prompt("say one")
    await person.prompt("say two")
    fork = await copy_of(person, turn_id=first.id)
    assert told((await fork.entries())[:-1]) == told(await person.entries(first.id))


async def test_a_fork_is_never_made_in_the_middle_of_a_turn(place: Place) -> None:
    person = await place.person()
    await person.prompt("say one")
    running = await person.send("hang")
    await person.shown("user_message", "hang")
    turn = next(t for t in await person.runtime.turns(person.chat.id) if t.prompt_id == running)
    with pytest.raises(Conflict, match="still runs"):
        await person.runtime.fork(person.chat.id, turn_id=turn.id)
    fork = await copy_of(person)
    assert len(await person.runtime.turns(fork.chat.id)) == 1
    await person.runtime.stop(person.chat.id)


async def test_a_fork_of_a_chat_in_which_nothing_was_said_is_an_empty_chat(place: Place) -> None:
    person = await place.person()
    fork = await copy_of(person)
    assert notices(await fork.entries()) == ["forked"]


async def test_a_fork_at_an_unknown_turn_is_refused_and_makes_nothing(place: Place) -> None:
    person = await place.person()
    with pytest.raises(NotFound):
        await person.runtime.fork(person.chat.id, turn_id=new_id(), files="cloned")
    assert len(await person.runtime.sessions()) == 1


async def test_usage_of_a_fork_is_shown_and_never_counted_again(place: Place) -> None:
    person = await place.person()
    await person.prompt("usage 10 5")
    fork = await copy_of(person)
    assert [row.counted for row in await person.runtime.usage(fork.chat.id)] == [False]
    assert sum(row.counted for row in await person.runtime.usage()) == 1


async def test_an_agent_that_can_fork_goes_on_in_the_fork_with_its_own_memory(place: Place) -> None:
    person = await place.person()
    await person.prompt("say plums")
    fork = await copy_of(person)
    turn = await fork.prompt("recall")
    assert "plums" in await fork.said(turn.id)
    assert "memory_rebuilt" not in notices(await fork.entries(turn.id))
    first, second = await person.runtime.agent_sessions(person.session.id)
    assert first.native_id != second.native_id


async def test_a_fork_that_is_used_late_has_nothing_of_what_was_said_since(place: Place) -> None:
    person = await place.person()
    await person.prompt("say plums")
    fork = await copy_of(person)
    await person.prompt("say apples")
    turn = await fork.prompt("recall")
    assert "apples" not in await fork.said(turn.id)
    assert "memory_rebuilt" in notices(await fork.entries(turn.id))


async def test_an_agent_that_cannot_fork_is_told_the_conversation_and_an_entry_says_so(place: Place) -> None:
    person = await place.person(agents={"plain": scripted_agent.entry(fork=False)})
    await person.prompt("say one", agent="plain")
    fork = await copy_of(person)
    turn = await fork.prompt("say two", agent="plain")
    assert "memory_rebuilt" in notices(await fork.entries(turn.id))


async def test_a_cloned_fork_has_the_work_that_is_not_applied_and_decides_on_it_alone(place: Place) -> None:
    person = await place.person()
    await person.prompt("write work.txt mine", mode="bypass")
    fork = await copy_of(person, files="cloned")
    assert fork.session.id != person.session.id
    await fork.prompt("say hello")
    assert (await fork.worktree() / "work.txt").read_text() == (await person.worktree() / "work.txt").read_text()
    assert await fork.worktree() != await person.worktree()
    (change,) = await fork.runtime.changes(fork.chat.id)
    await fork.runtime.reject(fork.chat.id, [change.id])
    assert not (await fork.worktree() / "work.txt").exists()
    assert (await person.worktree() / "work.txt").exists()
    assert [each.status for each in await person.runtime.changes(person.chat.id)] == ["pending"]


async def test_a_clone_of_an_earlier_turn_has_the_files_as_they_were_then(place: Place) -> None:
    person = await place.person()
    first = await person.prompt("write work.txt early", mode="bypass")
    await person.prompt("write work.txt late", mode="bypass")
    fork = await copy_of(person, files="cloned", turn_id=first.id)
    await fork.prompt("say hello")
    assert "early" in (await fork.worktree() / "work.txt").read_text()


async def test_a_fresh_fork_works_on_the_checkout_as_it_is(place: Place) -> None:
    person = await place.person()
    await person.prompt("write work.txt mine", mode="bypass")
    fork = await copy_of(person, files="fresh")
    await fork.prompt("say hello")
    assert not (await fork.worktree() / "work.txt").exists()


async def test_a_fork_that_fails_leaves_nothing_behind(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await place.person()
    await person.prompt("write work.txt mine", mode="bypass")
    runtime = person.runtime

    async def full(*_: object, **__: object) -> bool:
        raise Conflict("The disk is full.")

    folders = set((await person.worktree()).parent.parent.iterdir())
    monkeypatch.setattr(runtime._store.copies, "plant", full)
    with pytest.raises(Conflict, match="full"):
        await runtime.fork(person.chat.id, files="cloned")
    assert [session.id for session in await runtime.sessions()] == [person.session.id]
    assert set((await person.worktree()).parent.parent.iterdir()) == folders


# Exports and imports -------------------------------------------------------------------------------------------------


async def imported(person: Person, data: bytes, **options: Any) -> Person:
    chat = await person.runtime.import_chat(person.session.id, from_lines(data), **options)
    return Person(person.runtime, person.session, chat)


async def exported(person: Person, **options: Any) -> bytes:
    return b"".join(to_lines(await person.runtime.export(person.chat.id, **options)))


async def test_an_export_comes_back_as_it_was(place: Place) -> None:
    person = await place.person()
    await person.prompt("write work.txt mine", mode="bypass")
    await person.prompt("usage 10 5")
    copy = await imported(person, await exported(person))
    assert told(await copy.entries()) == told(await person.entries())
    assert [turn.end for turn in await person.runtime.turns(copy.chat.id)] == ["completed", "completed"]
    assert copy.chat.title == (await person.state()).title


async def test_an_export_goes_to_another_store_and_on_from_there(place: Place, tmp_path_factory: Any) -> None:
    person = await place.person()
    await person.prompt("say one")
    data = await exported(person)
    elsewhere = Place(tmp_path_factory.mktemp("elsewhere"))
    try:
        copy = await imported(await elsewhere.person(), data)
        turn = await copy.prompt("say two")
        assert turn.end == "completed"
        assert "memory_rebuilt" in notices(await copy.entries(turn.id))
    finally:
        await elsewhere.close()


async def test_importing_twice_is_importing_once(place: Place) -> None:
    person = await place.person()
    await person.prompt("usage 10 5")
    data = await exported(person)
    first, second = await asyncio.gather(imported(person, data), imported(person, data))
    assert first.chat.id == second.chat.id == (await imported(person, data)).chat.id
    assert len((await person.runtime.get_session(person.session.id)).chats) == 2
    assert sum(row.counted for row in await person.runtime.usage()) == 1


async def test_an_imported_chat_with_turns_that_never_ended_can_be_gone_on_with(place: Place) -> None:
    person = await place.person()
    await person.prompt("say one")
    lines = (await exported(person)).splitlines(keepends=True)
    cut = b"".join(line for line in lines if b'"turn_ended"' not in line and not line.startswith(b'{"turn"'))
    copy = await imported(person, cut)
    assert [turn.end for turn in await person.runtime.turns(copy.chat.id)] == ["interrupted"]
    assert (await copy.prompt("say two")).end == "completed"


async def test_no_secret_of_the_environment_of_a_dotenv_file_or_of_a_tool_leaves_in_an_export(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "canary-in-the-environment")
    (place.repository / ".env").write_text("SETTING=canary-in-a-file\n")
    person = await place.person()
    await person.prompt("say canary-in-the-environment canary-in-a-file sk-ant-api03-canarycanarycanary")
    data = await exported(person)
    for canary in (b"canary-in-the-environment", b"canary-in-a-file", b"canarycanary"):
        assert canary not in data
    assert str(place.root).encode() not in b"".join(data.splitlines()[:1])
    whole = await exported(person, redact=False)
    assert b"canary-in-a-file" in whole


# Native sessions -----------------------------------------------------------------------------------------------------


async def test_a_native_session_is_adopted_once_and_gone_on_with(place: Place) -> None:
    person = await place.person()
    await person.prompt("say one")
    (known,) = await person.runtime.agent_sessions(person.session.id)
    other = await person.runtime.open_session(person.session.path, name="other")
    assert known.native_id
    adopt = partial(person.runtime.adopt, other.id, "scripted", known.native_id)
    first, second = await asyncio.gather(adopt(), adopt())
    assert first.id == second.id == (await adopt()).id
    (its,) = await person.runtime.agent_sessions(other.id)
    assert its.native_id == known.native_id
    adopted = Person(person.runtime, other, first)
    assert (await adopted.prompt("say two")).end == "completed"


async def test_what_an_agent_does_not_tell_of_its_sessions_is_said(place: Place) -> None:
    person = await place.person()
    chat = await person.runtime.adopt(person.session.id, "replay", "replay-1")
    adopted = Person(person.runtime, person.session, chat)
    assert notices(await adopted.entries()) == ["history_untold"]


def test_the_resource_of_a_chat_is_its_id_with_a_prefix() -> None:
    from coder_nb.core.sessions import ChatInfo

    assert ChatInfo(id="c" * 26, session_id="s" * 26).resource == f"coder-session/{'c' * 26}"
