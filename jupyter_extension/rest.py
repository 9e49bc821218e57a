"""What each route does: one call of the runtime each. `routes.py` says under which address, and who may."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from coder_nb.core.entries import Page
from coder_nb.core.values import (
    AgentCommands,
    AgentInfo,
    AgentSessionInfo,
    Change,
    ChatInfo,
    FileContent,
    Health,
    Isolation,
    Preview,
    Prompt,
    SessionInfo,
    TurnInfo,
    UsageRow,
)
from coder_nb.core.verbs import Verbs
from coder_nb.errors import BadPath, BadRequest
from coder_nb.ids import is_id
from jupyter_extension.base import Caller
from jupyter_extension.hosted import HostedRuntime


class OpenSession(Struct, frozen=True, kw_only=True):
    """The session of a working directory, which is given by its whole path."""

    path: str
    name: str = "main"
    new: bool = False
    isolation: Isolation | None = None
    base: str | None = None


class OpenChat(Struct, frozen=True, kw_only=True):
    name: str = "main"
    new: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """An answer to a permission: one of its options, or null to refuse."""

    option_id: str | None = None
    by: Annotated[str, Meta(max_length=100)] | None = None
    """Who gave it, as a kernel says; taken from kernels only."""


class Reply(Struct, frozen=True, kw_only=True):
    """An answer to a question: ids of its choices or own words, or null to decline."""

    answer: Annotated[tuple[str, ...], Meta(max_length=100)] | None = None
    by: Annotated[str, Meta(max_length=100)] | None = None
    """Who gave it, as a kernel says; taken from kernels only."""


class Steer(Struct, frozen=True, kw_only=True):
    """Another message of the user, for the turn that runs."""

    text: str


class Chosen(Struct, frozen=True, kw_only=True):
    """Changes, by their ids."""

    ids: tuple[str, ...]
    hunks: dict[str, tuple[str, ...]] = {}
    """Of these changes only these hunks."""


class Applied(Chosen, frozen=True, kw_only=True):
    """Changes to apply, and where to."""

    to: str = ""
    commit: str = ""


class Reverted(Struct, frozen=True, kw_only=True):
    """Changes to take back, by their ids."""

    ids: tuple[str, ...]


class SideQuery(Struct, frozen=True, kw_only=True):
    side: Literal["old", "new"] = "new"


class EntriesQuery(Struct, frozen=True, kw_only=True):
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    before: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 500


class Done(Struct, frozen=True, kw_only=True):
    """Whether it was done; false where there was nothing to do (any more)."""

    done: bool


async def health(hosted: HostedRuntime) -> Health:
    return await hosted.health()


async def agents(runtime: Verbs) -> tuple[AgentInfo, ...]:
    return await runtime.agents()


async def sessions(runtime: Verbs) -> tuple[SessionInfo, ...]:
    return await runtime.sessions()


async def open_session(runtime: Verbs, body: OpenSession) -> SessionInfo:
    if not body.path.startswith(("/", "~")) and body.path[1:3] not in (":\\", ":/"):
        raise BadPath(f"`{body.path}` could be anywhere: give the directory's whole path.")
    return await runtime.open_session(body.path, name=body.name, new=body.new, isolation=body.isolation, base=body.base)


async def session(runtime: Verbs, session_id: str) -> SessionInfo:
    return await runtime.get_session(session_id)


async def agent_sessions(runtime: Verbs, session_id: str) -> tuple[AgentSessionInfo, ...]:
    return await runtime.agent_sessions(session_id)


async def open_chat(runtime: Verbs, session_id: str, body: OpenChat) -> ChatInfo:
    return await runtime.open_chat(session_id, name=body.name, new=body.new)


async def all_usage(runtime: Verbs) -> tuple[UsageRow, ...]:
    return await runtime.usage()


async def chat(runtime: Verbs, chat_id: str) -> ChatInfo:
    return await runtime.get_chat(chat_id)


async def prompt(runtime: Verbs, chat_id: str, body: Prompt) -> ChatInfo:
    if not is_id(body.id):
        raise BadRequest("The prompt's id is no id: make one with `coder_nb.ids.new_id()`.")
    return await runtime.prompt(chat_id, body)


async def withdraw(runtime: Verbs, chat_id: str, prompt_id: str) -> Done:
    return Done(done=await runtime.withdraw(chat_id, prompt_id))


async def stop(runtime: Verbs, chat_id: str) -> Done:
    return Done(done=await runtime.stop(chat_id))


async def steer(runtime: Verbs, chat_id: str, body: Steer) -> Done:
    return Done(done=await runtime.steer(chat_id, body.text))


async def commands(runtime: Verbs, chat_id: str) -> tuple[AgentCommands, ...]:
    return await runtime.commands(chat_id)


async def go_on(runtime: Verbs, chat_id: str) -> ChatInfo:
    return await runtime.go_on(chat_id)


async def answer(runtime: Verbs, chat_id: str, request_id: str, body: Answer, caller: Caller) -> Done:
    return Done(done=await runtime.answer(chat_id, request_id, body.option_id, by=_who(body.by, caller)))


async def reply(runtime: Verbs, chat_id: str, request_id: str, body: Reply, caller: Caller) -> Done:
    return Done(done=await runtime.reply(chat_id, request_id, body.answer, by=_who(body.by, caller)))


def _who(said: str | None, caller: Caller) -> str:
    return said if caller.kernel and said else caller.name


async def attend(runtime: Verbs, chat_id: str, caller: Caller) -> None:
    await runtime.attend(chat_id, who=caller.name)


async def turns(runtime: Verbs, chat_id: str) -> tuple[TurnInfo, ...]:
    return await runtime.turns(chat_id)


async def entries(runtime: Verbs, chat_id: str, query: EntriesQuery) -> Page:
    return await runtime.read(chat_id, after=query.after, before=query.before, limit=query.limit)


async def changes(runtime: Verbs, chat_id: str) -> tuple[Change, ...]:
    return await runtime.changes(chat_id)


async def apply(runtime: Verbs, chat_id: str, body: Applied) -> tuple[Change, ...]:
    return await runtime.apply(chat_id, body.ids, hunks=body.hunks, to=body.to, commit=body.commit)


async def reject(runtime: Verbs, chat_id: str, body: Chosen) -> tuple[Change, ...]:
    return await runtime.reject(chat_id, body.ids, hunks=body.hunks)


async def revert(runtime: Verbs, chat_id: str, body: Reverted) -> tuple[Change, ...]:
    return await runtime.revert(chat_id, body.ids)


async def preview(runtime: Verbs, chat_id: str) -> tuple[Preview, ...]:
    return await runtime.preview(chat_id)


async def content(runtime: Verbs, chat_id: str, change_id: str, query: SideQuery) -> FileContent:
    return await runtime.content(chat_id, change_id, old=query.side == "old")


async def usage(runtime: Verbs, chat_id: str) -> tuple[UsageRow, ...]:
    return await runtime.usage(chat_id)
