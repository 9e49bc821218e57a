"""The rows of worktrees, which outlive those of their sessions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from coder_nb.store.base import Lease, TreeRow, TreeStatus
from coder_nb.store.database import Database, Statement, param, patient
from coder_nb.store.guard import guard_session
from coder_nb.store.schema import worktrees

_FIELDS = ("session_id", "path", "checkout", "base_commit", "host", "status")
_ROWS = Statement(select(*(worktrees.c[name] for name in _FIELDS)).order_by(worktrees.c.id))
_MARK = Statement(
    update(worktrees)
    .where(worktrees.c.session_id == param("of_session"), worktrees.c.status == param("was"))
    .values(status=param("status"))
)
_FORGET = Statement(
    update(worktrees)
    .where(worktrees.c.path == param("at_path"), worktrees.c.session_id.is_(None))
    .values(status=param("status"))
)


class SqlTrees:
    """As `base.Trees` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def rows(self) -> tuple[TreeRow, ...]:
        async with self._database.read(once=True) as tx:
            return tuple(TreeRow(**dict(zip(_FIELDS, row, strict=True))) for row in await tx.rows(_ROWS))

    async def mark(self, lease: Lease, session_id: str, status: TreeStatus, *, was: Sequence[TreeStatus]) -> bool:
        async with self._database.write() as tx:
            await guard_session(tx, lease, session_id)
            changed = [await tx.run(_MARK, of_session=session_id, was=old, status=status) for old in was]
            return any(changed)

    @patient
    async def forget(self, path: str) -> None:
        async with self._database.write() as tx:
            await tx.run(_FORGET, at_path=path, status="removed")
