"""Opening the store that the settings name: SQLite or PostgreSQL, and the nouns over it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal

from coder_nb.backends.history import History
from coder_nb.errors import MissingExtra
from coder_nb.settings import Settings
from coder_nb.store.agents import SqlAgents
from coder_nb.store.base import (
    Agents,
    Catalog,
    Changes,
    Copies,
    Inbox,
    Keeping,
    Leases,
    Log,
    Rules,
    Shares,
    Standings,
    Trees,
    Turns,
)
from coder_nb.store.catalog import SqlCatalog
from coder_nb.store.changes import SqlChanges
from coder_nb.store.copies import SqlCopies
from coder_nb.store.database import Database
from coder_nb.store.history import SqlHistory
from coder_nb.store.inbox import SqlInbox
from coder_nb.store.keeping import SqlKeeping
from coder_nb.store.leases import SqlLeases
from coder_nb.store.log import SqlLog
from coder_nb.store.rules import SqlRules
from coder_nb.store.shares import SqlShares
from coder_nb.store.standings import SqlStandings
from coder_nb.store.trees import SqlTrees
from coder_nb.store.turns import SqlTurns

Engine = Literal["sqlite", "postgresql"]


class SqlStore:
    """The store over one database, as `base.Store` says."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self.engine: Engine = engine
        self.log: Log = SqlLog(database)
        self.catalog: Catalog = SqlCatalog(database)
        self.turns: Turns = SqlTurns(database)
        self.agents: Agents = SqlAgents(database)
        self.trees: Trees = SqlTrees(database)
        self.inbox: Inbox = SqlInbox(database)
        self.changes: Changes = SqlChanges(database)
        self.leases: Leases = SqlLeases(database)
        self.history: History = SqlHistory(database)
        self.copies: Copies = SqlCopies(database)
        self.shares: Shares = SqlShares(database)
        self.keeping: Keeping = SqlKeeping(database)
        self.rules: Rules = SqlRules(database)
        self.standings: Standings = SqlStandings(database)
        self._database = database

    def watch(self) -> AsyncGenerator[frozenset[str] | None]:
        return self._database.watch()

    async def close(self) -> None:
        await self._database.close()


async def open_store(settings: Settings, *, busy_timeout: float = 5.0) -> SqlStore:
    """Opens the store that the settings name, making or migrating it where needed; several processes may at once.

    Raises `StoreOnNetwork`, `StoreTooNew`, `StoreDamaged`, `StoreLocked` (after `busy_timeout` seconds), `StoreFull`,
    `StoreUnreachable`, or a plain `StoreError` where it cannot be made; nothing that is there is changed then.
    """
    url = settings.database_url()
    if url is None:
        from coder_nb.store.sqlite import open_sqlite

        path, poll = settings.database_path(), settings.poll_interval
        return SqlStore(await open_sqlite(path, busy_timeout=busy_timeout, poll_interval=poll), "sqlite")
    try:
        from coder_nb.store.postgres import open_postgres
    except ImportError as error:
        raise MissingExtra.of("A store in PostgreSQL", "asyncpg", "postgres") from error
    return SqlStore(await open_postgres(url, busy_timeout=busy_timeout), "postgresql")
