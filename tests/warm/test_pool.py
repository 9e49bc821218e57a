"""Warm sessions: who is let go, and when."""

from __future__ import annotations

from typing import cast

import pytest

from coder_nb.backends.base import AgentSession
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
