"""A disk that is full, a file that is locked, cut off, foreign, too new or far away: one sentence, and nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import run

import pytest

from coder_nb.core.entries import Text
from coder_nb.errors import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreOnNetwork, StoreTooNew
from coder_nb.settings import Settings
from coder_nb.store.base import Batch, Owner
from coder_nb.store.file import network_type
from coder_nb.store.migrations import HEAD
from coder_nb.store.open import open_store
from coder_nb.testing.contracts import begin, text

pytestmark = pytest.mark.anyio


@pytest.fixture
def engine() -> str:
    """This is about files."""
    return "sqlite"


CHILD = Path(__file__).with_name("child.py")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Another program that keeps the file to itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


async def test_a_locked_store_says_so_and_goes_on_when_it_is_free(opened, path: Path, here: Owner) -> None:
    store = await opened(busy_timeout=0.05)
    lease, chat_id = await begin(store, here)
    batch = Batch(entries=(text(chat_id, "kept"),))
    with exclusive(path):
        with pytest.raises(StoreLocked, match=r"is locked by another program: close what holds it open"):
            await store.log.commit(lease, chat_id, batch)
        with pytest.raises(StoreLocked):
            await opened(busy_timeout=0.05)
    assert (await store.log.commit(lease, chat_id, batch)).rev == 1


def test_a_full_disk_loses_nothing_that_was_committed(path: Path) -> None:
    told = run([sys.executable, str(CHILD), "fill", str(path)], capture_output=True, text=True, check=True, timeout=60)
    outcome, message = told.stdout.splitlines()
    assert outcome == "StoreFull True True"
    assert "free some space, then go on; what was committed is safe" in message


async def test_a_full_database_takes_writes_again_when_there_is_room(opened, here: Owner) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    async with store._database.write() as tx:
        (pages,) = next(iter(await tx._driver.execute_fetchall("PRAGMA page_count")))
        await tx._driver.execute_fetchall(f"PRAGMA max_page_count = {pages + 4}")
    big = Batch(entries=(text(chat_id, "x" * 100_000),))
    with pytest.raises(StoreFull):
        await store.log.commit(lease, chat_id, big)
    assert (await store.log.read(chat_id)).rev == 0
    async with store._database.write() as tx:
        await tx._driver.execute_fetchall("PRAGMA max_page_count = 1000000")
    assert (await store.log.commit(lease, chat_id, big)).rev == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KB."""
    mounted = run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(tmp_path)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this user may not mount: {mounted.stderr.strip()}")
    yield tmp_path
    run(["umount", str(tmp_path)], check=True)


async def test_a_full_file_system_loses_nothing_that_was_committed(small_disk: Path, here: Owner) -> None:
    store = await open_store(Settings(database=str(small_disk / "store.sqlite")))
    lease, chat_id = await begin(store, here)
    rev = 0

    async def fill() -> None:
        nonlocal rev
        while True:
            rev = (await store.log.commit(lease, chat_id, Batch(entries=(text(chat_id, "x" * 4000),)))).rev

    with pytest.raises(StoreFull, match="takes no more"):
        await fill()
    entries = (await store.log.tail(chat_id, 1000)).entries
    assert [entry.body for entry in entries] == [Text(text="x" * 4000)] * rev
    await store.close()


def files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("gone", ["", "-wal", "-shm", "*"])
async def test_a_store_that_was_deleted_below_us_is_read_and_not_written(
    opened, path: Path, here: Owner, gone: str
) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    batch = Batch(entries=(text(chat_id, "kept"),))
    assert (await store.log.commit(lease, chat_id, batch)).rev == 1
    for file in path.parent.glob(f"{path.name}{gone}"):
        file.unlink()
    for write in (store.log.commit(lease, chat_id, batch), store.leases.renew(lease, ttl=30.0)):
        with pytest.raises(StoreError, match=r"deleted, moved or replaced .* export what you need .* restart"):
            await write
    assert [entry.body for entry in (await store.log.tail(chat_id, 10)).entries] == [Text(text="kept")]


async def test_a_store_that_was_replaced_takes_writes_again_when_it_is_moved_back(
    opened, path: Path, here: Owner
) -> None:
    store = await opened()
    lease, chat_id = await begin(store, here)
    batch = Batch(entries=(text(chat_id, "kept"),))
    for file in files(path):
        file.rename(file.with_name(f"aside-{file.name}"))
        shutil.copy(file.with_name(f"aside-{file.name}"), file)
    with pytest.raises(StoreError, match="replaced"):
        await store.log.commit(lease, chat_id, batch)
    for file in files(path):
        file.with_name(f"aside-{file.name}").replace(file)
    assert (await store.log.commit(lease, chat_id, batch)).rev == 1


