"""Files, conversation or both go back to before a turn, through the whole runtime, and that is undone."""

from __future__ import annotations

import pytest
from support.place import Person, Place

from coder_nb.core.entries import UserMessage
from coder_nb.errors import Conflict, NotFound
from coder_nb.ids import new_id

pytestmark = pytest.mark.anyio


async def asked(person: Person) -> list[str]:
    return [e.body.text for e in await person.entries() if isinstance(e.body, UserMessage)]


async def pending(person: Person) -> list[tuple[str, str | None]]:
    changes = await person.runtime.changes(person.chat.id)
    return [(change.path, change.agent) for change in changes if change.status == "pending"]


async def test_files_and_conversation_go_back_and_forth(place: Place) -> None:
    person = await place.person()
    await person.prompt("write one.txt first", mode="bypass")
    second = await person.prompt("write one.txt second; write two.txt second; remember plums", mode="bypass")
    tree, runtime, chat = await person.worktree(), person.runtime, person.chat.id
    undo = await runtime.restore(chat, second.id)
    assert (tree / "one.txt").read_text().strip() == "first"
    assert not (tree / "two.txt").exists()
    assert await asked(person) == ["write one.txt first"]
    assert await pending(person) == [("one.txt", "scripted")]
    listed = await runtime.checkpoints(chat)
    assert [(c.kind, c.files, c.hidden) for c in listed] == [
        ("turn", True, False), ("turn", True, True), ("restore", True, False),
    ]  # fmt: skip
    await runtime.restore(chat, undo)
    assert (tree / "one.txt").read_text().strip() == "second"
    assert len(await asked(person)) == 2
    assert sorted(await pending(person)) == [("one.txt", "scripted"), ("two.txt", "scripted")]


async def test_an_agent_that_cannot_go_back_begins_anew_and_is_told_what_is_visible(place: Place) -> None:
    person = await place.person()
    await person.prompt("say apples")
    (before,) = await person.runtime.agent_sessions(person.session.id)
    second = await person.prompt("say plums")
    await person.runtime.restore(person.chat.id, second.id, files=False)
    third = await person.prompt("recall")
    (after,) = await person.runtime.agent_sessions(person.session.id)
    assert after.native_id not in (None, before.native_id)
    said = await person.said(third.id)
    assert "plums" not in said


async def test_files_alone_leave_the_conversation_and_the_agent_as_they_are(place: Place) -> None:
    person = await place.person()
    turn = await person.prompt("write one.txt x", mode="bypass")
    (before,) = await person.runtime.agent_sessions(person.session.id)
    undo = await person.runtime.restore(person.chat.id, turn.id, conversation=False)
    assert await asked(person) == ["write one.txt x"]
    assert not (await person.worktree() / "one.txt").exists()
    assert await pending(person) == []
    assert (await person.runtime.agent_sessions(person.session.id))[0].native_id == before.native_id
    await person.runtime.restore(person.chat.id, undo, conversation=False)
    assert await pending(person) == [("one.txt", "scripted")]


async def test_what_was_applied_since_is_to_be_taken_out_of_the_checkout_by_an_apply(place: Place) -> None:
    person = await place.person()
    turn = await person.prompt("write one.txt x", mode="bypass")
    (change,) = await person.runtime.changes(person.chat.id)
    await person.runtime.apply(person.chat.id, [change.id])
    await person.runtime.restore(person.chat.id, turn.id)
    assert (person.repository / "one.txt").exists()
    (back,) = [c for c in await person.runtime.changes(person.chat.id) if c.status == "pending"]
    assert (back.path, back.operation, back.agent) == ("one.txt", "delete", None)
    await person.runtime.apply(person.chat.id, [back.id])
    assert not (person.repository / "one.txt").exists()


async def test_nothing_is_restored_while_an_agent_works_or_where_there_is_nothing(place: Place) -> None:
    person = await place.person()
    first = await person.prompt("say hi")
    waiting = await person.send("say on; hang")
    await person.shown("text", "on")
    with pytest.raises(Conflict, match="stop it or wait"):
        await person.runtime.restore(person.chat.id, first.id)
    await person.runtime.stop(person.chat.id)
    await person.ended(waiting)
    with pytest.raises(NotFound, match="no such checkpoint"):
        await person.runtime.restore(person.chat.id, new_id())
