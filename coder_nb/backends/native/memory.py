"""What the native agent remembers: its messages, kept in our store as they come."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)

from coder_nb.backends.history import History, HistoryItem, HistoryKey

PROJECT = "native"
NOT_DONE = "This call was interrupted: what it did, if anything, is not known. Look before you repeat it."


class Memory:
    """The messages of one native session. What was said is in the store before anything is done about it."""

    def __init__(self, history: History, native_id: str, new_id: Callable[[], str]) -> None:
        self.native_id = native_id
        self.messages: list[ModelMessage] = []
        self._history, self._new_id = history, new_id
        self._key = HistoryKey(project=PROJECT, session=native_id)

    async def load(self) -> bool:
        """Takes up what the store holds; False where it knows no such session, or one that this version cannot read."""
        found = await self._read(self.native_id)
        self.messages = found or []
        return found is not None

    async def branch_off(self, native_id: str, at: str | None) -> bool:
        """Begins with what another session holds, up to and with a turn; False where there is none such."""
        found = await self._read(native_id)
        kept = None if found is None else kept_until(found, at)
        if kept is None:
            return False
        await self.add(*kept)
        return True

    async def add(self, *messages: ModelMessage) -> None:
        await self._append([encoded(message) for message in messages])
        self.messages.extend(messages)

    async def rewind(self, to: str | None) -> bool:
        """Forgets what came after the turn that began with this message; all with None."""
        kept = [] if to is None else kept_until(self.messages, to)
        if kept is None:
            return False
        await self._append([json.dumps({"kind": "rewind", "keep": len(kept)}).encode()])
        self.messages = kept
        return True

    async def _read(self, native_id: str) -> list[ModelMessage] | None:
        items = await self._history.load(HistoryKey(project=PROJECT, session=native_id))
        try:
            return None if items is None else folded(items)
        except ValueError:
            return None

    async def _append(self, items: Sequence[bytes]) -> None:
        await self._history.append(self._key, [HistoryItem(data=data, id=self._new_id()) for data in items])


def folded(items: Sequence[bytes]) -> list[ModelMessage]:
    """The messages that the items of a history come to."""
    kept: list[Any] = []
    for item in items:
        data = json.loads(item)
        if data.get("kind") == "rewind":
            del kept[data["keep"] :]
        else:
            kept.append(data)
    return ModelMessagesTypeAdapter.validate_json(json.dumps(kept))


def encoded(message: ModelMessage) -> bytes:
    """One message as JSON; half of a surrogate pair, which no text can hold, becomes a question mark."""
    data = ModelMessagesTypeAdapter.dump_python([message], mode="json")[0]
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")


def user_id(message: ModelMessage) -> str | None:
    """Our id of a message of the user with which a turn begins."""
    return (message.metadata or {}).get("user_id") if isinstance(message, ModelRequest) else None


def kept_until(messages: Sequence[ModelMessage], at: str | None) -> list[ModelMessage] | None:
    """The messages up to and with the turn of that message of the user, all with None; None where there is no such."""
    if at is None:
        return list(messages)
    starts = [number for number, message in enumerate(messages) if user_id(message)]
    for number, following in zip(starts, [*starts[1:], len(messages)], strict=True):
        if user_id(messages[number]) == at:
            return list(messages[:following])
    return None


def sendable(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The messages as a model takes them: each tool call has its result, also where we died in between."""
    out: list[ModelMessage] = []
    for number, message in enumerate(messages):
        out.append(message)
        if not isinstance(message, ModelResponse):
            continue
        following = messages[number + 1] if number + 1 < len(messages) else None
        missing = _unanswered(message, following)
        if missing:
            out.append(ModelRequest(parts=missing))
    return out


def _unanswered(response: ModelResponse, following: ModelMessage | None) -> list[ModelRequestPart]:
    parts = following.parts if isinstance(following, ModelRequest) else ()
    answered = {part.tool_call_id for part in parts if isinstance(part, ToolReturnPart)}
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    return [
        ToolReturnPart(tool_name=call.tool_name, content=NOT_DONE, tool_call_id=call.tool_call_id)
        for call in calls
        if call.tool_call_id not in answered
    ]
