"""Prompts accepted and not yet processed; an id stays known for as long as its chat is."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from coder_nb.core.codec import decode, encode
from coder_nb.core.lifecycle import PROMPT
from coder_nb.core.prompts import Prompt
from coder_nb.errors import QueueFull
from coder_nb.store.base import Lease
from coder_nb.store.database import Database, Statement, Tx, constant, param, patient
from coder_nb.store.guard import guard_chat
from coder_nb.store.schema import inbox

_CHAT = param("chat_id")
_WAITING = constant("waiting")

_KNOWN = Statement(select(inbox.c.chat_id).where(inbox.c.id == param("prompt_id")))
_COUNT = Statement(
    select(
        select(func.coalesce(func.max(inbox.c.seq), constant(0))).where(inbox.c.chat_id == _CHAT).scalar_subquery(),
        select(func.count()).where(inbox.c.chat_id == _CHAT, inbox.c.status == _WAITING).scalar_subquery(),
    )
)
_ADD = Statement(insert(inbox))
_LIST = Statement(
    select(inbox.c.body).where(inbox.c.chat_id == _CHAT, inbox.c.status == _WAITING).order_by(inbox.c.seq)
)
_WITHDRAW = Statement(
    update(inbox)
    .where(inbox.c.id == param("prompt_id"), inbox.c.chat_id == _CHAT, inbox.c.status == _WAITING)
    .values(status=constant(PROMPT["waiting"]["withdraw"]))
)


class SqlInbox:
    """The inbox of every chat, as `base.Inbox` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def accept(self, lease: Lease, chat_id: str, prompt: Prompt, *, limit: int) -> bool:
        async with self._database.write() as tx:
            await guard_chat(tx, lease, chat_id)
            if await tx.row(_KNOWN, prompt_id=prompt.id):
                return False
            last, count = (await tx.rows(_COUNT, chat_id=chat_id))[0]
            if count >= limit:
                raise QueueFull(
                    f"{count} prompts are waiting in this chat, which is the most it takes: wait, withdraw "
                    "some, or stop it first."
                )
            await tx.run(_ADD, id=prompt.id, chat_id=chat_id, seq=last + 1, status="waiting", body=encode(prompt))
        return True

    @patient
    async def waiting(self, chat_id: str) -> tuple[Prompt, ...]:
        async with self._database.read(once=True) as tx:
            return await waiting(tx, chat_id)

    @patient
    async def withdraw(self, lease: Lease, chat_id: str, prompt_id: str) -> bool:
        async with self._database.write() as tx:
            await guard_chat(tx, lease, chat_id)
            return await tx.run(_WITHDRAW, chat_id=chat_id, prompt_id=prompt_id) > 0


async def waiting(tx: Tx, chat_id: str) -> tuple[Prompt, ...]:
    """The prompts that wait in a chat, in their order."""
    return tuple(decode(body, Prompt) for (body,) in await tx.rows(_LIST, chat_id=chat_id))
