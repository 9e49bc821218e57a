"""What the tests of several processes run in the other one: `python child.py <what> <database> ...`."""

from __future__ import annotations

import asyncio
import os
import sys

from coder_nb.core.entries import Chunk
from coder_nb.errors import StoreError
from coder_nb.settings import Settings
from coder_nb.store.base import Batch
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.owner import this_process
from coder_nb.testing.contracts import begin, text


def say(*words: object) -> None:
    """One line to the parent, at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write(store: SqlStore, count: str) -> None:
    """Streams texts, saying the revision of each commit once it is made."""
    lease, chat_id = await begin(store, this_process("child", "the other process"))
    say(chat_id)
    for n in range(int(count)):
        growing = text(chat_id, "", open=True)
        chunk = Chunk(entry_id=growing.id, offset=0, text=f"word {n}")
        committed = await store.log.commit(lease, chat_id, Batch(entries=(growing,), chunks=(chunk,)))
        say(committed.rev)
        closed = text(chat_id, f"word {n}.", id=growing.id, pos=committed.positions[0])
        say((await store.log.commit(lease, chat_id, Batch(entries=(closed,)))).rev)
    say("done")


async def hold(store: SqlStore) -> None:
    """Takes the lease and keeps it until it is killed."""
    say(str(await store.leases.acquire("/held", this_process("child", "the other process"), ttl=3600)))
    await asyncio.Event().wait()


def allow_files_to_grow(by: int) -> None:
    """From now on the system refuses to let any file grow beyond the store's size and this."""
    import resource

    limit = os.path.getsize(sys.argv[2]) + by
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


async def fill(store: SqlStore) -> None:
    """Writes until there is no more room, then says which error that was, and whether all that was committed stands."""
    lease, chat_id = await begin(store, this_process("child"))
    allow_files_to_grow(400_000)
    rev = 0
    try:
        while True:
            rev = (await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "x" * 5000),)))).rev
    except StoreError as error:
        page = await store.log.tail(chat_id, rev + 1)
        say(type(error).__name__, rev > 0, page.rev == len(page.entries) == rev)
        say(error)


async def forget(store: SqlStore) -> None:
    """Ends without closing the store."""
    await begin(store, this_process("child"))
    say("ends")


async def main(what: str, database: str, *rest: str) -> None:
    store = await open_store(Settings(database=database))
    await globals()[what](store, *rest)
    if what != "forget":
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
