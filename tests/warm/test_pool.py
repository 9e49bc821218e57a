"""Warm sessions: who is let go, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from coder_nb.backends.base import AgentSession
from coder_nb.errors import Conflict
from coder_nb.warm import policy
from coder_nb.warm.policy import Limits
from coder_nb.warm.pool import Pool

pytestmark = pytest.mark.anyio

KEY = ("chat", "agent")


class Session:
    """An agent session as far as the pool looks at it."""

    alive = True
    closed = 0

    async def close(self) -> None:
        self.alive, self.closed = False, self.closed + 1


class Starter:
    def __init__(self) -> None:
        self.started: list[Session] = []

    async def __call__(self) -> AgentSession:
        self.started.append(Session())
        return cast("AgentSession", self.started[-1])


async def test_a_retired_session_is_closed_at_once_where_it_is_idle() -> None:
    pool, start = Pool(clock=lambda: 0.0), Starter()
    async with pool.lease(KEY, start):
        pass
    await pool.retire(KEY)
    assert start.started[0].closed == 1


async def test_a_retired_session_that_is_busy_ends_with_its_turn_and_the_next_turn_has_a_new_one() -> None:
    pool, start = Pool(clock=lambda: 0.0), Starter()
    async with pool.lease(KEY, start):
        await pool.retire(KEY)
        assert start.started[0].closed == 0
    assert start.started[0].closed == 1
    async with pool.lease(KEY, start) as second:
        assert second.alive
    assert second.alive
    assert len(start.started) == 2


async def test_a_session_was_active_when_its_turn_began_and_when_it_ended() -> None:
    now = 5.0
    pool = Pool(clock=lambda: now)
    async with pool.lease(KEY, Starter()):
        assert [fact.last_active for fact in pool.facts()] == [5.0]
        now = 8.0
    assert [fact.last_active for fact in pool.facts()] == [8.0]


async def test_one_that_was_used_after_it_was_decided_to_let_it_go_stays() -> None:
    now = 0.0
    pool, start = Pool(clock=lambda: now), Starter()
    async with pool.lease(KEY, start):
        pass
    now = 100.0
    (letting,) = policy.lettings(pool.facts(), Limits(idle=50), now=now)
    async with pool.lease(KEY, start):
        assert not await pool.let_go(letting)  # law 10
    assert not await pool.let_go(letting)
    assert start.started[0].closed == 0
    now = 200.0
    (letting,) = policy.lettings(pool.facts(), Limits(idle=50), now=now)
    assert await pool.let_go(letting)
    assert start.started[0].closed == 1


async def test_a_session_is_started_again_as_it_was_and_never_while_it_is_busy() -> None:
    pool, start = Pool(clock=lambda: 0.0), Starter()
    assert not await pool.restart(KEY)
    async with pool.lease(KEY, start):
        assert not await pool.restart(KEY)
    assert await pool.restart(KEY)
    assert [session.closed for session in start.started] == [1, 0]


async def test_one_that_is_wanted_is_so_until_somebody_leases_or_retires_its_chat() -> None:
    pool, start = Pool(clock=lambda: 0.0), Starter()
    pool.want(KEY, start)
    pool.want(("chat", "other"), start)
    async with pool.lease(KEY, start):
        assert pool.wanted == (("chat", "other"),)
    await pool.retire_chat("chat")
    assert pool.wanted == ()
    assert pool.facts() == []


async def test_one_that_is_retired_while_it_is_started_again_is_closed_when_it_has() -> None:
    pool, started = Pool(clock=lambda: 0.0), Starter()

    async def start() -> AgentSession:
        session = await started()
        await pool.retire(KEY)
        return session

    pool.want(KEY, start)
    assert not await pool.restart(KEY)
    assert [session.closed for session in started.started] == [1]


class Slow(Session):
    """One that takes its time to end."""

    def __init__(self) -> None:
        self.ending, self.may_end = asyncio.Event(), asyncio.Event()

    async def close(self) -> None:
        self.ending.set()
        await self.may_end.wait()
        await super().close()


class SlowStarter(Starter):
    async def __call__(self) -> AgentSession:
        self.started.append(Slow())
        return cast("AgentSession", self.started[-1])


def misfit(session: AgentSession) -> bool:
    return False


async def take(pool: Pool, start: Starter, fits: Callable[[AgentSession], bool] = lambda session: True) -> None:
    async with pool.lease(KEY, start, fits):
        pass


async def test_a_session_ends_also_where_whoever_waits_for_its_end_gives_up_and_the_next_one_waits_for_it() -> None:
    pool, slow, start = Pool(clock=lambda: 0.0), SlowStarter(), Starter()
    await take(pool, slow)
    (first,) = cast("list[Slow]", slow.started)
    waiting = asyncio.create_task(take(pool, start, misfit))
    await first.ending.wait()
    assert (pool.starting(), pool.facts()) == ([], [])  # it ends, and nothing starts yet
    waiting.cancel()
    await asyncio.wait({waiting})
    waiting = asyncio.create_task(take(pool, start))
    await asyncio.sleep(0)
    assert (first.closed, start.started) == (0, [])
    first.may_end.set()
    await waiting
    assert (first.closed, len(start.started)) == (1, 1)
    await pool.evict(KEY)
    assert list(pool) == []


async def test_a_place_is_forgotten_when_its_session_has_ended_whoever_waits_for_that() -> None:
    pool, slow = Pool(clock=lambda: 0.0), SlowStarter()
    await take(pool, slow)
    (only,) = cast("list[Slow]", slow.started)
    waiting = asyncio.create_task(pool.evict(KEY))
    await only.ending.wait()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert list(pool) == [KEY]
    only.may_end.set()
    await pool.close()
    assert (only.closed, list(pool)) == (1, [])


async def test_one_that_somebody_waits_for_is_not_evicted_and_nobody_waits_for_his_turn() -> None:
    pool, start, may_end = Pool(clock=lambda: 0.0), Starter(), asyncio.Event()

    async def second() -> None:
        async with pool.lease(KEY, start):
            await may_end.wait()

    async with pool.lease(KEY, start):
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert not await pool.evict(KEY)
        assert not await pool.restart(KEY)
    may_end.set()
    await waiting
    assert start.started[0].closed == 0


async def test_what_is_opened_while_all_are_closed_is_closed_too() -> None:
    pool, opened = Pool(clock=lambda: 0.0), Starter()

    async def start() -> AgentSession:
        await pool.close()
        return await opened()

    with pytest.raises(Conflict):
        async with pool.lease(KEY, start):
            raise AssertionError("there is no turn any more")
    assert opened.started[0].closed == 1


async def test_that_one_cannot_be_closed_is_told_and_harms_no_turn(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Session):
        async def close(self) -> None:
            await super().close()
            raise OSError("no")

    async def start() -> AgentSession:
        return cast("AgentSession", Broken())

    pool = Pool(clock=lambda: 0.0)
    async with pool.lease(KEY, start, keep=False):
        pass
    assert "could not be closed" in caplog.text
    assert list(pool) == []
