"""Upgrades that are killed: `python migrant.py <database>` forks one for each number it reads, which is killed there.

The number is that of the statement before which the upgrade is killed; beyond the last one, it succeeds and 0 is said.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from typing import Any

from alembic import command  # noqa: F401  # so that a fork has it
from sqlalchemy import Engine, event

from coder_nb.settings import Settings
from coder_nb.store import postgres, sqlite  # noqa: F401
from coder_nb.store.open import open_store


async def upgrade(database: str) -> None:
    await (await open_store(Settings(database=database))).close()


def main(database: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            _die_before(int(line))
            asyncio.run(upgrade(database))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _die_before(statement: int) -> None:
    numbers = count()

    @event.listens_for(Engine, "before_cursor_execute")
    def step(*_: Any) -> None:
        if next(numbers) == statement:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
