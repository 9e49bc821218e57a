"""The inbox of a real chat moves as its table says: every state, every message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.place import DEADLINE, Person, Place, aclosing_stream

from coder_nb.core.lifecycle import INBOX, inbox
from coder_nb.core.sessions import ChatInfo

pytestmark = pytest.mark.anyio


class Walk:
    """Notes how an inbox moves by what is done to it."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.seen: set[tuple[str, str, str]] = set()

    async def state(self) -> str:
        chat = await self.person.state()
        return inbox(held=chat.held, waiting=bool(chat.queued))

    async def prompt(self, text: str) -> str:
        before = await self.state()
        sent = await self.person.send(text)
        await self._note(before, "prompt")
        return sent

    async def withdraw(self) -> None:
        """Takes the last one back."""
        before, queued = await self.state(), (await self.person.state()).queued
        assert await self.person.runtime.withdraw(self.person.chat.id, queued[-1].id)
        await self._note(before, "drain" if len(queued) == 1 else "withdraw")

    async def stop(self) -> None:
        before = await self.state()
        await self.person.runtime.stop(self.person.chat.id)
        await self._note(before, "stop")
        await self.quiet()

    async def go_on(self) -> None:
        before = await self.state()
        await self.person.runtime.go_on(self.person.chat.id)
        await self._note(before, "go_on")

    async def interrupt(self, place: Place) -> None:
        """The runtime ends, and another one goes on with the store."""
        before = await self.state()
        await self.person.runtime.close()
        self.person = await place.person()
        await self._note(before, "interrupt")

    async def hang(self) -> None:
        """A turn that runs until it is stopped; it was taken, and nothing waits."""
        await self.prompt("think hm; hang")
        await self._until(lambda chat: chat.run_status == "running" and not chat.queued)

    async def quiet(self) -> None:
        await self._until(lambda chat: chat.run_status != "running")

    async def _until(self, look: Callable[[ChatInfo], bool]) -> None:
        async with asyncio.timeout(DEADLINE), aclosing_stream(self.person) as frames:
            async for _ in frames:
                if look(await self.person.state()):
                    return

    async def _note(self, before: str, message: str) -> None:
        self.seen.add((before, message, await self.state()))


async def test_the_inbox_of_a_chat_moves_as_its_table_says(place: Place) -> None:
    walk = Walk(await place.person())
    await walk.go_on()
    await walk.hang()
    await walk.prompt("say one")
    await walk.prompt("say two")
    await walk.go_on()
    await walk.withdraw()
    await walk.withdraw()
    await walk.stop()  # and nothing waits
    await walk.hang()
    await walk.interrupt(place)
    await walk.hang()
    await walk.prompt("say one")
    await walk.interrupt(place)
    await walk.prompt("say two")
    await walk.stop()  # nothing runs
    await walk.withdraw()
    await walk.interrupt(place)
    await walk.withdraw()
    await walk.hang()
    await walk.prompt("think hm; hang")
    last = await walk.prompt("say last")
    await walk.stop()
    assert await walk.state() == "held"
    await walk.person.runtime.go_on(walk.person.chat.id)
    await walk.person.shown("reasoning", "hm")
    await walk.stop()
    await walk.person.runtime.go_on(walk.person.chat.id)
    assert (await walk.person.ended(last)).end == "completed"

    moves = {(state, message, after) for state, row in INBOX.items() for message, after in row.items()}
    # A prompt that nothing keeps waiting is taken before one can look.
    assert {(s, m, a) for s, m, a in walk.seen if (s, m, a) != ("empty", "prompt", "empty")} <= moves
    assert {(s, m) for s, m, _ in moves} - {(s, m) for s, m, _ in walk.seen} == {("waiting", "take"), ("held", "go_on")}
