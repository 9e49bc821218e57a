"""What the contracts of a store are written with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from coder_nb.core.entries import (
    Entry,
    Page,
)
from coder_nb.core.transcript import Transcript
from coder_nb.errors import CoderError
from coder_nb.ids import new_id
from coder_nb.store.base import Lease, Owner, Store

Contract = Callable[[Store, Owner], Awaitable[None]]
PATH = "/home/user/project"


async def begin(store: Store, owner: Owner, path: str = PATH) -> tuple[Lease, str]:
    """A lease on a directory, and a chat in a session on it."""
    lease = await store.leases.acquire(path, owner, ttl=60)
    session = await store.catalog.open_session("ann", path, name="main", new=False, session_id=new_id(), now=1)
    chat = await store.catalog.open_chat(session.id, name="main", new=True, chat_id=new_id(), now=1)
    return lease, chat.id


async def read_all(store: Store, chat_id: str, *, after: int = 0, limit: int = 500) -> list[Page]:
    """The pages from a cursor to the end of the log."""
    pages = [await store.log.read(chat_id, after=after, limit=limit)]
    while pages[-1].more:
        pages.append(await store.log.read(chat_id, after=pages[-1].rev, limit=limit))
    return pages


def fold(pages: list[Page]) -> list[Entry]:
    """The transcript that pages give, without the revisions at which each entry was seen."""
    transcript = Transcript()
    for page in pages:
        transcript.apply(page)
    return [msgspec.structs.replace(entry, rev=0) for entry in transcript]


def text(chat_id: str, words: str, **more: object) -> Entry:
    """A closed text entry, unless `more` says otherwise."""
    return msgspec.convert({"id": new_id(), "chat_id": chat_id, "body": {"kind": "text", "text": words}, **more}, Entry)


async def refuses(error: type[CoderError], call: Awaitable[object]) -> CoderError:
    """Awaits what must raise, and gives what it raised."""
    try:
        await call
    except error as raised:
        return raised
    raise AssertionError(f"{error.__name__} was not raised")
