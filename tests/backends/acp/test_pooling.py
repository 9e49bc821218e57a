"""One process for each chat and agent, however many ask at once, and another one only where a mode needs it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from coder_nb.backends.base import AgentSession, Asked
from coder_nb.core.permissions import PermissionMode
from coder_nb.testing import scripted_agent
from coder_nb.testing.backend_conformance import done_of, text_of, turn
from coder_nb.warm.pool import Pool

pytestmark = pytest.mark.anyio
KEY = ("chat", "scripted")


async def test_fifty_first_prompts_at_once_start_one_process(world: Any) -> None:
    pool, backend = Pool(clock=time.monotonic), world.backend()

    async def start() -> AgentSession:
        session: AgentSession = await backend.open(world.opening(), idle_events=world.idle.append)
        return session

    async def first_prompt() -> str:
        async with pool.lease(KEY, start) as session:
            return text_of(await turn(session, "pid"))

    async with asyncio.timeout(60):
        pids = await asyncio.gather(*(first_prompt() for _ in range(50)))
    assert len(set(pids)) == 1
    await pool.close()


async def test_a_mode_with_other_variables_goes_on_in_another_process_with_the_same_memory(world: Any) -> None:
    entry = scripted_agent.entry()
    entry["modes"]["bypass"] = {"id": "yolo", "env": {"FREE": "1"}}
    pool, backend = Pool(clock=time.monotonic), world.backend(entry)
    known: list[str | None] = [None]

    async def prompt(text: str, mode: PermissionMode) -> str:
        async def start() -> AgentSession:
            opening = world.opening(mode=mode, native_id=known[-1])
            session: AgentSession = await backend.open(opening, idle_events=world.idle.append)
            assert session.resumed == ("resumed" if known[-1] else "new")
            return session

        async with pool.lease(KEY, start, lambda session: session.fits(mode)) as session:
            events = [event async for event in session.prompt(Asked(text=text, user_text=text, mode=mode))]
            assert done_of(events).end == "completed"
            known.append(session.native_id)
            return text_of(events)

    first = await prompt("pid", "ask")
    assert await prompt("pid", "accept_edits") == first
    assert await prompt("env FREE; recall", "bypass") == "1I remember: pid | pid"
    assert await prompt("env FREE", "ask") == "(not set)"
    assert len({*known[1:]}) == 1
    await pool.close()


async def test_an_answer_that_comes_twice_ends_no_later_turn(world: Any) -> None:
    session = await world.open()
    await turn(session, "say one")
    events = await turn(session, "again; say two; again; say three")
    assert text_of(events) == "twothree"
    assert done_of(events).end == "completed"


async def test_an_answer_that_never_comes_after_a_stop_holds_up_nothing(world: Any) -> None:
    session = await world.open(settings={"cancel_grace": 0.2})
    events = []
    async for event in session.prompt(Asked(text="say begun; deaf", user_text="")):
        events.append(event)
        await session.cancel()
    assert (done_of(events).end, done_of(events).alive) == ("cancelled", False)


async def test_a_line_of_fifty_megabytes_is_one_line(world: Any) -> None:
    session = await world.open()
    events = await turn(session, "huge 50000000; say on")
    assert len(text_of(events)) == 50_000_002
    assert done_of(events).end == "completed"
