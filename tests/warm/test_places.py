"""Turns waiting for their place, as tasks."""

from __future__ import annotations

import asyncio

import pytest

from coder_nb.warm.places import Places

pytestmark = pytest.mark.anyio


class Crowd:
    """Turns that want a place, and end when they are told to."""

    def __init__(self, limit: int) -> None:
        self.moved: list[str] = []
        self.places = Places(limit, moved=self.moved.append)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self.ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._turn(name))
            await asyncio.sleep(0)

    async def _turn(self, name: str) -> None:
        async with self.places.place(name):
            self.begun.append(name)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def leave(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait({self.tasks[name]})
        await asyncio.sleep(0)

    def line(self, *names: str) -> list[int | None]:
        return [self.places.of(name) for name in names]


async def test_turns_get_their_places_in_the_order_in_which_they_came_and_see_where_they_are() -> None:
    crowd = Crowd(2)
    await crowd.come("a", "b", "c", "d", "e")
    assert crowd.begun == ["a", "b"]
    assert crowd.line("a", "b", "c", "d", "e") == [None, None, 1, 2, 3]
    assert (crowd.places.running, crowd.places.waiting) == (2, 3)
    crowd.moved.clear()
    await crowd.end("b")
    assert crowd.begun == ["a", "b", "c"]
    assert crowd.line("c", "d", "e") == [None, 1, 2]
    assert sorted(crowd.moved) == ["c", "d", "e"]
    for name in "acde":
        await crowd.end(name)
    assert crowd.begun == list("abcde")
    assert (crowd.places.running, crowd.places.waiting) == (0, 0)


async def test_who_does_not_want_to_wait_any_more_makes_room_and_a_place_is_never_lost() -> None:
    crowd = Crowd(1)
    await crowd.come("a", "b", "c")
    await crowd.leave("b")
    assert crowd.line("b", "c") == [None, 1]
    await crowd.end("a")
    assert crowd.begun == ["a", "c"]
    await crowd.leave("c")
    await crowd.come("d")
    assert crowd.begun == ["a", "c", "d"]
    await crowd.end("d")


async def test_one_that_is_cancelled_at_the_moment_at_which_it_gets_its_place_gives_it_on() -> None:
    crowd = Crowd(1)

    def cancel(name: str) -> None:
        if name == "b" and crowd.places.of("b") is None:  # it has its place, and does not know yet
            crowd.tasks["b"].cancel()

    crowd.places = Places(1, moved=cancel)
    await crowd.come("a", "b", "c")
    await crowd.end("a")
    await asyncio.wait({crowd.tasks["b"]})
    await asyncio.sleep(0)
    assert crowd.begun == ["a", "c"]
    await crowd.end("c")
    assert (crowd.places.running, crowd.places.waiting) == (0, 0)
