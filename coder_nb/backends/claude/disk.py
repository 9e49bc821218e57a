"""Claude's own sessions on this machine, by the SDK's helpers, and their conversations as events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ContentBlock,
    InMemorySessionStore,
    SessionKey,
    SessionMessage,
    SessionStore,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
    get_session_messages_from_store,
    import_session_to_store,
    list_sessions,
    project_key_for_directory,
)

from coder_nb.backends.claude import translate
from coder_nb.backends.claude.start import is_prompt
from coder_nb.backends.claude.state import State
from coder_nb.backends.events import AnyEvent, UserSaid
from coder_nb.core.agents import NativeSession
from coder_nb.errors import NotFound


def sessions(cwd: Path) -> tuple[NativeSession, ...]:
    """Those of a directory and its worktrees, the latest first."""
    return tuple(
        NativeSession(
            native_id=info.session_id, title=info.summary, cwd=info.cwd or str(cwd), updated_at=info.last_modified
        )
        for info in list_sessions(directory=str(cwd))
    )


async def told(native_id: str, cwd: Path, ours: SessionStore, label: str) -> list[AnyEvent]:
    """A session's conversation, the branch that is visible; raises `NotFound`."""
    key: SessionKey = {"project_key": project_key_for_directory(cwd), "session_id": native_id}
    store: SessionStore = ours
    if await ours.load(key) is None:
        store = InMemorySessionStore()
        try:
            await import_session_to_store(native_id, store, directory=str(cwd))
        except (OSError, ValueError) as error:
            text = f"{label} has no session {native_id} for {cwd}: `native_sessions` lists those that there are."
            raise NotFound(text) from error
    times = {entry.get("uuid"): _ms(entry.get("timestamp")) for entry in await store.load(key) or []}
    state = State(session_id=native_id, label=label)
    messages = await get_session_messages_from_store(store, native_id, directory=str(cwd))
    return [event for message in messages for event in _events(state, message, times.get(message.uuid))]


def _events(state: State, said: SessionMessage, ts: int | None) -> Iterator[AnyEvent]:
    raw: dict[str, Any] = {"type": said.type, "message": said.message, "uuid": said.uuid}
    if is_prompt(raw):
        state.begin()
        yield UserSaid(text=_text(said.message.get("content")), ts=ts, native_id=said.uuid)
        return
    blocks = [block for part in _parts(said.message.get("content")) if (block := _block(part)) is not None]
    if said.type == "assistant":
        message = AssistantMessage(blocks, str(said.message.get("model", "")), uuid=said.uuid)
        yield from translate.message(state, message)
    else:
        yield from translate.message(state, UserMessage(blocks))


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _block(part: dict[str, Any]) -> ContentBlock | None:
    match part:
        case {"type": "text", "text": str(text)}:
            return TextBlock(text)
        case {"type": "thinking", "thinking": str(text)}:
            return ThinkingBlock(text, "")
        case {"type": "tool_use", "id": str(call_id), "name": str(name)}:
            given = part.get("input")
            return ToolUseBlock(call_id, name, given if isinstance(given, dict) else {})
        case {"type": "tool_result", "tool_use_id": str(call_id)}:
            return ToolResultBlock(call_id, part.get("content"), part.get("is_error"))
    return None


def _text(content: Any) -> str:
    return "\n".join(str(part.get("text", "")) for part in _parts(content) if part.get("type") == "text")


def _ms(timestamp: str | None) -> int | None:
    if not timestamp:
        return None
    try:
        return int(datetime.fromisoformat(timestamp).timestamp() * 1000)
    except ValueError:
        return None
