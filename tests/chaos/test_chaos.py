"""People use a server while everything that can happen to it happens; afterwards the laws hold and nothing is left.

What happens follows from a seed. A failure prints it, with all that was done and when; `CODER_NB_CHAOS_SEED` runs it
again, `CODER_NB_TEST_LONG=1` runs for minutes, with a real opencode beside the scripted agent.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from chaos import laws
from chaos.people import Person
from chaos.schedule import Schedule, schedule, told
from chaos.trouble import Trouble
from chaos.world import DEADLINE, Holdings, World, until

from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import otherwise, scripted_model

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LONG = "CODER_NB_TEST_LONG" in os.environ
SEED = int(os.environ.get("CODER_NB_CHAOS_SEED", 20261121))
PEOPLE = 6 if LONG else 3
LIVES = 8 if LONG else 2
"""How often the server is ended in the midst of it all."""
STEPS, SECONDS = (60, 30.0) if LONG else (12, 4.0)
"""What each does in one life of the server, and in about which time."""
SETTINGS = {
    "cancel_grace": 1.0,
    "stop_grace": 0.5,
    "permission_grace": 1.0,
    "idle_eviction": 0.5,
    "sweep": 1.0,
    "max_live": 4,
    "max_running": 2,
    "lease_ttl": 5.0,
    "start_timeout": 60.0,
    "health_interval": 0.5,
    "stale_busy": 5.0,
}
WARM_UP = "think hm; say warm; stream 50 1; write warm.txt x; huge 300000; stderr 200000; usage 1 1"


@asynccontextmanager
async def told_on_failure(world: World, seed: int) -> AsyncIterator[None]:
    """Says of a failure how to have it again."""
    try:
        yield
    except BaseException as error:
        plans = [f"life {life}:\n{told(plan(seed, life))}" for life in range(LIVES + LONG + 1)]
        error.add_note(
            f"CODER_NB_CHAOS_SEED={seed} runs it again. Planned:\n" + "\n".join(plans) + "\nHappened:\n"
            "" + "\n".join(world.happened) + f"\nThe server said at last:\n{world.log()[-6000:]}"
        )
        raise
    finally:
        await world.close()


def plan(seed: int, life: int) -> Schedule:
    return schedule(seed * 100 + life, people=PEOPLE, steps=STEPS, seconds=SECONDS, real=LONG)


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """In the long run opencode, with a model on loopback that has much to say."""
    if not LONG:
        yield {}
        return
    for variable, value in real_agents.environ(tmp_path).items():
        monkeypatch.setenv(variable, value)
    with scripted_model(tmp_path / "model", otherwise("and then " * 500)) as model:
        yield {"opencode": real_agents.entry("opencode", model.url)}


async def test_after_any_trouble_all_laws_hold_and_nothing_is_left(tmp_path: Path, agents: dict[str, Any]) -> None:
    world = World(tmp_path, agents=agents, **SETTINGS)
    async with told_on_failure(world, SEED):
        await world.start()
        people = [Person(world, f"person {number}") for number in range(PEOPLE)]
        for person in people:
            await person.arrive()
        for life in range(LIVES):
            await in_trouble(world, people, life, end=signal.SIGTERM if life % 2 else signal.SIGKILL)
        if LONG:  # what Python and the C library keep of memory for later grows for three such lives, and then no more
            await in_trouble(world, people, LIVES, end=None)
        await at_rest(world, people)
        await warmed_up(people)
        async with unused(world, people):
            before = world.holdings()
        await in_trouble(world, people, LIVES + LONG, end=None)
        await at_rest(world, people)
        await warmed_up(people)
        async with unused(world, people):
            await as_before(world, before)
        await laws.hold(world, people)
        await the_end(world, people)


async def in_trouble(world: World, people: list[Person], life: int, *, end: signal.Signals | None) -> None:
    """One life of the server, up to its end in the midst of it all, where there is to be one."""
    plans = plan(SEED, life)
    async with asyncio.TaskGroup() as group:
        answering = [group.create_task(person.answering()) for person in people]
        living = [group.create_task(person.live(plans[person.name])) for person in people]
        living.append(group.create_task(Trouble(world).live(plans["trouble"])))
        if end is not None:
            await asyncio.sleep(SECONDS * random.Random(SEED + life).uniform(0.1, 0.5))  # the next one has its share
            await world.end(end)
            await world.start()
        await asyncio.wait(living)
        for task in answering:
            task.cancel()


async def warmed_up(people: list[Person]) -> None:
    """A turn for each of them, all at the same time, so that everything was in use once."""
    sent = [(person, await person.say(person.chats[0].id, WARM_UP)) for person in people]
    for person, prompt_id in sent:
        chat_id = person.chats[0].id
        async with asyncio.timeout(DEADLINE):
            while True:
                turns = await person.world.ask(lambda remote, id=chat_id: remote.turns(id))  # type: ignore[misc]
                if [turn.end for turn in turns if turn.prompt_id == prompt_id and turn.end] == ["completed"]:
                    break
                await asyncio.sleep(0.1)


async def at_rest(world: World, people: list[Person]) -> None:
    """Nothing runs, waits or is warm any more."""
    for person in people:
        await person.come_to_rest()
    await until(lambda: not world.agents() and not world.gits(), lambda: f"the end of {world.agents()}")


@asynccontextmanager
async def unused(world: World, people: list[Person]) -> AsyncIterator[None]:
    """Within, the server is at rest, and nobody is connected to it."""
    await at_rest(world, people)
    for person in people:
        await person.leave()
    await world.unused()
    yield
    for person in people:
        person.come_back()


async def as_before(world: World, before: Holdings) -> None:
    """No file, thread, port or process more than before, and memory within a tenth."""
    workers = min(32, (os.cpu_count() or 1) + 4)  # of the loop's own pool, which grows to that when it is needed

    def grown() -> dict[str, object]:
        now = world.holdings()
        return {
            "files": now.files - before.files,
            "ports": now.listening - before.listening,
            "processes": now.children - before.children,
            "threads": max(0, now.threads - before.threads - workers),
            "memory": now.memory > 1.1 * before.memory and f"{now.memory:,} bytes, and {before.memory:,} before",
        }

    await until(lambda: not any(grown().values()), grown)
    print(f"memory: {before.memory:,} bytes before, {world.holdings().memory:,} after")


async def the_end(world: World, people: list[Person]) -> None:
    """Everybody deletes what they had, and the server ends in order."""
    for person in people:
        await person.leave()
        await world.ask(lambda remote, id=person.session.id: remote.delete_session(id, force=True))  # type: ignore[misc]
    laws.nothing_is_left(world, people)
    await world.end(signal.SIGTERM)
    assert not world.server.file.exists()
    assert world.rows("SELECT count(*) FROM leases WHERE runtime_id IS NOT NULL") == [(0,)]
    assert world.rows("PRAGMA integrity_check") == [("ok",)]
    assert "Traceback" not in world.log()
