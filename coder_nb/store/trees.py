"""The rows of worktrees, which outlive those of their sessions."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from coder_nb.ids import new_id
from coder_nb.store.base import Lease, TreeRow, TreeStatus
from coder_nb.store.database import Database, Statement, constant, param, patient
from coder_nb.store.guard import guard_session
from coder_nb.store.schema import worktrees

_FIELDS = ("session_id", "path", "checkout", "base_commit", "host", "status")
_ROWS = Statement(select(*(worktrees.c[name] for name in _FIELDS)).order_by(worktrees.c.id))
_ACTIVE = constant("active")
_ADD = Statement(
    insert(worktrees).values(
        id=param("tree_id"),
        session_id=param("session_id"),
        path=param("path"),
        branch=param("branch"),
        base_commit=param("base_commit"),
        host=param("host"),
        checkout=param("checkout"),
        status=_ACTIVE,
    )
)
_MOVE = Statement(
    update(worktrees)
    .where(worktrees.c.session_id == param("of_session"), worktrees.c.status == _ACTIVE)
    .values({name: param(name) for name in ("path", "branch", "base_commit", "host", "checkout")})
)
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

    @patient
    async def record(
        self, lease: Lease, session_id: str, *, path: str, branch: str, base_commit: str, checkout: str = ""
    ) -> None:
        tree = {"path": path, "branch": branch, "base_commit": base_commit, "checkout": checkout}
        tree["host"] = socket.gethostname()
        async with self._database.write() as tx:
            await guard_session(tx, lease, session_id)
            if not await tx.run(_MOVE, of_session=session_id, **tree):
                await tx.run(_ADD, tree_id=new_id(), session_id=session_id, **tree)

    async def mark(self, lease: Lease, session_id: str, status: TreeStatus, *, was: Sequence[TreeStatus]) -> bool:
        async with self._database.write() as tx:
            await guard_session(tx, lease, session_id)
            changed = [await tx.run(_MARK, of_session=session_id, was=old, status=status) for old in was]
            return any(changed)

    @patient
    async def forget(self, path: str) -> None:
        async with self._database.write() as tx:
            await tx.run(_FORGET, at_path=path, status="removed")
