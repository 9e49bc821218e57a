"""What the routes about sessions and their chats do: one call of the runtime each."""

from __future__ import annotations

from msgspec import Struct

from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo
from coder_nb.core.verbs import Verbs
from coder_nb.errors import BadPath


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


async def sessions(runtime: Verbs) -> tuple[SessionInfo, ...]:
    return await runtime.sessions()


async def open_session(runtime: Verbs, body: OpenSession) -> SessionInfo:
    if not body.path.startswith(("/", "~")) and body.path[1:3] not in (":\\", ":/"):
        raise BadPath(f"`{body.path}` could be anywhere: give the directory's whole path.")
    return await runtime.open_session(body.path, name=body.name, new=body.new, isolation=body.isolation, base=body.base)


async def session(runtime: Verbs, session_id: str) -> SessionInfo:
    return await runtime.get_session(session_id)


async def open_chat(runtime: Verbs, session_id: str, body: OpenChat) -> ChatInfo:
    return await runtime.open_chat(session_id, name=body.name, new=body.new)


async def chat(runtime: Verbs, chat_id: str) -> ChatInfo:
    return await runtime.get_chat(chat_id)


async def turns(runtime: Verbs, chat_id: str) -> tuple[TurnInfo, ...]:
    return await runtime.turns(chat_id)
