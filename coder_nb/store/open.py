"""Opening the store: its folder, its file, its migrations, and the nouns over them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import psutil
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coder_nb.backends.history import History
from coder_nb.errors import CoderError, StoreError, StoreOnNetwork
from coder_nb.settings import Settings
from coder_nb.store.base import Catalog, Changes, Inbox, Leases, Log
from coder_nb.store.catalog import SqlCatalog
from coder_nb.store.changes import SqlChanges
from coder_nb.store.database import READERS, Database, make_engine
from coder_nb.store.faults import damaged, store_error
from coder_nb.store.history import SqlHistory
from coder_nb.store.inbox import SqlInbox
from coder_nb.store.leases import SqlLeases
from coder_nb.store.log import SqlLog
from coder_nb.store.migrations import migrate

_NETWORK = (
    "nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "afs", "ceph", "glusterfs", "lustre", "gpfs",
    "beegfs", "orangefs", "pvfs2", "ncpfs", "webdav", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph",
    "fuse.davfs2", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.blobfuse2",
)  # fmt: skip


class SqlStore:
    """The store over one database, as `base.Store` says."""

    engine: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(self, database: Database, *, poll_interval: float) -> None:
        self.log: Log = SqlLog(database)
        self.catalog: Catalog = SqlCatalog(database)
        self.inbox: Inbox = SqlInbox(database)
        self.changes: Changes = SqlChanges(database)
        self.leases: Leases = SqlLeases(database)
        self.history: History = SqlHistory(database)
        self._database = database
        self._poll_interval = poll_interval

    async def watch(self) -> AsyncIterator[None]:
        closing, seen = self._database.closing, -1
        while not closing.is_set():
            try:
                version = await self._database.version()
            except StoreError:
                if closing.is_set():
                    return
                raise
            if version != seen:
                seen = version
                yield
            try:
                async with asyncio.timeout(self._poll_interval):
                    await closing.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        await self._database.close()


async def open_store(settings: Settings, *, busy_timeout: float = 5.0) -> SqlStore:
    """Opens the store that the settings name, making or migrating it where needed; several processes may at once.

    Raises `StoreOnNetwork`, `StoreTooNew`, `StoreDamaged`, `StoreLocked` (after `busy_timeout` seconds), `StoreFull`,
    or a plain `StoreError` where the file cannot be made; nothing that is there is changed then.
    """
    path = await asyncio.to_thread(_prepare_file, settings.database_path())
    opening = asyncio.create_task(_open(path, busy_timeout), name="open the store")
    try:
        return SqlStore(await asyncio.shield(opening), poll_interval=settings.poll_interval)
    except asyncio.CancelledError:
        # A connection that is given up half made would hold its locks for a while: it is made, and then closed.
        with contextlib.suppress(CoderError):
            await (await opening).close()
        raise


async def _open(path: Path, busy_timeout: float) -> Database:
    engine = make_engine(path, busy_timeout=busy_timeout)
    try:
        return await _connect(engine, path)
    except BaseException as error:
        await engine.dispose()
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, sqlite3.Error):
            raise store_error(cause, path) from error
        raise


async def _connect(engine: AsyncEngine, path: Path) -> Database:
    connections: list[AsyncConnection] = []
    try:
        for _ in range(1 + READERS):
            connections.append(await engine.connect())
            if len(connections) == 1:
                await connections[0].run_sync(_bring_up_to_date, path)
        database = Database(path, engine, connections)
        await database.start()
    except BaseException:
        for connection in connections:
            with contextlib.suppress(DBAPIError):
                await asyncio.shield(connection.close())
        raise
    return database


def _bring_up_to_date(connection: Connection, path: Path) -> None:
    """Checks and migrates under the writer's lock, so that of two processes that open at once only one migrates."""
    if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
        raise StoreOnNetwork(
            f"The file system of the store {path} does not let processes share a database: set CODER_NB_DATABASE to a "
            "path on a local disk."
        )
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        migrate(connection, str(path))
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _prepare_file(path: Path) -> Path:
    """Makes the file, readable by its user only, unless it is there; refuses what SQLite would silently spoil."""
    kind = network_type(str(path), _mounts())
    if kind is not None:
        raise StoreOnNetwork(
            f"The store {path} lies on a network file system ({kind}), where SQLite loses data: set "
            "CODER_NB_DATABASE to a path on a local disk."
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_or_check(path)
    except OSError as error:
        raise StoreError(
            f"The store {path} cannot be made or written ({error.strerror}): set CODER_NB_DATABASE to a path that "
            "you may write."
        ) from error
    wal = path.with_name(path.name + "-wal")
    if path.stat().st_size == 0 and wal.exists() and wal.stat().st_size > 0:
        # SQLite takes an empty file for a new database, and deletes the log beside it.
        raise damaged(path, "it is empty, and the log beside it is not")
    return path


def _make_or_check(path: Path) -> None:
    # A file that is there is not opened here: closing it again would drop the locks that SQLite holds on it for
    # another store of this process, as POSIX has it.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise IsADirectoryError(errno.EISDIR, "it is no file") from None
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def _mounts() -> list[tuple[str, str]]:
    try:
        return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    except (OSError, psutil.Error):
        return []  # a sandbox that hides its mounts: then SQLite itself has to notice


def network_type(path: str, mounts: list[tuple[str, str]]) -> str | None:
    """The type of the network file system that holds a path, by (mount point, type); None where it is a local one."""
    best, kind = -1, ""
    for point, fstype in mounts:
        inside = path == point or path.startswith(point.rstrip(os.sep) + os.sep)
        if inside and len(point) >= best:  # of two at one place the later hides the earlier
            best, kind = len(point), fstype.lower()
    return kind if kind in _NETWORK else None
