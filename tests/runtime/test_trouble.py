"""What goes wrong between turns and beside them, and costs nothing else: deaths, copies, failing readers, restarts."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.place import DEADLINE, Person, Place, aclosing_stream

from coder_nb.client.follow import Follower
from coder_nb.core.changes import Change
from coder_nb.core.entries import Cell, Delta, Permission, Text, TurnStarted, UserMessage
from coder_nb.core.rules import Rule
from coder_nb.core.sessions import SessionInfo
from coder_nb.core.stream import DeltaFrame, Hello, PageFrame
from coder_nb.core.transcript import Transcript
from coder_nb.errors import InvalidOption, StoreError, StoreFull
from coder_nb.runtime import Runtime, runner, writer
from coder_nb.settings import Settings
from coder_nb.store.log import SqlLog
from coder_nb.warm import keeper

pytestmark = pytest.mark.anyio
KINDS = ("reasoning", "plan", "text")


def is_gone(pid: int) -> None:
    """Returns when the system knows a process no more; nobody here may know of it yet."""
    deadline = time.monotonic() + DEADLINE
    while (seen := keeper.look(pid)) is not None and not seen.dead:
        assert time.monotonic() < deadline


def open_below(folder: Path) -> list[str]:
    """The files of a folder that this process has open."""
    files = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return [path for path in files if path.startswith(str(folder))]


async def test_an_agent_that_is_killed_between_two_turns_costs_the_next_one_nothing(place: Place) -> None:
    person = await place.person()
    pid = int(await person.said((await person.prompt("pid")).id))
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(is_gone, pid)
    turn = await person.prompt("pid")
    assert (turn.end, turn.message) == ("completed", "")
    assert int(await person.said(turn.id)) != pid
    said = await person.said((await person.prompt("recall")).id)
    assert "I remember: pid" in said, said


async def test_an_agent_that_is_wanted_for_one_prompt_only_is_gone_when_it_has_ended(place: Place) -> None:
    person = await place.person()
    pid = int(await person.said((await person.prompt("pid", once=True)).id))
    assert not person.runtime._keeper._processes
    assert keeper.look(pid) is None
    assert person.runtime._pool.facts() == []


async def test_two_copies_of_a_notebook_that_are_open_at_once_see_one_chat_and_each_its_own_prompts(
    place: Place,
) -> None:
    original = await place.person()
    copy = Person(original.runtime, original.session, await original.runtime.open_chat(original.session.id))
    assert copy.chat.id == original.chat.id
    prompts = []
    for who, notebook in ((original, "work.ipynb"), (copy, "work-Copy1.ipynb")):
        cell = Cell(notebook=notebook, cell_id="c1")
        prompts.append(await who.prompt(f"say from {notebook}", cell=cell))
    for turn, notebook in zip(prompts, ("work.ipynb", "work-Copy1.ipynb"), strict=True):
        for reader in (original, copy):
            entries = await reader.entries(turn.id)
            (began,) = [entry.body for entry in entries if isinstance(entry.body, TurnStarted)]
            assert began.cell is not None
            assert (began.prompt_id, began.cell.notebook) == (turn.prompt_id, notebook)
            assert await reader.said(turn.id) == f"from {notebook}"


async def test_a_reader_that_fails_takes_nobody_with_it(place: Place) -> None:
    person = await place.person()

    async def failing() -> None:
        async with aclosing_stream(person) as frames:
            async for frame in frames:
                if isinstance(frame, DeltaFrame | PageFrame):
                    raise ZeroDivisionError

    async def faithful() -> str:
        return str((await person.shown("text", "over")).body)

    async with asyncio.timeout(DEADLINE):
        readers = [asyncio.ensure_future(failing()), asyncio.ensure_future(faithful())]
        turn = await person.prompt("stream 30 2; say over")
        failed, said = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(failed, ZeroDivisionError)
    assert "over" in str(said)
    assert turn.end == "completed"


async def test_a_reader_goes_on_with_its_cursor_after_a_restart_and_live_text_of_before_means_nothing(
    place: Place,
) -> None:
    person = await place.person()
    await person.prompt("say before")
    seen = Transcript()
    seen.apply(await person.runtime.read(person.chat.id))
    epoch, cursor = person.runtime.epoch, seen.rev
    await person.runtime.close()
    again = await place.person()
    running = await again.send("say after; hang")
    await again.shown("text", "after")
    (live,) = [e for e in await again.entries() if isinstance(e.body, Text) and e.open] or [None]
    if live is not None:  # a number that was right before: it lies within what is known, and so changes nothing
        seen.apply_delta(Delta(epoch=epoch, entry_id=live.id, offset=0, text="aft"))
    async with asyncio.timeout(DEADLINE):
        frames: Any = again.runtime.stream(again.chat.id, after=cursor)
        hello = await anext(frames)
        assert isinstance(hello, Hello)
        assert hello.epoch not in ("", epoch)
        await again.runtime.stop(again.chat.id)
        async for frame in frames:
            if isinstance(frame, PageFrame):
                assert all(entry.rev > cursor for entry in frame.page.entries)
                seen.apply(frame.page)
                if [entry.kind for entry in seen].count("turn_ended") == 2:
                    break
        await frames.aclose()
    await again.ended(running)
    full = Transcript()
    full.apply(await again.runtime.read(again.chat.id))
    assert [(entry.id, entry.body) for entry in seen] == [(entry.id, entry.body) for entry in full]
    assert [entry.body.text for entry in seen if isinstance(entry.body, UserMessage)] == [
        "say before",
        "say after; hang",
    ]


async def test_a_picture_between_a_plan_and_a_text_is_neither_lost_nor_part_of_the_text(place: Place) -> None:
    person = await place.person()
    picture = {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}
    update = json.dumps({"sessionUpdate": "agent_message_chunk", "content": picture}, separators=(",", ":"))
    turn = await person.prompt(f"think hm; plan one; update {update}; say hello")
    shown = [entry for entry in await person.entries(turn.id) if entry.kind in (*KINDS, "raw")]
    assert [entry.kind for entry in shown] == ["reasoning", "plan", "raw", "text"]
    assert "iVBORw0KGgo=" in str(shown[2].body)
    assert await person.said(turn.id) == "hello"


async def test_a_permission_that_waits_when_the_runtime_ends_is_expired_in_the_next_one(place: Place) -> None:
    person = await place.person()
    await person.runtime.attend(person.chat.id, who="browser")
    running = await person.send("write no.txt x")
    asked = (await person.shown("permission")).body
    assert isinstance(asked, Permission)
    await person.runtime.close()
    again = await place.person()
    turn = await again.ended(running)
    assert turn.end == "interrupted"
    (permission,) = [entry for entry in await again.entries(turn.id) if isinstance(entry.body, Permission)]
    assert (permission.body.status, permission.open) == ("expired", False)
    assert (await again.state()).asking is None
    yes = next(option.id for option in asked.options if option.kind == "allow_once")
    assert not await again.runtime.answer(again.chat.id, asked.request_id, yes, by="a button of before")
    assert not (await again.worktree() / "no.txt").exists()


async def test_an_agent_whose_turn_fails_here_is_stopped_before_its_turn_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person(permission_grace=DEADLINE)
    await person.prompt("say one")
    (session,) = [person.runtime._pool.get(key) for key in person.runtime._pool]
    book = person.runtime._context.rulebook
    holding, looks, at_its_end = book.holding, iter((False, True)), []

    async def full_at_the_second_look(of: SessionInfo) -> tuple[Rule, ...]:
        if next(looks, False):
            raise StoreFull
        return await holding(of)

    async def look_at_it(*given: object) -> tuple[Change, ...]:
        at_its_end.append(session._turn)  # type: ignore[union-attr]
        return ()

    (runner,) = person.runtime._host.runners.values()
    monkeypatch.setattr(book, "holding", full_at_the_second_look)
    monkeypatch.setattr(runner.tree, "changes", look_at_it)
    assert (await person.prompt("say two; ask Something; say three")).code == StoreFull.code
    assert at_its_end == [None]  # it does nothing more when it is looked what it has changed
    assert (await person.prompt("say four")).end == "completed"
    assert person.runtime._pool.get((person.chat.id, "scripted")) is session


async def test_a_store_that_is_deleted_below_a_turn_fails_it_for_all_who_see_it_and_takes_no_prompt(
    place: Place,
) -> None:
    person = await place.person()
    prompt_id = await person.send("say before; stream 100000 100")
    await person.shown("text", "before")
    for file in place.root.glob("store.sqlite*"):
        file.unlink()
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(StoreError, match="deleted, moved or replaced") as told:
            await Follower(person.runtime, person.chat.id, prompt_id).follow(0)
    chat = await person.state()
    assert (chat.run_status, chat.turn_id, chat.error) == ("error", None, told.value.message)
    with pytest.raises(StoreError) as refused:
        await person.send("say more")
    assert refused.value.message == told.value.message
    exported = await person.runtime.export(person.chat.id)
    assert "before" in str([entry.body for entry in exported.entries])
    await person.runtime.close()
    again = await place.person()
    assert (await again.prompt("say after")).end == "completed"


async def test_an_agent_whose_worktree_was_deleted_while_it_was_idle_works_in_the_new_one(place: Place) -> None:
    person = await place.person()
    pid = await person.said((await person.prompt("pid")).id)
    await asyncio.to_thread(shutil.rmtree, await person.worktree())
    turn = await person.prompt("pid; run cat hello.txt && echo new > new.txt", mode="bypass")
    assert (turn.end, turn.message) == ("completed", "")
    assert pid not in await person.said(turn.id)
    assert [change.path for change in await person.runtime.changes(person.chat.id)] == ["new.txt"]
    warm = person.runtime._pool.get((person.chat.id, "scripted"))
    assert (await person.prompt("say more")).end == "completed"
    assert person.runtime._pool.get((person.chat.id, "scripted")) is warm


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The disk is full for as many commits as are said here, and is tried again at once."""
    left, commit = Counter[str](), SqlLog.commit

    async def commit_or_not(log: SqlLog, *given: Any, **named: Any) -> Any:
        if left["commits"]:
            left["commits"] -= 1
            raise StoreFull
        return await commit(log, *given, **named)

    monkeypatch.setattr(SqlLog, "commit", commit_or_not)
    monkeypatch.setattr(writer, "AGAIN", 0)
    monkeypatch.setattr(runner, "AGAIN", 0)
    return left