def contents(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


async def filled(path: Path, here: Owner) -> bytes:
    """A store with something in it, closed; returns its bytes."""
    store = await open_store(Settings(database=str(path)))
    lease, chat_id = await begin(store, here)
    await store.log.commit(lease, chat_id, Batch(entries=tuple(text(chat_id, "x" * 900) for _ in range(200))))
    await store.close()
    return contents(path)


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.1])
async def test_a_store_that_was_cut_off_is_left_as_it_is(path: Path, here: Owner, keep: float) -> None:
    whole = await filled(path, here)
    rest = whole[: int(len(whole) * keep)]
    put(path, rest)
    with pytest.raises(StoreDamaged, match=r"is damaged .* put a backup in its place, or move it away"):
        await open_store(Settings(database=str(path)))
    assert contents(path) == rest


async def test_an_emptied_store_with_a_log_beside_it_is_left_as_it_is(opened, path: Path, here: Owner) -> None:
    store = await opened()
    await begin(store, here)
    copy = path.with_name("copy.sqlite")
    shutil.copy(path.with_name(path.name + "-wal"), copy.with_name(copy.name + "-wal"))
    copy.touch()
    log = copy.with_name(copy.name + "-wal").read_bytes()
    assert log
    with pytest.raises(StoreDamaged, match="the log beside it is not"):
        await open_store(Settings(database=str(copy)))
    assert copy.with_name(copy.name + "-wal").read_bytes() == log


async def test_a_file_that_is_no_database_is_left_as_it_is(path: Path) -> None:
    put(path, b"my thesis, chapter one. " * 400)
    with pytest.raises(StoreDamaged, match="file is not a database"):
        await open_store(Settings(database=str(path)))
    assert contents(path) == b"my thesis, chapter one. " * 400


async def test_the_database_of_another_program_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreDamaged, match=r"belongs to another program .*'recipes'.*set CODER_NB_DATABASE"):
        await open_store(Settings(database=str(path)))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


async def test_a_newer_store_is_refused_by_version_and_cure(path: Path, here: Owner) -> None:
    await filled(path, here)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(
        StoreTooNew, match=rf"has version 0099, .* up to {HEAD}\. Upgrade it \(`pip install -U coder-nb`\)"
    ):
        await open_store(Settings(database=str(path)))


async def test_opening_can_be_cancelled_at_any_moment(path: Path) -> None:
    """Nothing is left behind that would lock the file, or warn at the end."""
    opened = []
    for milliseconds in range(0, 60, 3):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(milliseconds / 1000):
                opened.append(await open_store(Settings(database=str(path)), busy_timeout=0.0))
    assert len(opened) < 20
    for store in opened:
        await store.close()
    await (await open_store(Settings(database=str(path)))).close()
    with exclusive(path):
        pass


async def test_a_path_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be made or written .*: set CODER_NB_DATABASE"):
        await open_store(Settings(database=str(tmp_path / "file" / "store.sqlite")))
    with pytest.raises(StoreError, match=r"cannot be made or written .*: set CODER_NB_DATABASE"):
        await open_store(Settings(database=str(tmp_path)))


async def test_only_its_user_may_read_the_store(opened, path: Path) -> None:
    await opened()
    assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ann/store", "nfs4"),
        ("/home/bob/store", None),
        ("/homework/store", None),
        ("/mnt/share/store", "fuse.sshfs"),
        ("/mnt/auto/store", "cifs"),
        ("/mnt/host/store", None),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(path: str, kind: str | None) -> None:
    mounts = [
        ("/", "overlay"),
        ("/home", "nfs4"),
        ("/home/bob", "ext4"),
        ("/mnt/share", "fuse.sshfs"),
        ("/mnt/auto", "autofs"),
        ("/mnt/auto", "cifs"),
        ("/mnt/host", "9p"),
    ]
    assert network_type(path, mounts) == kind


async def test_a_store_on_a_network_file_system_is_refused_with_the_cure(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coder_nb.store.file._mounts", lambda: [("/", "ext4"), (str(path.parents[1]), "nfs4")])
    with pytest.raises(
        StoreOnNetwork, match=r"\(nfs4\), where SQLite loses data: set .* local disk, or to a PostgreSQL"
    ):
        await open_store(Settings(database=str(path)))
    assert not path.parent.exists()
