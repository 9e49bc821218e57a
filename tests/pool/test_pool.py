"""Warm sessions: who is let go, and when."""

from __future__ import annotations

from typing import cast

import pytest

from coder_nb.backends.base import AgentSession
from coder_nb.pool.pool import Pool

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
