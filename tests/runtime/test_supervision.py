"""The one loop: what has died is started again, what is deaf is ended, what nobody needs is let go; each thing once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from support import opencode_server
from support.place import Person, Place

from coder_nb.core.entries import Notice, TurnEnded
from coder_nb.core.health import LiveAgent
from coder_nb.errors import AgentFailed, StoreFull
from coder_nb.runtime import supervision
from coder_nb.runtime.journal import key_of
from coder_nb.runtime.supervision import Supervisor
from coder_nb.testing import scripted_agent

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LIMIT = 60.0
OFTEN: dict[str, Any] = {"health_interval": 0.05, "health_timeout": LIMIT}
"""It is looked often, and a busy machine may take its time to answer."""
Seen = TypeVar("Seen")


def _a_moment() -> None:
    signal.sigtimedwait([], 0.01)


async def eventually(look: Callable[[], Seen | None]) -> Seen:
    """What is seen as soon as there is something to see."""
    async with asyncio.timeout(LIMIT):
        while not (seen := look()):
            await asyncio.to_thread(_a_moment)
        return seen


def supervisor(person: Person) -> Supervisor:
    return person.runtime._supervisor


def live(person: Person) -> list[LiveAgent]:
    return list(supervisor(person).report())


def warm(person: Person, *, but: int | None = None) -> LiveAgent | None:
    """The person's only agent, when it is warm and idle, in another process than that."""
    found = [one for one in live(person) if one.state == "idle" and one.pid not in (None, but)]
    return found[0] if found else None


async def pid_of(person: Person) -> int:
    found = await eventually(lambda: warm(person))
    assert found.pid is not None
    return found.pid


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def ended(person: Person) -> list[TurnEnded]:
    return [entry.body for entry in await person.entries() if isinstance(entry.body, TurnEnded)]


# Agents with processes of their own ----------------------------------------------------------------------------------


@pytest.mark.parametrize("death", ["kill", "die 3", "half"])
async def test_an_agent_that_dies_in_its_turn_is_started_again_at_once_with_its_memory(
    place: Place, death: str
) -> None:
    person = await place.person()
    await person.prompt("say one")
    before = await pid_of(person)
    turn = await person.prompt(f"say two; {death}")
    assert (turn.end, turn.code) == ("failed", "agent_died")
    again = await eventually(lambda: warm(person, but=before))
    assert (again.restarts, "Scripted stopped working" in again.why) == (1, True)
    (info,) = await person.runtime.agent_sessions(person.session.id)
    assert (info.status, info.pid) == ("warm", again.pid)
    turn = await person.prompt("pid; recall")
    said = await person.said(turn.id)
    assert str(again.pid) in said
    assert "say one" in said
    assert await person.ends() == ["completed", "failed", "completed"]


async def test_an_idle_agent_that_dies_becomes_cold_and_the_next_prompt_finds_it_well(place: Place) -> None:
    person = await place.person(**OFTEN)
    await person.prompt("say hi")
    pid = await pid_of(person)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not live(person))
    (info,) = await person.runtime.agent_sessions(person.session.id)
    assert (info.status, info.pid) == ("crashed", None)
    assert (await person.prompt("say again")).end == "completed"
    assert await person.ends() == ["completed", "completed"]


async def test_one_that_died_is_let_go_once_also_where_that_cannot_be_written_down(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*args: object) -> None:
        raise StoreFull

    person = await place.person(**OFTEN)
    await person.prompt("say hi")
    pid = await pid_of(person)
    monkeypatch.setattr(supervision, "keep_in_mind", full)
    os.kill(pid, signal.SIGKILL)
    crashes, name = person.runtime._context.crashes, key_of(person.chat.id, "scripted")
    await eventually(lambda: not live(person) and crashes.count(name))
    assert crashes.count(name) == 1
    assert "could not be written down" in caplog.text


async def test_one_that_makes_way_for_a_prompt_that_needs_another_was_not_started_again(place: Place) -> None:
    person = await place.person()
    await person.prompt("say hi")
    before = await pid_of(person)
    (session,) = [person.runtime._pool.get(key) for key in person.runtime._pool]
    session.fits = lambda mode: False  # type: ignore[union-attr]  # as one that needs other variables for it
    await person.prompt("say two")
    again = await eventually(lambda: warm(person, but=before))
    assert (again.restarts, again.why) == (0, "")


