"""What a log leaves in a file of SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE
from contextlib import closing
from pathlib import Path

import pytest

from coder_nb.core.entries import Chunk
from coder_nb.store.base import Batch, Owner
from coder_nb.testing.contracts import begin, text

pytestmark = pytest.mark.anyio


@pytest.fixture
def engine() -> str:
    """This is about files."""
    return "sqlite"


async def test_an_entry_that_ended_leaves_no_chunks_in_the_file(opened, path: Path, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    growing = text(chat_id, "", open=True, native_id="n")
    chunks = tuple(Chunk(entry_id=growing.id, offset=n, text="x") for n in range(9))
    await store.log.commit(lease, chat_id, Batch(entries=(growing,), chunks=chunks))
    assert count_chunks(path) == 9
    await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "x" * 9, native_id="n"),)))
    assert count_chunks(path) == 0


def count_chunks(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM chunks").fetchone()[0])


async def test_what_is_written_is_proportional_to_the_text(opened, here: Owner, path: Path) -> None:
    """A streamed text of n chunks takes bytes in proportion to n, not to its square."""
    store = await opened()
    lease, chat_id = await begin(store, here)
    growing = text(chat_id, "", open=True)
    await store.log.commit(lease, chat_id, Batch(entries=(growing,)))
    wal = path.with_name(path.name + "-wal")
    sizes = [wal.stat().st_size]
    for half in range(2):
        for n in range(40):
            chunk = Chunk(entry_id=growing.id, offset=(half * 40 + n) * 500, text="x" * 500)
            await store.log.commit(lease, chat_id, Batch(chunks=(chunk,)))
        sizes.append(wal.stat().st_size)
    first, second = sizes[1] - sizes[0], sizes[2] - sizes[1]
    assert second < 1.5 * first


LOCKED = """
import fcntl, struct, sys
shared = struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0x40000002, 510, 0)  # the bytes that every reader of SQLite locks
with open(sys.argv[1], "rb+") as file:
    print(struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, shared))[0] != fcntl.F_UNLCK)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the locks as Linux lays them out")
async def test_opening_a_store_again_keeps_the_locks_of_the_first(opened, path: Path, here: Owner) -> None:
    """Without them another process would delete the log under it."""
    store = await opened()
    await begin(store, here)
    await (await opened()).close()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LOCKED, str(path), stdout=PIPE)
    assert (await process.communicate())[0] == b"True\n"


@pytest.mark.parametrize("whole", [False, True], ids=["chat", "session"])
async def test_what_was_deleted_is_in_no_byte_of_the_files_any_more(
    opened, path: Path, here: Owner, whole: bool
) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    canaries = tuple(text(chat_id, f"canary-{number} " * 400) for number in range(20))
    await store.log.commit(lease, chat_id, Batch(entries=canaries))
    assert b"canary" in bytes_of(path)
    session_id = (await store.catalog.get_chat(chat_id)).session_id
    await (store.catalog.delete_session(lease, session_id) if whole else store.catalog.delete_chat(lease, chat_id))
    assert b"canary" not in bytes_of(path)


def bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name))
