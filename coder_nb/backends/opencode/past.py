"""What a server keeps of earlier turns: listed, told, branched off, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from coder_nb.backends.base import ForkOf
from coder_nb.backends.events import AnyEvent, UsageReported, UserSaid
from coder_nb.backends.opencode import translate
from coder_nb.backends.opencode.server import Refused, Server
from coder_nb.backends.opencode.state import State
from coder_nb.core.agents import NativeSession

Message = dict[str, Any]
MOST = 100
"""How many sessions of a directory are listed."""


async def sessions(server: Server, cwd: Path) -> tuple[NativeSession, ...]:
    """The sessions of a directory, the latest first; those of sub-agents are left out."""
    found = await server.call("GET", "/session", cwd, roots="true", limit=MOST)
    listed = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    kept = [
        NativeSession(
            native_id=str(one["id"]),
            title=str(one.get("title") or ""),
            cwd=str(one.get("directory") or ""),
            updated_at=_updated(one),
        )
        for one in listed
        if isinstance(one.get("id"), str) and not one.get("parentID")
    ]
    return tuple(sorted(kept, key=lambda one: -(one.updated_at or 0)))


async def messages(server: Server, cwd: Path, session_id: str) -> list[Message]:
    """All messages of a session, the first first; raises `Refused` where there is none."""
    found = await server.call("GET", f"/session/{session_id}/message", cwd)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


async def fork(server: Server, cwd: Path, of: ForkOf) -> str | None:
    """A new session in a directory that begins with what another one holds; None where it cannot be made."""
    try:
        known = await server.call("GET", f"/session/{of.native_id}", cwd)
        cut = _cut(await messages(server, cwd, of.native_id), of.at) if of.at is not None else _reverted(known)
        body = {} if cut is None else {"messageID": cut}
        made = await server.call("POST", f"/session/{of.native_id}/fork", cwd, body)
    except (Refused, LookupError):
        return None
    found = made.get("id") if isinstance(made, dict) else None
    return found if isinstance(found, str) else None


async def rewind(server: Server, cwd: Path, session_id: str, to: str | None) -> bool:
    """Forgets what came after a message of the user and its answer; what was forgotten before comes back first."""
    try:
        cut = _cut(await messages(server, cwd, session_id), to)
        if cut is None:
            await server.call("POST", f"/session/{session_id}/unrevert", cwd)
        else:
            await server.call("POST", f"/session/{session_id}/revert", cwd, {"messageID": cut})
    except (Refused, LookupError):
        return False
    return True


def told(agent: str, session_id: str, history: list[Message]) -> Iterator[AnyEvent]:
    """A session's history as events; its usage is not counted."""
    state = State(agent=agent, session_id=session_id)
    for message in history:
        info = message.get("info")
        parts = [part for part in message.get("parts") or () if isinstance(part, dict)]
        if not isinstance(info, dict):
            continue
        if info.get("role") == "user":
            yield UserSaid(text=_said(parts), ts=_created(info), native_id=str(info.get("id") or "") or None)
            continue
        for event in _as_events(session_id, info, parts):
            for one in translate.event(state, event):
                yield msgspec.structs.replace(one, counted=False) if isinstance(one, UsageReported) else one


def _as_events(session_id: str, info: Message, parts: list[Message]) -> Iterator[Message]:
    yield {"type": "message.updated", "properties": {"sessionID": session_id, "info": info}}
    for part in parts:
        yield {"type": "message.part.updated", "properties": {"sessionID": session_id, "part": part}}


def _said(parts: list[Message]) -> str:
    """What the user wrote, without what the server added to it."""
    texts = [part.get("text") for part in parts if part.get("type") == "text" and not part.get("synthetic")]
    return "\n\n".join(text for text in texts if isinstance(text, str))


def _cut(history: list[Message], to: str | None) -> str | None:
    """The first message of the user behind another one; None where there is none. Raises `LookupError` for no such."""
    prompts = [str(one["info"]["id"]) for one in history if (one.get("info") or {}).get("role") == "user"]
    at = 0 if to is None else prompts.index(to) + 1 if to in prompts else None
    if at is None:
        raise LookupError(to)
    return prompts[at] if at < len(prompts) else None


def _reverted(session: Any) -> str | None:
    """The message from which on a session was taken back, and nothing said since."""
    mark = session.get("revert") if isinstance(session, dict) else None
    found = mark.get("messageID") if isinstance(mark, dict) else None
    return found if isinstance(found, str) else None


def _created(info: Message) -> int | None:
    times = info.get("time")
    at = times.get("created") if isinstance(times, dict) else None
    return int(at) if isinstance(at, int | float) else None


def _updated(session: Message) -> int | None:
    times = session.get("time")
    at = times.get("updated") if isinstance(times, dict) else None
    return int(at) if isinstance(at, int | float) else None