async def test_an_agent_that_was_stopped_in_its_turn_is_ended_after_the_grace_and_started_again(place: Place) -> None:
    person = await place.person(**OFTEN, stale_busy=1.0)
    running = await person.send("pid; hang")
    await person.shown("text")
    (busy,) = live(person)
    assert (busy.state, busy.pid is not None) == ("busy", True)
    assert busy.pid is not None
    os.kill(busy.pid, signal.SIGSTOP)
    stopped = asyncio.get_running_loop().time()
    turn = await person.ended(running)
    assert asyncio.get_running_loop().time() - stopped >= 1.0
    assert turn.end == "failed"
    assert "did not answer" in turn.message
    again = await eventually(lambda: warm(person, but=busy.pid))
    assert (again.restarts, "did not answer" in again.why) == (1, True)
    await eventually(lambda: is_gone(busy.pid or 0))
    assert [body.end for body in await ended(person)] == ["failed"]


@pytest.mark.parametrize("how", ["stopped", "mute"])
async def test_an_idle_agent_that_lives_and_does_not_answer_becomes_cold(place: Place, how: str) -> None:
    person = await place.person(health_interval=0.05, health_timeout=0.5 if how == "mute" else LIMIT)
    turn = await person.prompt("pid; mute" if how == "mute" else "pid")
    pid = int(await person.said(turn.id))
    if how == "stopped":
        os.kill(pid, signal.SIGSTOP)
    await eventually(lambda: is_gone(pid) and not live(person))
    assert (await person.prompt("say again")).end == "completed"


async def test_an_agent_that_answers_is_left_alone_however_often_it_is_asked(place: Place) -> None:
    person = await place.person(**OFTEN)
    await person.prompt("say hi")
    pid, session = await pid_of(person), person.runtime._pool.get((person.chat.id, "scripted"))
    connection: Any = session._connection  # type: ignore[union-attr]
    heard = connection._heard
    await eventually(lambda: connection._heard >= heard + 3)  # it has said nothing else
    assert await pid_of(person) == pid


async def test_what_was_stopped_by_its_user_is_not_started_again_by_itself(place: Place) -> None:
    person = await place.person(**OFTEN, cancel_grace=0.3)
    running = await person.send("say on; deaf")
    await person.shown("text", "on")
    await person.runtime.stop(person.chat.id)
    assert (await person.ended(running)).end == "cancelled"
    await eventually(lambda: not live(person))
    assert person.runtime._pool.wanted == ()


# Loops of crashes ----------------------------------------------------------------------------------------------------


def breakable(flag: Path, starts: Path) -> dict[str, Any]:
    """An agent that notes each start, and dies at once while there is a flag."""
    entry = scripted_agent.entry()
    script = f'echo x >> "{starts}"; test -e "{flag}" && exit 3; exec "$@"'
    return entry | {"argv": ["/bin/sh", "-c", script, "sh", *entry["argv"]], "probe": ["-c", "echo 1.0.0"]}


async def test_one_that_crashes_at_each_start_is_left_alone_until_it_is_prompted(place: Place, tmp_path: Path) -> None:
    flag, starts = tmp_path / "flag", tmp_path / "starts"
    person = await place.person(agents={"loop": breakable(flag, starts)}, start_tries=1, restarts=2)
    await person.prompt("say one", agent="loop")
    flag.touch()
    assert (await person.prompt("kill", agent="loop")).end == "failed"
    broken = await eventually(lambda: next((one for one in live(person) if one.state == "broken"), None))
    assert (broken.agent, broken.chat_id) == ("loop", person.chat.id)
    assert starts.read_text().count("x") == 3  # the first, and two by itself
    flag.unlink()
    turn = await person.prompt("recall", agent="loop")
    assert turn.end == "completed"
    assert "say one" in await person.said(turn.id)
    assert [one.state for one in live(person)] == ["idle"]


