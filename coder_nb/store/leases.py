"""Who runs the sessions of a working directory: one process, until it lets go, dies or falls silent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from coder_nb.core.codec import decode, encode
from coder_nb.errors import RunElsewhere
from coder_nb.store.base import Lease, Owner
from coder_nb.store.database import EVERYTHING, Database, Statement, constant, param, patient
from coder_nb.store.guard import lost
from coder_nb.store.owner import is_dead, same_boot, this_process, ticks
from coder_nb.store.schema import leases


class now_ms(FunctionElement[int]):  # noqa: N801  # reads as the SQL function that it is
    """The database's clock in milliseconds: one clock for all who share it."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _sqlite(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _postgresql(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


_PATH, _TTL, _TICKS = param("lease_path"), param("ttl"), param("ticks")
_MINE = (leases.c.path == _PATH, leases.c.generation == param("held"), leases.c.runtime_id == param("runtime"))

_find = select(leases.c.generation, leases.c.owner, leases.c.expires_at > now_ms(), leases.c.ticks_expire_at).where(
    leases.c.path == _PATH
)
_FIND = Statement(_find)
# Taking a lease begins with a row that nobody holds, so that there is one to lock: of two takers one waits.
_KNOW = Statement(
    insert(leases)
    .values(
        path=_PATH,
        generation=constant(0),
        runtime_id=null(),
        owner=null(),
        expires_at=constant(0),
        ticks_expire_at=constant(0),
    )
    .on_conflict_do_nothing()
)
_LOCK = Statement(_find.with_for_update())
_TAKE = Statement(
    update(leases)
    .where(leases.c.path == _PATH)
    .values(
        generation=param("next"),
        runtime_id=param("runtime"),
        owner=param("owner"),
        expires_at=now_ms() + _TTL,
        ticks_expire_at=_TICKS,
    )
)
_RENEW = Statement(update(leases).where(*_MINE).values(expires_at=now_ms() + _TTL, ticks_expire_at=_TICKS))
# The row stays, so that a generation is never given twice.
_RELEASE = Statement(update(leases).where(*_MINE).values(runtime_id=null(), owner=null(), expires_at=constant(0)))


class SqlLeases:
    """The leases, as `base.Leases` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def acquire(self, path: str, owner: Owner, *, ttl: float) -> Lease:
        async with self._database.write(begins_by_writing=True) as tx:
            await tx.run(_KNOW, lease_path=path)
            ((generation, *row),) = await tx.rows(_LOCK, lease_path=path)
            holder = _owner(row[0])
            mine = holder is not None and holder.runtime_id == owner.runtime_id
            if holder is not None and not mine and _holds(holder, owner, *row[1:]):
                raise elsewhere(path, holder)
            generation += not mine
            await tx.run(
                _TAKE,
                lease_path=path,
                next=generation,
                runtime=owner.runtime_id,
                owner=encode(owner),
                ttl=_ms(ttl),
                ticks=ticks() + _ms(ttl),
            )
            if not mine:
                tx.touch(EVERYTHING)  # who runs a session is part of what is seen of its chats
        return Lease(path=path, owner=owner, generation=generation)

    @patient
    async def renew(self, lease: Lease, *, ttl: float) -> None:
        async with self._database.write(begins_by_writing=True) as tx:
            if not await tx.run(_RENEW, ttl=_ms(ttl), ticks=ticks() + _ms(ttl), **_mine(lease)):
                raise lost(lease)

    @patient
    async def release(self, lease: Lease) -> None:
        async with self._database.write(begins_by_writing=True) as tx:
            await tx.run(_RELEASE, **_mine(lease))
            tx.touch(EVERYTHING)

    @patient
    async def holder(self, path: str) -> Owner | None:
        async with self._database.read(once=True) as tx:
            row = await tx.row(_FIND, lease_path=path)
        owner = _owner(row[1]) if row else None
        return owner if row and owner and _holds(owner, this_process(""), *row[2:]) else None


def _holds(holder: Owner, here: Owner, in_time: bool, ticks_expire_at: int) -> bool:
    """Whether a holder still has its lease: it lives, as far as can be seen from here, and was not silent for too long.

    How long one on this machine was silent is told by the clock that no setting of the time moves and that stands still
    while the machine sleeps: who wakes up first must not take what the others had no time to renew.
    """
    if not same_boot(holder, here):
        return in_time
    return not is_dead(holder, here) and (ticks() < ticks_expire_at if ticks_expire_at else in_time)


def elsewhere(path: str, holder: Owner) -> RunElsewhere:
    """Says who runs a working directory, and how to go on here."""
    who = holder.label or f"process {holder.pid} on {holder.host}"
    return RunElsewhere(
        f"The sessions of {path} are run by {who}: watch them here, prompt there, or shut it down to go on here."
    )


def _owner(data: bytes | None) -> Owner | None:
    return None if data is None else decode(data, Owner)


def _mine(lease: Lease) -> dict[str, Any]:
    return {"lease_path": lease.path, "held": lease.generation, "runtime": lease.owner.runtime_id}


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
