"""The fence: whether a runner's lease is still the current one, asked inside the transaction that writes.

The question holds the lease until the transaction ends: whoever takes it over waits for what is being written under
it, and sees that. Many may write under one lease, and it may be renewed meanwhile. The chat (or session) itself is held
as well, so that two writers of one chat come one after another. SQLite has one writer at a time and needs none of this.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, select

from coder_nb.errors import CoderError, LeaseLost, NotFound
from coder_nb.store.base import Lease
from coder_nb.store.database import EVERYTHING, Statement, Tx, param
from coder_nb.store.schema import chats, leases, sessions

_CURRENT = (
    leases.c.path == param("lease_path"),
    leases.c.generation == param("lease_generation"),
    leases.c.runtime_id == param("lease_runtime"),
)


def lease_values(lease: Lease) -> dict[str, str | int]:
    """The parameters that `runs_chat` and the statements here take."""
    return {
        "lease_path": lease.path,
        "lease_generation": lease.generation,
        "lease_runtime": lease.owner.runtime_id,
    }


def runs_chat() -> ColumnElement[bool]:
    """A condition on a row of `chats`: that the lease is current, and that of the chat's working directory."""
    return exists(
        select(leases.c.path)
        .join(sessions, sessions.c.path == leases.c.path)
        .where(sessions.c.id == chats.c.session_id, *_CURRENT)
        .with_for_update(read=True, key_share=True, of=leases)
    )


_lease = (
    select(leases.c.path)
    .where(leases.c.path == sessions.c.path, *_CURRENT)
    .with_for_update(read=True, key_share=True, of=leases)
)
_MAY_RUN_CHAT = Statement(
    select(runs_chat()).select_from(chats).where(chats.c.id == param("chat_id")).with_for_update(key_share=True)
)
_MAY_RUN_SESSION = Statement(
    select(exists(_lease))
    .select_from(sessions)
    .where(sessions.c.id == param("session_id"))
    .with_for_update(key_share=True)
)


def unknown(noun: str, key: str) -> NotFound:
    """Says that an id leads nowhere."""
    return NotFound(f"There is no {noun} {key}: it was deleted, or belongs to another store.")


def lost(lease: Lease) -> LeaseLost:
    """Says that another process runs a working directory now."""
    return LeaseLost(
        f"Another process took over the sessions of {lease.path}: nothing was written; what it writes from now on is "
        "shown here, read only."
    )


async def why_not(tx: Tx, lease: Lease, chat_id: str) -> CoderError:
    """Why a statement with `runs_chat` found no row: the chat is unknown, or the lease is lost."""
    found = await tx.row(_MAY_RUN_CHAT, chat_id=chat_id, **lease_values(lease))
    return unknown("chat", chat_id) if found is None else lost(lease)


async def guard_chat(tx: Tx, lease: Lease, chat_id: str) -> None:
    """Raises `LeaseLost` or `NotFound` unless the lease lets its holder write to a chat."""
    found = await tx.row(_MAY_RUN_CHAT, chat_id=chat_id, **lease_values(lease))
    if found is None or not found[0]:
        raise unknown("chat", chat_id) if found is None else lost(lease)
    tx.touch(chat_id)


async def guard_session(tx: Tx, lease: Lease, session_id: str) -> None:
    """The same for a session."""
    found = await tx.row(_MAY_RUN_SESSION, session_id=session_id, **lease_values(lease))
    if found is None or not found[0]:
        raise unknown("session", session_id) if found is None else lost(lease)
    tx.touch(EVERYTHING)
