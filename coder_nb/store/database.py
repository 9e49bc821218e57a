"""What the queries are written against: statements, a transaction, and a database that gives transactions.

Statements are SQLAlchemy's, so that both engines share them; each is compiled once for the engine that runs it, and
its text is handed to the driver. SQLAlchemy's own cursor takes several trips for one statement, which the log cannot
afford.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

from sqlalchemy import BindParameter, ColumnElement, bindparam, literal_column
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from coder_nb.errors import StoreUnreachable

T = TypeVar("T")
S = TypeVar("S")
P = ParamSpec("P")
Row = tuple[Any, ...]
EVERYTHING = "*"
"""In place of a chat's id: whatever it is that has changed."""
PATIENCE = 30.0
"""Seconds for which a call waits for a database server that is gone, before it says so."""
_VALUE = re.compile(r"\$\d+::\w+")
_VALUES = re.compile(rf"VALUES \(({_VALUE.pattern}(?:, {_VALUE.pattern})*)\)")
_UNFIT = re.compile("[\0\ud800-\udfff]")


def param(name: str, like: ColumnElement[Any] | None = None) -> BindParameter[Any]:
    """A value that comes with each execution; `like` is a column of its type, where nothing beside it says so."""
    kind: TypeEngine[Any] | None = None if like is None else like.type
    return bindparam(name, type_=kind)


def constant(value: str | int) -> ColumnElement[Any]:
    """A value that is part of the statement, so that an index with a condition on it is used."""
    return literal_column(repr(value))


class Compiled(NamedTuple):
    """A statement for one engine: its text, and how named values become a row of it."""

    sql: str
    row: Callable[[Mapping[str, Any]], Row]
    batch: str | None = None
    """The text of an insert that takes many values in place of each, where the engine has such a one."""


class Statement:
    """A SQLAlchemy statement, compiled for an engine at its first use there."""

    def __init__(self, source: Executable) -> None:
        self.source = source

    @cached_property
    def sqlite(self) -> Compiled:
        return _compile(self.source, sqlite.dialect(paramstyle="qmark"))

    @cached_property
    def postgresql(self) -> Compiled:
        compiled = _compile(self.source, asyncpg.dialect())  # type: ignore[no-untyped-call]
        batch, found = _VALUES.subn(_unnested, compiled.sql)
        return compiled._replace(batch=batch if found else None)


def _unnested(values: re.Match[str]) -> str:
    columns = _VALUE.sub(lambda value: f"{value[0]}[]", values[1])
    return f"SELECT * FROM unnest({columns})"


def _compile(source: Executable, dialect: Dialect) -> Compiled:
    compiled = source.compile(dialect=dialect)  # type: ignore[attr-defined]  # every Executable has it
    assert isinstance(compiled, SQLCompiler)
    names = compiled.positiontup or []
    constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
    pick: Callable[[Mapping[str, Any]], Row]
    if len(names) > 1:
        pick = itemgetter(*names)
    else:

        def pick(values: Mapping[str, Any]) -> Row:
            return tuple(values[name] for name in names)

    if not constants:
        return Compiled(str(compiled), pick)
    return Compiled(str(compiled), lambda values: pick({**constants, **values}))


def clean(words: str) -> str:
    """Text that a database takes: what is no Unicode text of its own (NUL, half a surrogate pair) becomes U+FFFD."""
    if words.isascii() and "\0" not in words:
        return words
    return _UNFIT.sub("\ufffd", words)


class Tx(Protocol):
    """One transaction."""

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """All rows that a statement gives."""

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """The first row that a statement gives, if any."""

    async def run(self, statement: Statement, **values: Any) -> int:
        """Executes a statement; returns how many rows it changed."""

    async def many(self, statement: Statement, values: Iterable[Mapping[str, Any]]) -> int:
        """Executes a statement once for each set of values; returns how many rows were changed in all."""

    def touch(self, chat_id: str, rev: int = 0) -> None:
        """What other processes are told has changed, once this is committed."""


class Database(Protocol):
    """The connections of one process to one database; belongs to the loop in which it was opened."""

    def write(self, *, begins_by_writing: bool = False) -> contextlib.AbstractAsyncContextManager[Tx]:
        """A transaction that writes. Committed at the end, undone by any exception.

        Its first statement must lock what the others rely on: the lease and chat (`guard`), a row that it inserts or
        updates. On SQLite it is the only one of all processes; one that begins by writing saves a trip there.
        """

    def read(self, *, once: bool = False) -> contextlib.AbstractAsyncContextManager[Tx]:
        """A transaction that reads: the database as it was at one moment, whoever writes meanwhile.

        What reads by one statement only, `once`, needs no transaction around it, which saves two trips.
        """

    async def scrub(self) -> None:
        """Lets what was deleted go from the files too, as far as no reader still needs it."""

    def watch(self) -> AsyncGenerator[frozenset[str] | None]:
        """As `base.Store.watch`."""

    async def close(self) -> None:
        """Lets the transactions that are being written end, then closes every connection; once more does nothing."""


def patient(
    call: Callable[Concatenate[S, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """A method that goes on when the database server is there again, where it comes back in `PATIENCE`.

    Only for what may be done twice: whether the last commit before the server went was made, nobody can tell.
    """

    async def again(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        wait, end = 0.02, time.monotonic() + PATIENCE
        while True:
            try:
                return await call(self, *args, **kwargs)
            except StoreUnreachable:
                if time.monotonic() + wait > end:
                    raise
            await asyncio.sleep(wait)
            wait = min(wait * 2, 1.0)

    functools.update_wrapper(again, call)
    return again
