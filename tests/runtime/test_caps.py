"""What a runtime keeps in memory does not grow with the chats that it has seen."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sized
from pathlib import Path
from typing import cast

import pytest
from support.place import DEADLINE, Place

from coder_nb.backends.base import AgentSession
from coder_nb.backends.events import Noticed
from coder_nb.errors import Conflict
from coder_nb.runtime.asking import Presence
from coder_nb.runtime.begun import IDLE_CHATS, IDLE_EVENTS, Idle
from coder_nb.runtime.context import Context
from coder_nb.settings import Settings
from coder_nb.warm import policy
from coder_nb.warm.policy import Limits
from coder_nb.warm.pool import Pool

pytestmark = pytest.mark.anyio
CHATS = 1000


class Session:
    alive = True

    async def close(self) -> None:
        self.alive = False


async def start() -> AgentSession:
    return cast("AgentSession", Session())


async def broken() -> AgentSession:
    raise OSError("it does not start")


async def test_a_thousand_chats_leave_no_more_places_in_the_pool_than_it_may_keep() -> None:
    now = 0.0
    pool = Pool(clock=lambda: now)
    for number in range(CHATS):
        now += 1
        async with pool.lease((f"chat {number}", "agent"), start):
            pass
        for letting in policy.lettings(pool.facts(), Limits(idle=100, live=10), now=now):
            await pool.let_go(letting)
    assert len(pool._slots) == 10
    for number in range(CHATS):
        async with pool.lease((f"other {number}", "agent"), start, keep=False):
            pass
        with pytest.raises(OSError, match="does not start"):
            async with pool.lease((f"broken {number}", "agent"), broken):
                pass
    assert len(pool._slots) == 10
    await pool.close()


async def test_a_place_that_somebody_waits_for_is_kept(tmp_path: Path) -> None:
    pool, starts = Pool(clock=lambda: 0.0), 0

    async def counted() -> AgentSession:
        nonlocal starts
        starts += 1
        return await start()

    async def use() -> None:
        async with pool.lease(("chat", "agent"), counted, keep=False):
            await asyncio.sleep(0)

    await asyncio.gather(*(use() for _ in range(50)))
    assert starts == 50
    assert not pool._slots


def test_a_thousand_chats_leave_no_feeds_behind() -> None:
    context = Context(Settings(), store=None, pool=None, agents=None, worktrees=None)  # type: ignore[arg-type]
    held = context.feed("held")
    subscription = held.subscribe()
    for number in range(CHATS):
        context.feed(f"chat {number}").tell(state=True)
    gc.collect()
    assert list(context.feeds) == ["held"]
    assert context.feed("held") is held
    assert subscription in held.listeners


def test_what_a_thousand_agents_say_between_turns_is_bounded_and_the_latest_is_kept() -> None:
    idle = Idle()
    for number in range(CHATS):
        idle.add((f"chat {number}", "agent"), Noticed(text=str(number)))
    for number in range(CHATS):
        idle.add(("last", "agent"), Noticed(text=str(number)))
    assert len(idle) == IDLE_CHATS
    assert [e.text for e in idle.take(("last", "agent")) if isinstance(e, Noticed)] == [
        str(n) for n in range(CHATS - IDLE_EVENTS, CHATS)
    ]
    assert idle.take(("last", "agent")) == []


def test_browsers_that_have_gone_are_forgotten() -> None:
    now = 0.0
    presence = Presence(clock=lambda: now)
    for number in range(CHATS):
        now += 1
        presence.seen(f"chat {number}")
    assert len(cast("Sized", presence._seen)) <= 31
    assert presence.ago_ms(f"chat {CHATS - 1}") == 0


async def test_a_session_that_nobody_uses_any_more_has_no_worker(place: Place) -> None:
    person = await place.person(sweep=0.1, idle_eviction=0.0)
    prompt_id = await person.send("say on; hang")
    await person.shown("text", "on")
    (runner,) = person.runtime._host.runners.values()
    assert await person.runtime.stop(person.chat.id)
    await person.ended(prompt_id)
    await asyncio.wait({runner.task}, timeout=DEADLINE)
    assert not person.runtime._host.runners
    turn = await person.prompt("say two")
    assert turn.end == "completed"


async def test_a_directory_in_which_an_agent_starts_is_not_given_to_others(place: Place) -> None:
    person = await place.person(sweep=0.1)
    await person.prompt("say one")
    host, pool, path = person.runtime._host, person.runtime._pool, person.session.path
    key, starting, may_start = (person.chat.id, "scripted"), asyncio.Event(), asyncio.Event()

    async def slow() -> AgentSession:
        starting.set()
        await may_start.wait()
        raise Conflict("It does not start: try again.")

    assert await pool.evict(key)
    pool.want(key, slow)
    async with asyncio.timeout(DEADLINE):
        await starting.wait()
        while path not in host.leases.unused_for(0.1):
            await asyncio.to_thread(time.sleep, 0.02)
        await host.release_idle()
        assert host.leases.held(path) is not None
        may_start.set()
        while host.leases.held(path) is not None:
            await asyncio.to_thread(time.sleep, 0.02)


async def test_a_directory_in_which_something_is_done_is_not_given_to_others_however_long(place: Place) -> None:
    person = await place.person(sweep=0.1, idle_eviction=0.0)
    await person.prompt("say one")
    host, path = person.runtime._host, person.session.path
    _, runner = await host.worker(person.session.id)
    async with asyncio.timeout(DEADLINE):
        async with runner.tree.alone():
            while person.runtime._pool.facts() or path not in host.leases.unused_for(0.1):
                await asyncio.to_thread(time.sleep, 0.02)
            await host.release_idle()
            assert host.leases.held(path) is not None
        while host.leases.held(path) is not None:
            await asyncio.to_thread(time.sleep, 0.02)
