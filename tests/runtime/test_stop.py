"""Stop, wherever a turn is: it ends as cancelled, once, with all that is open in it, and the next prompt is taken."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.model import Say, last_said, scripted_model
from support.place import DEADLINE, Person, Place
from support.recording import Writer, an_edit

from coder_nb import errors
from coder_nb.core.entries import Permission, Question, Text, ToolCall, TurnEnded
from coder_nb.core.permissions import PermissionMode
from coder_nb.runtime.tree import Tree
from coder_nb.testing import scripted_agent
from coder_nb.warm import keeper

pytestmark = pytest.mark.anyio
SEED = 7
MOMENTS = 60 if os.environ.get("CODER_NB_TEST_LONG") else 8


class Doing(NamedTuple):
    """What a turn can be doing when it is stopped."""

    prompt: str
    shown: str
    """The kind of entry by which it is seen that it does it."""
    mode: PermissionMode = "ask"
    sign: str = ""
    tells: bool = False
    """Whether its command's process has said its number, and has to be gone."""


class Kind(NamedTuple):
    """A kind of backend: its agent, what brings it to do each thing, and a prompt that it answers."""

    agent: str
    settings: dict[str, Any]
    doing: dict[str, Doing]
    answers: str = "say on"


PID = "sleep.pid"
LONG_COMMAND = f"echo $$ > {PID}; sleep 3600 & sleep 3600"


def over_acp() -> Kind:
    doing = {
        "text": Doing("say begun; stream 5000 5", "text", sign="begun"),
        "silence": Doing("say begun; hang", "text", sign="begun"),
        "permission": Doing("ask something", "permission"),
        "question": Doing("choose red, blue", "question"),
        "tool": Doing(f"run {LONG_COMMAND.replace(';', '&&')}", "tool_call", "bypass", tells=True),
        "command": Doing(f"shell {LONG_COMMAND.replace(';', '&&')}", "tool_call", "bypass", tells=True),
    }
    return Kind("scripted", {}, doing)


def native(url: str) -> Kind:
    doing = {
        "text": Doing("go on", "text", sign="begun"),
        "permission": Doing("write", "permission"),
        "question": Doing("question", "question"),
        "command": Doing("command", "tool_call", "bypass", tells=True),
    }
    agents = {"native": {"model": "openai/scripted", "base_url": url}}
    return Kind("native", {"agents": agents}, doing)


def model(request: dict[str, Any]) -> Say:
    said = last_said(request).rpartition("\n")[2]
    match said:
        case "go on":
            return Say(("begun ",), hang=True)
        case "write":
            return Say((), (("write_file", {"path": "made.txt", "content": "hello\n"}),))
        case "question":
            return Say((), (("ask_user", {"question": "Which?", "choices": ["red", "blue"]}),))
        case "command":
            return Say((), (("shell", {"command": LONG_COMMAND, "timeout": 3600}),))
    return Say(("Understood.",))


def replay(folder: Path) -> Kind:
    writer = Writer()
    writer.turn("go on", after=0.01)
    writer.add(Text("begun and on " * 500), after=0.01)
    writer.add(TurnEnded("completed"), after=600.0)
    writer.turn("write", after=0.01)
    an_edit(writer)
    writer.turn("question", after=0.01)
    writer.add(Question(request_id="q", text="Which?"), after=0.01)
    writer.add(TurnEnded("completed"), after=600.0)
    writer.turn("say on", after=0.01)
    writer.add(Text("on"), after=0.01)
    writer.add(TurnEnded("completed"), after=0.01)
    recording = folder / "recording.jsonl"
    recording.write_bytes(writer.bytes())
    doing = {
        "text": Doing("go on", "text", sign="begun"),
        "permission": Doing("write", "permission"),
        "question": Doing("question", "question"),
    }
    return Kind("replay", {"replay_recording": str(recording), "replay_pace": 1.0}, doing)


EVERY = [
    *(("acp", doing) for doing in over_acp().doing),
    *(("native", doing) for doing in native("").doing),
    *(("replay", doing) for doing in ("text", "permission", "question")),
]


@pytest.fixture
async def kinds(place: Place) -> AsyncIterator[Callable[[str], Any]]:
    async with AsyncExitStack() as stack:

        async def kind(name: str) -> Kind:
            if name == "native":
                return native((await stack.enter_async_context(scripted_model(model))).url)
            return over_acp() if name == "acp" else replay(place.root)

        yield kind
        await place.close()