async def test_a_turn_that_a_full_disk_stops_has_its_end_and_all_it_said_when_there_is_room_again(
    place: Place, refuse: Counter[str]
) -> None:
    person = await place.person()
    prompt = await person.send("say begin; hang")
    await person.shown("text", "begin")
    refuse["commits"] = 1_000_000
    await person.runtime.stop(person.chat.id)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(StoreError, match="disk is full"):
            await Follower(person.runtime, person.chat.id, prompt).follow(0)
    refuse["commits"] = 0
    turn = await person.ended(prompt)
    assert (turn.end, await person.said(turn.id)) == ("cancelled", "begin")
    assert (await person.prompt("say on")).end == "completed"


async def test_a_prompt_that_a_full_disk_does_not_let_begin_begins_by_itself_when_there_is_room_again(
    place: Place, refuse: Counter[str]
) -> None:
    person = await place.person()
    await person.prompt("say one")
    refuse["commits"] = 3
    turn = await person.prompt("say two")
    assert (turn.end, await person.said(turn.id), refuse["commits"]) == ("completed", "two", 0)


async def test_a_runtime_whose_agents_are_not_understood_leaves_nothing_open(tmp_path: Path) -> None:
    settings = Settings(database=str(tmp_path / "store.sqlite"), agents={"mine": {"argv": "no list"}})
    with pytest.raises(InvalidOption, match=r"agents\.mine"):
        await Runtime.open(settings, label="a test")
    assert not open_below(tmp_path)
