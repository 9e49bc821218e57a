"""The leases of one runtime: each directory for itself, taken and given back one after another."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from coder_nb.errors import StoreFull
from coder_nb.runtime.leaseholder import Leaseholder
from coder_nb.store.base import Lease, Leases, Owner
from coder_nb.store.owner import this_process

pytestmark = pytest.mark.anyio
LIMIT = 30.0


class Book:
    """Leases as a store keeps them: to take one that is one's own changes nothing, to give it back frees it."""

    def __init__(self) -> None:
        self.given: set[str] = set()
        self.giving_back, self.may_give_back = asyncio.Event(), asyncio.Event()

    async def acquire(self, path: str, owner: Owner, *, ttl: float) -> Lease:
        self.given.add(path)
        return Lease(path=path, owner=owner, generation=1)

    async def release(self, lease: Lease) -> None:
        self.giving_back.set()
        await self.may_give_back.wait()
        self.given.discard(lease.path)


async def nothing(lease: Lease) -> None:
    """There is nothing to settle."""


def leaseholder(book: Book, taken: object = nothing) -> Leaseholder:
    return Leaseholder(cast(Leases, book), this_process("r"), ttl=30.0, taken=taken, lost=nothing)  # type: ignore[arg-type]


async def test_what_is_settled_in_one_directory_keeps_no_other_waiting() -> None:
    settling, may_go_on = asyncio.Event(), asyncio.Event()

    async def taken(lease: Lease) -> None:
        if lease.path == "/slow":
            settling.set()
            await may_go_on.wait()

    leases = leaseholder(Book(), taken)
    slow = asyncio.create_task(leases.hold("/slow"))
    await settling.wait()
    async with asyncio.timeout(LIMIT):
        assert (await leases.hold("/other")).path == "/other"
    assert leases.held("/slow") is None
    again = asyncio.create_task(leases.hold("/slow"))
    may_go_on.set()
    assert await again is await slow


async def test_a_lease_that_is_asked_for_while_it_is_given_back_is_taken_anew() -> None:
    book = Book()
    leases = leaseholder(book)
    await leases.hold("/p")
    back = asyncio.create_task(leases.release("/p"))
    await book.giving_back.wait()
    again = asyncio.create_task(leases.hold("/p"))
    await asyncio.sleep(0)
    book.may_give_back.set()
    await asyncio.gather(back, again)
    assert leases.held("/p") is not None
    assert book.given == {"/p"}


async def test_a_lease_whose_directory_cannot_be_settled_is_given_back_at_once() -> None:
    settling = asyncio.Event()

    async def taken(lease: Lease) -> None:
        settling.set()
        if lease.path == "/slow":
            await asyncio.Event().wait()
        raise StoreFull("The disk is full: make room, then try again.")

    book = Book()
    book.may_give_back.set()
    leases = leaseholder(book, taken)
    with pytest.raises(StoreFull):
        await leases.hold("/p")
    assert (book.given, leases.held("/p")) == (set(), None)
    settling.clear()
    given_up = asyncio.create_task(leases.hold("/slow"))
    await settling.wait()
    given_up.cancel()
    await asyncio.wait({given_up})
    assert (book.given, leases.held("/slow")) == (set(), None)