async def begun(person: Person, kind: Kind, doing: Doing) -> str:
    """A turn that does it, and whoever is asked is there."""
    await person.runtime.attend(person.chat.id, who="browser")
    running = await person.send(doing.prompt, agent=kind.agent, mode=doing.mode)
    await person.shown(doing.shown, doing.sign)
    if doing.shown in ("permission", "question"):
        await person.asking("browser")
    return running


async def is_settled(person: Person, running: str) -> None:
    """The turn has one end, nothing in it is open or pending, and the chat is idle without an error."""
    turn = await person.ended(running)
    assert (turn.end, turn.message) == ("cancelled", "")
    entries = await person.entries(turn.id)
    assert [entry.body.end for entry in entries if isinstance(entry.body, TurnEnded)] == ["cancelled"]
    assert isinstance(entries[-1].body, TurnEnded)
    assert [entry.kind for entry in entries if entry.open] == []
    asked = [entry.body.status for entry in entries if isinstance(entry.body, Permission | Question)]
    assert "pending" not in asked
    assert "running" not in [entry.body.status for entry in entries if isinstance(entry.body, ToolCall)]
    chat = await person.state()
    assert (chat.run_status, chat.turn_id, chat.asking, chat.error) == ("idle", None, None, None)


async def goes_on(person: Person, kind: Kind) -> None:
    """The next prompt is answered, and is a turn of its own."""
    before = await person.ends()
    assert (await person.prompt(kind.answers, agent=kind.agent)).end == "completed"
    assert await person.ends() == [*before, "completed"]


