"""What was kept for long enough goes, whole; what may hold work stays."""

from __future__ import annotations

import pytest
from support.place import Person, Place

from coder_nb.core.retention import DAY
from coder_nb.errors import NotFound
from coder_nb.runtime import Runtime, retention
from coder_nb.runtime.context import Context

pytestmark = pytest.mark.anyio


async def swept(runtime: Runtime, monkeypatch: pytest.MonkeyPatch, *, after_days: float) -> list[str]:
    """What goes when so many days have passed."""
    later = Context.now() + int(after_days * DAY)
    with monkeypatch.context() as patched:
        patched.setattr(Context, "now", staticmethod(lambda: later))
        return await retention.sweep(runtime._context, runtime.delete_chat)


async def test_a_chat_that_nobody_used_for_so_long_is_gone_with_its_worktree(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person(keep_days=30)
    await person.prompt("say plums")
    worktree = await person.worktree()
    assert await swept(person.runtime, monkeypatch, after_days=29) == []
    assert await swept(person.runtime, monkeypatch, after_days=31) == [person.chat.id]
    assert not worktree.exists()
    with pytest.raises(NotFound):
        await person.runtime.get_chat(person.chat.id)


async def test_a_chat_with_work_that_was_not_applied_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await place.person(keep_days=30)
    await person.prompt("write work.txt mine", mode="bypass")
    assert await swept(person.runtime, monkeypatch, after_days=99) == []
    assert (await person.worktree() / "work.txt").exists()


async def test_nothing_goes_by_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await place.person()
    await person.prompt("say plums")
    assert await swept(person.runtime, monkeypatch, after_days=9999) == []


async def test_what_is_said_of_a_session_counts_for_it_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await place.person()
    other = await person.runtime.open_session(person.session.path, name="other")
    chat = await person.runtime.open_chat(other.id)
    await person.prompt("say plums")
    await Person(person.runtime, other, chat).prompt("say apples")
    await person.runtime.keep(other.id, days=7)
    assert await swept(person.runtime, monkeypatch, after_days=8) == [chat.id]


async def test_a_turn_that_runs_is_not_swept_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await place.person(keep_days=1)
    await person.send("hang")
    await person.shown("user_message", "hang")
    assert await swept(person.runtime, monkeypatch, after_days=9) == []
    await person.runtime.stop(person.chat.id)
