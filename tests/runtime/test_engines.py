"""Two servers on one database, on each engine: many readers, a runner that is paused, and a database that crashes."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from support.place import DEADLINE, Person, Place
from support.postgres import PostgresServer
from support.processes import carrying, gone

from coder_nb import errors
from coder_nb.core.entries import Text, TurnEnded
from coder_nb.core.stream import DeltaFrame, PageFrame
from coder_nb.core.transcript import Transcript

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
READERS = 20


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The setting that names the store which the servers share."""
    if request.param == "sqlite":
        return str(tmp_path / "store.sqlite")
    return str(request.getfixturevalue("postgres_url"))


class Reader:
    """Somebody who looks on: at their own pace, and who loses the connection now and then."""

    def __init__(self, person: Person, seed: int) -> None:
        self._person = person
        self._chance = random.Random(seed)
        self._slow = seed % 4 == 1
        self._breaks = seed % 4 in (2, 3)
        self.transcript = Transcript()
        self.connections = 0

    async def read(self, ends: int) -> Reader:
        """Returns when so many turns have ended, as this reader sees it."""
        while True:
            self.connections += 1
            frames = self._person.runtime.stream(self._person.chat.id, after=self.transcript.rev)
            async with aclosing(frames) as told:  # type: ignore[type-var]
                if await self._follow(told, ends):
                    return self

    async def _follow(self, frames: AsyncIterator[object], ends: int) -> bool:
        left = self._chance.randrange(2, 12) if self._breaks else -1
        async for frame in frames:
            if isinstance(frame, PageFrame):
                self.transcript.apply(frame.page)
                if sum(isinstance(entry.body, TurnEnded) for entry in self.transcript) == ends:
                    return True
            elif isinstance(frame, DeltaFrame):
                for delta in frame.deltas:
                    self.transcript.apply_delta(delta)
            left -= 1
            if left == 0:
                return False
            if self._slow:
                await asyncio.sleep(self._chance.random() / 5)
        return False


async def test_twenty_readers_on_two_servers_end_with_the_same_transcript(place: Place, database: str) -> None:
    runner = await place.person(await place.runtime("one", database=database))
    looker = await place.person(await place.runtime("two", database=database))
    assert looker.chat.id == runner.chat.id
    prompts = [
        await runner.send("think hm; stream 150 2; write a.txt x; stream 100 2", mode="bypass"),
        await runner.send("say again; stream 80 2", mode="bypass"),
    ]
    readers = [Reader(runner if n % 2 else looker, n) for n in range(READERS)]
    async with asyncio.timeout(3 * DEADLINE):
        await asyncio.gather(*(reader.read(len(prompts)) for reader in readers))
    for prompt in prompts:
        assert (await runner.ended(prompt)).end == "completed"
    whole = Transcript()
    whole.apply(await runner.runtime.read(runner.chat.id, limit=100_000))
    for reader in readers:
        assert list(reader.transcript) == list(whole)
    assert max(reader.connections for reader in readers) > 2


SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from support.place import Place
async def main():
    place = Place.__new__(Place)
    place.root, place.repository, place._open = Path({root!r}), Path({repository!r}), []
    person = await place.person(await place.runtime("the first", database={database!r}, lease_ttl=2.0))
    await person.send("say before; think hm; stream 100000 5", mode="bypass")
    await person.shown("reasoning", "hm")
    print(person.runtime.runtime_id, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_a_process_that_was_paused_and_lost_its_lease_writes_nothing_more_and_stops_its_agents(
    place: Place, database: str
) -> None:
    tests, root, repository = (str(path) for path in (Path(__file__).parents[1], place.root, place.repository))
    code = SERVER.format(tests=tests, root=root, repository=repository, database=database)
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None
        async with asyncio.timeout(DEADLINE):
            marker = (await server.stdout.readline()).decode().strip()
        assert carrying(marker, "scripted_agent")
        server.send_signal(signal.SIGSTOP)
        second = await place.person(await place.runtime("the second", database=database))
        async with asyncio.timeout(DEADLINE):
            taken = await prompted_when_free(second)
        assert (await second.ended(taken)).end == "completed"
        assert await second.ends() == ["interrupted", "completed"]
        before = await second.entries()
        server.send_signal(signal.SIGCONT)
        assert await gone(marker, within=DEADLINE, program="scripted_agent")
        assert await second.entries() == before
        assert (await second.prompt("say still here")).end == "completed"
    finally:
        server.kill()
        await server.wait()


async def prompted_when_free(person: Person) -> str:
    """The id of a prompt that was sent as soon as nobody else ran the session."""
    while True:
        try:
            return await person.send("say taken over")
        except (errors.RunElsewhere, errors.StoreLocked):
            await asyncio.sleep(0.05)


async def test_a_database_that_crashes_and_comes_back_interrupts_no_turn_and_no_reader(
    place: Place, postgres: PostgresServer, postgres_url: str
) -> None:
    runner = await place.person(await place.runtime("one", database=postgres_url))
    looker = await place.person(await place.runtime("two", database=postgres_url))
    running = await runner.send("say before; think hm; stream 400 5; say after", mode="bypass")
    await looker.shown("reasoning", "hm")
    readers = [asyncio.ensure_future(Reader(person, 0).read(1)) for person in (runner, looker)]
    for _ in range(2):
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        await asyncio.sleep(0.3)
    turn = await runner.ended(running)
    assert turn.end == "completed"
    async with asyncio.timeout(DEADLINE):
        read_by = await asyncio.gather(*readers)
    whole = await looker.entries()
    assert whole == await runner.entries()
    texts = [entry.body.text for entry in whole if isinstance(entry.body, Text)]
    assert texts[0].startswith("before")
    assert texts[-1].endswith("after")
    for reader in read_by:
        assert list(reader.transcript) == whole