def until(fact: Callable[[], Any]) -> Any:
    """What is so at last, of what other processes do."""
    deadline = time.monotonic() + DEADLINE
    while not (found := fact()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def alive(pid: int | None) -> bool:
    seen = keeper.look(pid or 0)
    return seen is not None and not seen.dead


def of_session(leader: int) -> list[int]:
    return [seen.pid for seen in keeper.all_processes() if seen.session == leader and not seen.dead]


@pytest.mark.parametrize(("name", "doing"), EVERY)
async def test_a_stop_ends_a_turn_whatever_it_is_doing(
    place: Place, kinds: Callable[[str], Any], name: str, doing: str
) -> None:
    kind = await kinds(name)
    person, what = await place.person(**kind.settings), kind.doing[doing]
    running = await begun(person, kind, what)
    leader = 0
    if what.tells:
        file = await person.worktree() / PID
        leader = int(await asyncio.to_thread(until, lambda: file.exists() and file.read_text().strip()))
        assert of_session(leader)
    assert await person.runtime.stop(person.chat.id)
    await is_settled(person, running)
    if leader:
        await asyncio.to_thread(until, lambda: not of_session(leader))
    await goes_on(person, kind)
    await is_settled(person, running)


@pytest.mark.parametrize("name", ["acp", "native", "replay"])
async def test_two_stops_are_one(place: Place, kinds: Callable[[str], Any], name: str) -> None:
    kind = await kinds(name)
    person = await place.person(**kind.settings)
    running = await begun(person, kind, kind.doing["text"])
    await asyncio.gather(*(person.runtime.stop(person.chat.id) for _ in range(3)))
    await is_settled(person, running)
    assert not await person.runtime.stop(person.chat.id), "there is nothing to stop any more"
    await goes_on(person, kind)


async def test_a_second_stop_of_an_agent_that_ignores_the_first_changes_nothing_but_is_no_error(place: Place) -> None:
    person = await place.person(cancel_grace=0.5)
    running = await begun(person, over_acp(), Doing("say begun; grandchild; deaf", "text", sign="grandchild"))
    (info,) = await person.runtime.agent_sessions(person.session.id)
    for _ in range(2):
        assert await person.runtime.stop(person.chat.id)
    await is_settled_but_killed(person, running)
    assert not alive(info.pid)
    assert not alive(int((await person.said((await person.ended(running)).id)).rpartition(" ")[2]))
    await goes_on(person, over_acp())


async def test_an_agent_that_is_paused_by_the_system_is_ended_with_its_children(place: Place) -> None:
    """It can neither hear a Stop nor say that it has ended."""
    person = await place.person(cancel_grace=0.5)
    running = await begun(person, over_acp(), Doing("stream 5000 5; grandchild", "text", sign="9"))
    (info,) = await person.runtime.agent_sessions(person.session.id)
    assert info.pid
    os.kill(info.pid, signal.SIGSTOP)
    await person.runtime.stop(person.chat.id)
    await is_settled_but_killed(person, running)
    assert not alive(info.pid)
    await goes_on(person, over_acp())


async def is_settled_but_killed(person: Person, running: str) -> None:
    await is_settled(person, running)
    codes = [getattr(entry.body, "code", "") for entry in await person.entries((await person.ended(running)).id)]
    assert "agent_killed" in codes


async def test_a_stop_while_the_agent_starts_ends_the_turn_and_its_process(place: Place) -> None:
    person = await place.person(agents={"mute": scripted_agent.entry(silent=True)})
    running = await person.send("say x", agent="mute")
    await asyncio.to_thread(until, lambda: any(one.pid for one in person.runtime._keeper._processes.values()))
    (process,) = person.runtime._keeper._processes.values()
    await person.runtime.stop(person.chat.id)
    await is_settled(person, running)
    assert not alive(process.pid)
    assert not person.runtime._keeper._processes
    await goes_on(person, over_acp())


class Held:
    """A call that begins, and goes on when it is let."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real, self._begun = real, asyncio.Event()
        self.release = asyncio.Event()

    def __get__(self, instance: object, _: object) -> Callable[..., Any]:
        return functools.partial(self, instance)

    async def __call__(self, *given: Any) -> Any:
        self._begun.set()
        await self.release.wait()
        return await self._real(*given)

    async def reached(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self._begun.wait()


async def test_a_stop_while_the_worktree_is_made_ready_ends_the_turn(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person()
    held = Held(Tree.prepare)
    with monkeypatch.context() as git:
        git.setattr(Tree, "prepare", held)
        running = await person.send("say x")
        await held.reached()
        await person.runtime.stop(person.chat.id)
        await is_settled(person, running)
    await goes_on(person, over_acp())


async def test_a_stop_while_the_changes_are_looked_for_is_a_stop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await place.person()
    held = Held(Tree.changes)
    with monkeypatch.context() as git:
        git.setattr(Tree, "changes", held)
        running = await person.send("write new.txt x", mode="bypass")
        await held.reached()
        assert await person.runtime.stop(person.chat.id)
        held.release.set()
        await is_settled(person, running)
    assert [change.path for change in await person.runtime.changes(person.chat.id)] == ["new.txt"]
    await goes_on(person, over_acp())


async def test_a_stop_at_any_moment_is_a_stop_and_the_next_turn_is_whole(place: Place) -> None:
    """From the first prompt, which makes the worktree and starts the agent, on."""
    person, chance = await place.person(), random.Random(SEED)
    for number in range(MOMENTS):
        running = await person.send(f"say {number}; hang")
        ending = asyncio.ensure_future(person.ended(running))
        await asyncio.wait({ending}, timeout=chance.uniform(0.0, 0.4))
        assert await person.runtime.stop(person.chat.id), "once is enough"
        if await person.runtime.withdraw(person.chat.id, running):  # it had not begun: then it does not, and waits
            ending.cancel()
            continue
        await ending
        await is_settled(person, running)
    await goes_on(person, over_acp())


async def test_a_stop_works_where_the_store_cannot_hold_the_queue(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person()
    running = await begun(person, over_acp(), over_acp().doing["text"])

    async def full(*_: object, **__: object) -> None:
        raise errors.StoreFull

    with monkeypatch.context() as disk:
        disk.setattr(person.runtime, "_queue", full)
        with pytest.raises(errors.StoreFull):
            await person.runtime.stop(person.chat.id)
    await is_settled(person, running)


async def test_the_users_stop_of_a_turn_that_a_limit_is_ending_is_the_last_word(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await place.person(max_entries=4)
    held = Held(Tree.changes)
    with monkeypatch.context() as git:
        git.setattr(Tree, "changes", held)
        running = await person.send("think one; say two; hang")
        await held.reached()
        assert "entry_limit" in [getattr(entry.body, "code", "") for entry in await person.entries()]
        assert await person.runtime.stop(person.chat.id)
        held.release.set()
        await is_settled(person, running)
