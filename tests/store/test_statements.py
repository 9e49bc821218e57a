"""The statements: each finds its rows by an index, and each is one that PostgreSQL takes as well."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql

from coder_nb.store import agents, appending, catalog, changes, guard, inbox, leases, log, standings, trees, turns
from coder_nb.store.database import Statement

pytestmark = pytest.mark.anyio


@pytest.fixture
def engine() -> str:
    """This is about files."""
    return "sqlite"


STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}{name}": statement
    for module in (agents, appending, catalog, changes, guard, inbox, leases, log, standings, trees, turns)
    for name, statement in vars(module).items()
    if isinstance(statement, Statement)
}
WHOLE = {"catalog_SESSIONS", "turns_USAGE", "standings_EVERY", "agents_LATEST", "trees_ROWS"}
"""Those that are asked for everything there is."""
RARE = {"trees_MARK", "trees_FORGET"}
"""Those that run once as a worktree ends, over one row a session."""
OF_A_CHAT = {"log_ALL", "log_LANDMARKS", "log_TEXTS"}
"""Those that are asked for all of a chat."""
LONG = re.compile(r"SEARCH (entries|chunks) USING .*INDEX (?!ix_entries_(open|usage) )\w+ \(chat_id=\?\)")
"""A step that looks at all of a chat, but for indexes that have few of its entries."""
FOUND = ("SCAN page", "SCAN found", "SCAN (subquery")
"""What a statement has just found itself: one row, or a page, and what it counts of it."""


async def test_every_statement_finds_its_rows_by_an_index(opened, path: Path) -> None:
    """What keeps an append and a page at the same cost in a chat of any length."""
    await opened()
    scans = []
    with closing(sqlite3.connect(path)) as connection:
        for name in STATEMENTS.keys() - WHOLE - RARE:
            sql = STATEMENTS[name].sqlite.sql
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?")).fetchall()
            steps = [step[3] for step in plan if "CONSTANT ROW" not in step[3]]
            scans += [(name, step) for step in steps if step.startswith("SCAN") and not step.startswith(FOUND)]
            scans += [(name, step) for step in steps if LONG.match(step) and name not in OF_A_CHAT]
    assert scans == []


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_every_statement_can_be_said_to_postgresql(name: str) -> None:
    assert str(STATEMENTS[name].source.compile(dialect=postgresql.dialect()))
