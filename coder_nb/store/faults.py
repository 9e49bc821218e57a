"""What the driver raises, as what a person can do something about: the one place where the two meet."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from coder_nb.errors import CoderError, NotFound, StoreDamaged, StoreError, StoreFull, StoreLocked

_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_FSYNC")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_REFUSED = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")


def store_error(error: Exception, path: Path) -> CoderError:
    """The error of coder-nb that stands for one of the driver, naming the store's file and the cure."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return NotFound("Nothing has that id: what this would belong to was deleted, or never was.")
    if name.startswith(_LOCKED):
        return StoreLocked(
            f"The store {path} is locked by another program: close what holds it open (a database browser, "
            "a backup), then try again."
        )
    if name.startswith(_FULL):
        return StoreFull(
            f"The disk of the store {path} takes no more (full, over a quota, or failing): free some space, then "
            "go on; what was committed is safe."
        )
    if name.startswith(_DAMAGED):
        return damaged(path, str(error))
    if name.startswith(_REFUSED):
        return StoreError(
            f"The store {path} may not be written ({error}): give yourself the right to write the file and its "
            "folder, or set CODER_NB_DATABASE to another path."
        )
    if isinstance(error, UnicodeError):
        return StoreError(
            f"The store takes text only, and this is none ({error}): rename the file or path that it names."
        )
    if isinstance(error, ValueError) or "closed database" in str(error):
        return closed(path)
    return StoreError(f"The store {path} failed ({error}): try again, and report it if it stays.")


def damaged(path: Path, what: str) -> StoreDamaged:
    """Says that the file cannot be read, and how to rescue what is in it."""
    return StoreDamaged(
        f"The store {path} is damaged ({what}). Nothing was changed in it: put a backup in its place, or move it away "
        f"together with {path.name}-wal and {path.name}-shm and start afresh; `sqlite3 {path.name} .recover` rescues "
        "what can still be read."
    )


def replaced(path: Path) -> StoreError:
    """Says that what would be written goes to a file that nobody finds any more, and what can be saved."""
    return StoreError(
        f"The store {path} was deleted, moved or replaced while it was in use, so nothing is written any more: move it "
        f"back, with {path.name}-wal and {path.name}-shm; where it is gone, export what you need of the chats that are "
        "open, which can still be read, and restart the server or kernel."
    )


def closed(path: Path) -> StoreError:
    """Says that the store is used after its end."""
    return StoreError(f"The store {path} is closed: open it again.")


DRIVER_ERRORS = (sqlite3.Error, ValueError)
"""What a call of the driver may raise; a `ValueError` is its way to say that the connection is closed."""