async def test_a_queue_is_not_spent_on_an_agent_that_crashes_again_and_again(place: Place, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    agents = {"loop": breakable(flag, tmp_path / "starts")}
    person = await place.person(agents=agents, start_tries=1, restarts=1)
    first, second, third = [await person.send(f"say {n}", agent="loop") for n in range(3)]
    assert [(await person.ended(each)).end for each in (first, second)] == ["failed", "failed"]
    state = await person.state()
    assert (state.held, [prompt.id for prompt in state.queued]) == (True, [third])
    told = [e.body for e in await person.entries() if isinstance(e.body, Notice) and e.body.code == "crash_loop"]
    assert len(told) == 1
    flag.unlink()
    await person.runtime.go_on(person.chat.id)
    assert (await person.ended(third)).end == "completed"


async def test_no_agent_is_started_by_itself_where_the_setting_says_so(place: Place) -> None:
    person = await place.person(**OFTEN, restarts=0)
    await person.prompt("say hi")
    await person.prompt("kill")
    assert [one.state for one in live(person)] == ["broken"]
    assert person.runtime._pool.wanted == ()
    assert (await person.prompt("say again")).end == "completed"


# Who is let go -------------------------------------------------------------------------------------------------------


async def chats(person: Person, count: int) -> list[Person]:
    """The person in so many chats, each of a session of its own."""
    made = []
    for number in range(count):
        session = await person.runtime.open_session(str(person.repository), name=f"session {number}")
        made.append(Person(person.runtime, session, await person.runtime.open_chat(session.id)))
    return made


async def test_beyond_the_limit_the_one_that_was_used_longest_ago_goes_and_never_a_busy_one(place: Place) -> None:
    person = await place.person(max_live=2, health_interval=LIMIT, sweep=LIMIT)
    busy, old, new = await chats(person, 3)
    await busy.send("say on; hang")
    await busy.shown("text", "on")
    await old.prompt("say hi")
    await new.prompt("say hi")
    await eventually(lambda: {one.chat_id for one in live(person)} == {busy.chat.id, new.chat.id})
    assert {one.state for one in live(person)} == {"busy", "idle"}
    await busy.runtime.stop(busy.chat.id)


async def test_an_agent_that_nobody_has_used_for_long_is_let_go(place: Place) -> None:
    person = await place.person(**OFTEN, idle_eviction=0.5)
    await person.prompt("say hi")
    await eventually(lambda: not live(person))
    assert (await person.prompt("recall")).end == "completed"


async def test_one_that_takes_too_much_memory_is_started_again_when_it_is_idle(place: Place) -> None:
    person = await place.person(**OFTEN, agent_memory=128 << 20)
    await person.prompt("say small")
    before = await pid_of(person)
    await eventually(lambda: warm(person) and live(person)[0].memory)
    assert await pid_of(person) == before
    await person.prompt("hog 160; say large")
    again = await eventually(lambda: warm(person, but=before))
    assert (again.restarts, "agent_memory" in again.why) == (1, True)
    assert "say small" in await person.said((await person.prompt("recall")).id)


async def test_one_that_takes_far_too_much_is_ended_in_its_turn(place: Place) -> None:
    person = await place.person(**OFTEN, agent_memory=128 << 20)
    turn = await person.prompt("say on; hog 320; hang")
    assert turn.end == "failed"
    assert "`agent_memory` allows 128 MiB" in turn.message
    again = await eventually(lambda: warm(person))
    assert again.restarts == 1


# By hand -------------------------------------------------------------------------------------------------------------


async def test_an_agent_is_evicted_or_started_again_by_hand_but_never_a_busy_one(place: Place) -> None:
    person = await place.person()
    await person.prompt("say hi; stderr 10")
    by_hand = supervisor(person)
    (first,) = live(person)
    assert "eeeeeeeeee" in by_hand.log(first.key)
    assert await by_hand.restart(first.key)
    (second,) = live(person)
    assert (second.key, second.restarts, second.pid != first.pid) == (first.key, 1, True)
    running = await person.send("say on; hang")
    await person.shown("text", "on")
    assert not await by_hand.restart(first.key)
    assert not await by_hand.evict(first.key)
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    await eventually(lambda: warm(person))
    assert await by_hand.evict(first.key)
    assert live(person) == []
    assert not await by_hand.evict(first.key)
    assert not await by_hand.restart("nobody.knows")


async def test_a_start_by_hand_that_fails_says_why_and_leaves_it_cold(place: Place, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    person = await place.person(agents={"loop": breakable(flag, tmp_path / "starts")}, start_tries=1)
    await person.prompt("say one", agent="loop")
    flag.touch()
    (one,) = live(person)
    with pytest.raises(AgentFailed):
        await supervisor(person).restart(one.key)
    assert live(person) == []


# The servers that chats share ----------------------------------------------------------------------------------------

OPENCODE = {
    "opencode": {"backend": "opencode", "argv": [sys.executable, opencode_server.__file__], "modes": {}, "probe": []}
}


def server_of(person: Person, *, but: int | None = None) -> LiveAgent | None:
    """The server that runs, if it is another than that."""
    return next((one for one in live(person) if one.chat_id is None and one.pid not in (None, but)), None)


async def on_a_server(place: Place, count: int, **settings: Any) -> tuple[list[Person], list[str], LiveAgent]:
    """Chats with a turn each on one server."""
    person = await place.person(agents=OPENCODE, **settings)
    made = await chats(person, count)
    running = [await one.send("go", agent="opencode") for one in made]

    def at_work() -> LiveAgent | None:
        """The server, when no chat is still being opened on it, which would try again on another one."""
        turns = [server.turns for server in person.runtime._agents.sharing.servers.values()]
        return used_by(person, count, "busy") if turns == [count] else None

    return made, running, await eventually(at_work)


def used_by(person: Person, count: int, state: str) -> LiveAgent | None:
    """The server, when it has so many chats and is in that state."""
    server = server_of(person)
    return server if server is not None and (server.chats, server.state) == (count, state) else None


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_that_dies_fails_its_turns_once_each_and_is_started_again_at_once(
    place: Place, sign: signal.Signals
) -> None:
    made, running, server = await on_a_server(place, 3, **OFTEN)
    assert server.pid is not None
    os.kill(server.pid, sign)
    turns = [await one.ended(each) for one, each in zip(made, running, strict=True)]
    assert {turn.end for turn in turns} == {"failed"}
    again = await eventually(lambda: server_of(made[0], but=server.pid))
    assert (again.key, again.restarts, again.chats) == (server.key, 1, 0)
    assert [[body.end for body in await ended(one)] for one in made] == [["failed"]] * 3
    running = [await one.send("go", agent="opencode") for one in made]
    bound = await eventually(lambda: used_by(made[0], 3, "busy"))
    assert bound.pid == again.pid  # the readers are bound to the new one


async def test_a_server_that_stands_still_is_ended_after_the_grace_where_something_runs_on_it(place: Place) -> None:
    times = {"health_interval": 0.05, "health_timeout": 3.0, "stale_busy": 5.0}
    (person,), (running,), server = await on_a_server(place, 1, **times)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    stopped = asyncio.get_running_loop().time()
    turn = await person.ended(running)
    assert asyncio.get_running_loop().time() - stopped >= 2.0  # a check may have been under way
    assert (turn.end, "did not answer" in turn.message) == ("failed", True)
    again = await eventually(lambda: server_of(person, but=server.pid))
    assert "did not answer" in again.why
    assert is_gone(server.pid)


async def test_a_server_that_fails_its_checks_while_nothing_runs_on_it_is_soon_started_again(place: Place) -> None:
    (person,), (running,), before = await on_a_server(place, 1, **OFTEN, stale_busy=10 * LIMIT, cancel_grace=0.3)
    (server,) = person.runtime._agents.sharing.servers.values()
    await server.call("GET", "/scripted/checks/deaf", Path("/"))
    server.users += 1  # a chat that has no turn, while that of the turn goes
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    again = await eventually(lambda: server_of(person, but=before.pid))
    assert (again.key, again.restarts) == (before.key, 1)


@pytest.mark.parametrize("busy", [True, False])
async def test_one_check_of_a_server_that_fails_ends_nothing(place: Place, busy: bool) -> None:
    (person,), (running,), before = await on_a_server(place, 1, **OFTEN, cancel_grace=0.3)
    (server,) = person.runtime._agents.sharing.servers.values()
    server.users += 1  # a chat that has no turn, and stays
    if not busy:
        await person.runtime.stop(person.chat.id)
        await person.ended(running)

    async def checks(said: str = "") -> int:
        """How often it was asked how it is; with `said`, it answers the next one with an error."""
        count: int = await server.call("GET", f"/scripted/checks{said}", Path("/"))
        return count

    asked = await checks("/ill")
    async with asyncio.timeout(LIMIT):
        while await checks() < asked + 3:
            await asyncio.to_thread(_a_moment)
    assert [(one.pid, one.restarts) for one in live(person) if one.chat_id is None] == [(before.pid, 0)]


async def test_a_server_that_nobody_uses_is_ended_and_not_started_again(place: Place) -> None:
    (person,), (running,), server = await on_a_server(place, 1, **OFTEN, cancel_grace=0.3, sweep=0.2)
    await person.runtime.stop(person.chat.id)
    await person.ended(running)
    await supervisor(person).evict(f"{person.chat.id}.opencode")  # where its Stop has not ended it
    await eventually(lambda: is_gone(server.pid or 0) and not live(person))


async def test_a_server_that_is_not_started_by_itself_any_more_is_told_by_its_name_and_started_by_hand(
    place: Place,
) -> None:
    (person,), (running,), server = await on_a_server(place, 1, **OFTEN, restarts=0)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await person.ended(running)
    broken = await eventually(lambda: next((one for one in live(person) if one.key == server.key), None))
    assert (broken.state, broken.agent, broken.chat_id) == ("broken", "opencode", None)
    assert await supervisor(person).restart(server.key)
    again = await eventually(lambda: server_of(person, but=server.pid))
    assert (again.key, again.state) == (server.key, "idle")


async def test_a_server_whose_start_by_hand_fails_says_why(place: Place, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = f'test -e "{flag}" && exit 3; exec "$@"'
    argv = ["/bin/sh", "-c", script, "sh", *OPENCODE["opencode"]["argv"]]
    person = await place.person(agents={"opencode": OPENCODE["opencode"] | {"argv": argv}}, cancel_grace=0.3)
    await person.send("go", agent="opencode")
    server = await eventually(lambda: used_by(person, 1, "busy"))
    await person.runtime.stop(person.chat.id)
    flag.touch()
    idle = await eventually(lambda: next((one for one in live(person) if one.key == server.key), None))
    await eventually(lambda: (one := server_of(person)) and one.state == "idle")
    with pytest.raises(AgentFailed):
        await supervisor(person).restart(idle.key)
