"""What the routes do by which people answer agents: one call of the runtime each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from coder_nb.core.rules import Always
from coder_nb.core.verbs import Verbs
from jupyter_extension.base import Caller
from jupyter_extension.rest.values import Done, who


class Answer(Struct, frozen=True, kw_only=True):
    """An answer to a permission: one of its options, or null to refuse."""

    option_id: str | None = None
    always: Always | None = None
    by: Annotated[str, Meta(max_length=100)] | None = None
    """By what a kernel asked for it, ``callback`` or ``stdin``; else it is the caller's, and no other name is taken."""


class Reply(Struct, frozen=True, kw_only=True):
    """An answer to a question: ids of its choices or own words, or null to decline."""

    answer: Annotated[tuple[str, ...], Meta(max_length=100)] | None = None
    by: Annotated[str, Meta(max_length=100)] | None = None
    """By what a kernel asked for it, ``callback`` or ``stdin``; else it is the caller's, and no other name is taken."""


class Attendance(Struct, frozen=True, kw_only=True):
    """Who is there: a page that is watched, or with a prompt the caller who waits for it."""

    prompt_id: Annotated[str, Meta(pattern="^[a-z0-9]{26}$")] | None = None


async def answer(runtime: Verbs, chat_id: str, request_id: str, body: Answer, caller: Caller) -> Done:
    return Done(
        done=await runtime.answer(chat_id, request_id, body.option_id, by=who(body.by, caller), always=body.always)
    )


async def reply(runtime: Verbs, chat_id: str, request_id: str, body: Reply, caller: Caller) -> Done:
    return Done(done=await runtime.reply(chat_id, request_id, body.answer, by=who(body.by, caller)))


async def attend(runtime: Verbs, chat_id: str, body: Attendance, caller: Caller) -> None:
    await runtime.attend(chat_id, who=caller.name, prompt_id=body.prompt_id)
