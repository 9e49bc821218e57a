"""Many chats share ten places: they are served in the order in which they came, and as soon as it could be.

What is measured is compared with a plain simulation of the same arrivals and the same service times, measured in the
same run, so that it says nothing of how fast a machine is. Two hundred chats, for a minute; `CODER_NB_TEST_LONG=1` has
them for ten.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from chaos.world import World, make_repository

from coder_nb.core.codec import decode
from coder_nb.core.prompts import Prompt
from coder_nb.ids import new_id

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LONG = "CODER_NB_TEST_LONG" in os.environ
CHATS = 200
PLACES = 10
TURNS = 2000 if LONG else 200
WORDS = (20, 100) if LONG else (4, 16)
"""How many an agent says at least and at most, one in a twentieth of a second: so that a turn mostly waits."""
CROWD, LULL = 40, 20
"""How many come at once, and then one after another."""
LIMIT = 1800.0 if LONG else 300.0


class Job(NamedTuple):
    """A prompt: when it came, and when its turn began and ended; milliseconds."""

    came: int
    began: int
    ended: int

    @property
    def wait(self) -> int:
        return self.began - self.came


def waits(jobs: Sequence[Job], places: int) -> list[int]:
    """How long each would wait, first come first served, if nothing ever took any time but the turns themselves."""
    free = [0] * places
    found = []
    for job in sorted(jobs):
        begin = max(job.came, heapq.heappop(free))
        heapq.heappush(free, begin + job.ended - job.began)
        found.append(begin - job.came)
    return found


def p95(values: Sequence[int]) -> int:
    return sorted(values)[int(0.95 * len(values))]


def test_the_simulation_serves_first_come_first() -> None:
    jobs = [Job(0, 0, 10), Job(1, 1, 5), Job(2, 10, 20), Job(3, 20, 21)]
    assert waits(jobs, 1) == [0, 9, 12, 21]
    assert waits(jobs, 2) == [0, 0, 3, 7]


async def test_chats_wait_no_longer_than_ten_places_make_them(tmp_path: Path) -> None:
    world = World(tmp_path, max_running=PLACES, max_live=PLACES)
    try:
        await world.start()
        memory = await crowded(world, random.Random(200))
        assert max(memory[len(memory) // 2 :]) <= 1.1 * max(memory[: len(memory) // 2]), "its memory stays flat"
        await world.end(signal.SIGTERM)
        jobs = done(world)
    finally:
        await world.close()
    assert len(jobs) == TURNS
    measured, ideal = [job.wait for job in jobs], waits(jobs, PLACES)
    told = f"p95 {p95(measured)} ms, simulated {p95(ideal)} ms; longest {max(measured)} ms, simulated {max(ideal)} ms"
    print(told)
    assert p95(ideal) > 1000, "there was a queue"
    assert abs(p95(measured) - p95(ideal)) <= 0.2 * p95(ideal), told
    assert max(measured) <= 1.2 * max(ideal), told
    began = [job.began for job in sorted(jobs)]
    overtaken = max(sum(other < one for other in began[place:]) for place, one in enumerate(began))
    assert overtaken <= 2 * PLACES, "nobody is overtaken by more than come and begin at about the same time"


async def crowded(world: World, chance: random.Random) -> list[int]:
    """Everybody prompts, now in crowds and now one after another; how much memory the server took meanwhile."""
    repository = make_repository(world.home / "repository")
    chats = []
    for number in range(CHATS):
        session = await world.ask(lambda remote, name=f"s{number}": remote.open_session(str(repository), name=name))  # type: ignore[misc]
        chats.append(await world.ask(lambda remote, id=session.id: remote.open_chat(id)))  # type: ignore[misc]
    memory: list[int] = []
    async with asyncio.timeout(LIMIT):
        for number in range(TURNS):
            text = f"stream {chance.randint(*WORDS)} 50"
            prompt = Prompt(id=new_id(), text=text, agent="scripted", mode="bypass")
            chat = chats[number % CHATS]
            await world.ask(lambda remote, chat=chat, prompt=prompt: remote.prompt(chat.id, prompt))  # type: ignore[misc]
            if number % (CROWD + LULL) > CROWD:
                await asyncio.sleep(chance.uniform(0, 2 * WORDS[1] * 0.05 / PLACES))
            while number - ended(world) > 3 * CROWD:
                memory.append(taken(world))
                await asyncio.sleep(0.5)
        while ended(world) < TURNS:
            memory.append(taken(world))
            await asyncio.sleep(0.5)
    return memory


def taken(world: World) -> int:
    return int(psutil.Process(world.server.process.pid).memory_full_info().uss)


def ended(world: World) -> int:
    return int(world.rows("SELECT count(*) FROM turns WHERE ended_at IS NOT NULL")[0][0])


def done(world: World) -> list[Job]:
    came = {id: decode(body, Prompt).created_at for id, body in world.rows("SELECT id, body FROM inbox")}
    turns = world.rows("SELECT prompt_id, started_at, ended_at FROM turns WHERE \"end\" = 'completed'")
    return [Job(came[id], began, end) for id, began, end in turns]
