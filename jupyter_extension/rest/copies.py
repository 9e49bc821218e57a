"""What the routes about forks, exports, imports, native sessions and links do: one call of the runtime each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from coder_nb.core.agents import NativeSession
from coder_nb.core.copies import Files, Share
from coder_nb.core.export import Exported
from coder_nb.core.sessions import NAME_LIMIT, ChatInfo
from coder_nb.core.verbs import Verbs
from jupyter_extension.base import Caller
from jupyter_extension.rest.values import Done

Name = Annotated[str, Meta(max_length=NAME_LIMIT)]


class Adopt(Struct, frozen=True, kw_only=True):
    """A native session to go on with, by the agent's own id."""

    agent: str
    native_id: Annotated[str, Meta(min_length=1, max_length=500)]
    name: Name | None = None


class Fork(Struct, frozen=True, kw_only=True):
    turn_id: str | None = None
    files: Files = "shared"
    name: Name | None = None


class Import(Struct, frozen=True, kw_only=True):
    exported: Exported
    name: Name | None = None


class Keep(Struct, frozen=True, kw_only=True):
    """How long, and how much, of a session is kept; null is what the settings say."""

    days: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    mib: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class ExportQuery(Struct, frozen=True, kw_only=True):
    redact: bool = True


class AgentQuery(Struct, frozen=True, kw_only=True):
    agent: str


async def keep(runtime: Verbs, session_id: str, body: Keep) -> None:
    await runtime.keep(session_id, days=body.days, mib=body.mib)


async def native_sessions(runtime: Verbs, session_id: str, query: AgentQuery) -> tuple[NativeSession, ...]:
    return await runtime.native_sessions(session_id, query.agent)


async def adopt(runtime: Verbs, session_id: str, body: Adopt) -> ChatInfo:
    return await runtime.adopt(session_id, body.agent, body.native_id, name=body.name)


async def import_chat(runtime: Verbs, session_id: str, body: Import) -> ChatInfo:
    return await runtime.import_chat(session_id, body.exported, name=body.name)


async def fork(runtime: Verbs, chat_id: str, body: Fork) -> ChatInfo:
    return await runtime.fork(chat_id, turn_id=body.turn_id, files=body.files, name=body.name)


async def export(runtime: Verbs, chat_id: str, query: ExportQuery) -> Exported:
    return await runtime.export(chat_id, redact=query.redact)


async def share(runtime: Verbs, chat_id: str, caller: Caller) -> Share:
    return await runtime.share(chat_id, by=caller.name)


async def shares(runtime: Verbs, chat_id: str) -> tuple[Share, ...]:
    return await runtime.shares(chat_id)


async def unshare(runtime: Verbs, chat_id: str, share_id: str) -> Done:
    return Done(done=await runtime.unshare(chat_id, share_id))
