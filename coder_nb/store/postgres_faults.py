"""What PostgreSQL's driver raises, as what a person can do something about. No password is ever in a message."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg

from coder_nb.errors import CoderError, NotFound, StoreError, StoreFull, StoreLocked, StoreUnreachable

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    ValueError,
)
"""What a call of the driver may raise."""
_BROKEN = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What is raised on a connection that is of no use any more."""
_GONE = ("08", "57P01", "57P02", "57P03", "57P05", "25P03")
"""States that say that the connection or the server went away, and may come back."""
_CURES = {
    "28": "refuses the user or the password: put the right ones into CODER_NB_DATABASE, or into ~/.pgpass",
    "3D": "does not exist: make it with `createdb`, or name another one in CODER_NB_DATABASE",
    "42501": "does not let this user do that: have its owner run `GRANT`, or open it once as the owner, which makes "
    "the tables",
    "25006": "is read only, as a standby is: name the primary server in CODER_NB_DATABASE",
    "53300": "has no connection left: raise `max_connections`, or close some servers",
}


def shown(url: str) -> str:
    """A database's address as it may be shown: without user, password and options."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def postgres_error(error: BaseException | None, name: str) -> CoderError:
    """The error of coder-nb that stands for one of the driver, naming the database and the cure."""
    error = _original(error)
    state = getattr(error, "sqlstate", None) or ""
    if state == "23503":
        return NotFound("Nothing has that id: what this would belong to was deleted, or never was.")
    if isinstance(error, ValueError) or state.startswith("22"):
        return StoreError(
            f"The store takes text only, and this is none ({_words(error)}): rename the file or path that it names."
        )
    if state.startswith(_GONE) or isinstance(error, _BROKEN):
        return StoreUnreachable(
            f"The database {name} cannot be reached ({_words(error)}): see that PostgreSQL runs there, and that "
            "CODER_NB_DATABASE is right; what was committed is safe."
        )
    if state in ("55P03", "40P01", "40001"):
        return StoreLocked(
            f"The database {name} is locked by another program ({_words(error)}): close what holds it, then try again."
        )
    if state in ("53100", "58030"):
        return StoreFull(
            f"The disk of the database {name} takes no more ({_words(error)}): free some space there, then go on; what "
            "was committed is safe."
        )
    for prefix, cure in _CURES.items():
        if state.startswith(prefix):
            return StoreError(f"The database {name} {cure} ({_words(error)}).")
    return StoreError(f"The database {name} failed ({_words(error)}): try again, and report it if it stays.")


def unsettled(name: str) -> StoreUnreachable:
    """Says that the server went while it was committing."""
    return StoreUnreachable(
        f"The database {name} went away while something was being committed: look whether it is there before doing it "
        "again."
    )


def not_utf8(name: str) -> StoreError:
    """Says that the database cannot hold every text."""
    return StoreError(
        f"The database {name} does not keep text as UTF-8: make one that does, with `createdb --encoding=UTF8 "
        "--template=template0`."
    )


def closed(name: str) -> StoreError:
    """Says that the store is used after its end."""
    return StoreError(f"The store {name} is closed: open it again.")


def _original(error: BaseException | None) -> BaseException | None:
    """SQLAlchemy puts the driver's own error under one of its own."""
    while error is not None and not isinstance(error, DRIVER_ERRORS) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _words(error: BaseException | None) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
