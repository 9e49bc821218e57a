"""Several runtimes over one store: one runs a session, all read it, and nothing that died is left running."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from support.place import DEADLINE, Person, Place
from support.processes import carrying, gone

from coder_nb import errors
from coder_nb.core.entries import Permission, ToolCall, TurnEnded
from coder_nb.core.prompts import Prompt
from coder_nb.core.stream import DeltaFrame, PageFrame
from coder_nb.core.transcript import Transcript

pytestmark = pytest.mark.anyio


async def test_one_runs_the_session_and_the_other_reads_it_live_and_is_told_who_does(place: Place) -> None:
    runner = await place.person(await place.runtime("the server at http://localhost:1"))
    reader = await place.person(await place.runtime("a kernel"))
    assert reader.chat.id == runner.chat.id
    running = await runner.send("say here; stream 40 20")
    entry = await reader.shown("text", "here")
    assert entry.open  # the turn goes on while the other process reads
    with pytest.raises(errors.RunElsewhere, match="the server at http://localhost:1"):
        await reader.send("say no")
    assert (await reader.state()).runner == "the server at http://localhost:1"
    assert (await runner.state()).runner is None
    turn = await runner.ended(running)
    assert await reader.said(turn.id) == await runner.said(turn.id)


async def test_readers_that_come_and_go_end_with_the_same_transcript(place: Place) -> None:
    person = await place.person()
    running = await person.send("think hm; stream 120 3; say end; write a.txt x; stream 60 3", mode="bypass")

    async def read(break_after: int) -> Transcript:
        """Reads until the end of the turn, and starts again from its cursor after every so many frames."""
        transcript, after, done = Transcript(), 0, False
        while not done:
            seen = 0
            async for frame in person.runtime.stream(person.chat.id, after=after):
                if isinstance(frame, PageFrame):
                    transcript.apply(frame.page)
                    done = any(isinstance(entry.body, TurnEnded) for entry in transcript)
                elif isinstance(frame, DeltaFrame):
                    for delta in frame.deltas:
                        transcript.apply_delta(delta)
                seen += 1
                if done or seen >= break_after:
                    break
            after = transcript.rev
        return transcript

    async with asyncio.timeout(DEADLINE):
        read_by = await asyncio.gather(*(read(n) for n in (3, 5, 8, 1000)))
    await person.ended(running)
    whole = Transcript()
    whole.apply(await person.runtime.read(person.chat.id, limit=100_000))
    for transcript in read_by:
        assert list(transcript) == list(whole)


async def test_after_an_orderly_stop_the_turn_is_interrupted_and_the_next_runtime_goes_on(place: Place) -> None:
    person = await place.person()
    running = await person.send("say before; think hm; hang")
    waiting = await person.send("say later")
    await person.shown("reasoning", "hm")
    await person.runtime.close()
    again = await place.person()
    turns = {turn.prompt_id: turn for turn in await again.runtime.turns(again.chat.id)}
    assert turns[running].end == "interrupted"
    chat = await again.state()
    assert chat.held
    assert [prompt.id for prompt in chat.queued] == [waiting]
    assert (chat.run_status, chat.turn_id) == ("idle", None)
    await again.runtime.go_on(again.chat.id)
    assert (await again.ended(waiting)).end == "completed"
    recalled = await again.prompt("recall")
    assert "say before" in await again.said(recalled.id)


async def test_what_waits_in_another_chat_when_the_runtime_stops_waits_for_the_next_one(place: Place) -> None:
    person = await place.person()
    other = Person(person.runtime, person.session, await person.runtime.open_chat(person.session.id, name="other"))
    await person.send("think hm; hang")
    await person.shown("reasoning", "hm")
    waiting = await other.send("say later")
    await person.runtime.close()
    again = await place.person()
    chat = await again.runtime.get_chat(other.chat.id)
    assert [prompt.id for prompt in chat.queued] == [waiting]
    assert await again.runtime.turns(other.chat.id) == ()


async def test_the_agent_resumes_in_the_next_runtime(place: Place) -> None:
    person = await place.person()
    await person.prompt("say remember")
    (before,) = await person.runtime.agent_sessions(person.session.id)
    await person.runtime.close()
    again = await place.person()
    (asleep,) = await again.runtime.agent_sessions(again.session.id)
    assert (before.status, asleep.status, asleep.pid) == ("warm", "cold", None)
    turn = await again.prompt("recall")
    (after,) = await again.runtime.agent_sessions(again.session.id)
    assert "say remember" in await again.said(turn.id)
    assert after.native_id == before.native_id


SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from support.place import Person, Place
async def main():
    place = Place.__new__(Place)
    place.root, place.repository, place._open = Path({root!r}), Path({repository!r}), []
    person = await place.person()
    await person.send("say before; grandchild; think hm; run sleep 600", mode="bypass")
    await person.shown("reasoning", "hm")
    await person.shown("tool_call", "sleep")
    session = await person.runtime.open_session(str(place.repository), name="asking")
    asking = Person(person.runtime, session, await person.runtime.open_chat(session.id))
    await person.runtime.attend(asking.chat.id, who="browser")
    await asking.send("write no.txt x")
    await asking.shown("permission")
    print(person.runtime.runtime_id, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_what_a_killed_process_left_is_interrupted_and_none_of_its_agents_is_left(place: Place) -> None:
    code = SERVER.format(tests=str(Path(__file__).parents[1]), root=str(place.root), repository=str(place.repository))
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    async with asyncio.timeout(DEADLINE):
        marker = (await server.stdout.readline()).decode().strip()
    assert len(carrying(marker)) >= 4  # keeper, agent, its shell's sleep, its grandchild
    server.send_signal(signal.SIGKILL)
    assert await gone(marker, within=2.0)
    await server.wait()
    person = await place.person()
    chat = await person.state()  # looking is enough: the lease of a dead process is taken over at once
    assert (chat.run_status, chat.turn_id) == ("idle", None)
    assert await person.ends() == ["interrupted"]
    (turn,) = await person.runtime.turns(person.chat.id)
    entries = await person.entries(turn.id)
    assert not any(entry.open for entry in entries)
    assert all(e.body.status in ("completed", "failed") for e in entries if isinstance(e.body, ToolCall))
    assert (await person.said(turn.id)).startswith("before")
    session = await person.runtime.open_session(str(place.repository), name="asking")
    asking = Person(person.runtime, session, await person.runtime.open_chat(session.id))
    asked = [entry for entry in await asking.entries() if isinstance(entry.body, Permission)]
    assert [(entry.body.status, entry.open) for entry in asked] == [("expired", False)]
    assert (await person.prompt("say on")).end == "completed"
    assert await person.ends() == ["interrupted", "completed"], "nothing ran again by itself"
    assert [turn.end for turn in await person.runtime.turns(person.chat.id)] == ["interrupted", "completed"]


async def test_a_runner_that_lost_its_lease_stops_and_writes_nothing_more(place: Place) -> None:
    first = await place.person(await place.runtime("the first", lease_ttl=2.0))
    second = await place.person(await place.runtime("the second"))
    running = await first.send("say before; think hm; hang")
    await first.shown("reasoning", "hm")
    await _paused(first)
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await second.send("say taken over")
                break
            except errors.RunElsewhere:
                await asyncio.sleep(0.05)
    assert (await second.ended(running)).end == "interrupted"
    before = await second.entries()
    await first.runtime._host.leases.drop(first.runtime._host.leases.held(first.session.path))  # type: ignore[arg-type]  # wakes up
    with pytest.raises((errors.RunElsewhere, errors.LeaseLost)):
        await first.runtime.prompt(first.chat.id, Prompt(id="0" * 26, text="x", agent="scripted"))
    assert [e.id for e in await second.entries()][: len(before)] == [e.id for e in before]


async def _paused(person: Person) -> None:
    """What a suspended laptop does to a runtime: it no longer renews."""
    for task in asyncio.all_tasks():
        if task.get_name() == "renew leases" and task in person.runtime._tasks._tasks:
            task.cancel()
