"""What chats are doing, as events of the Jupyter server, for whoever listens to its event logger."""

from __future__ import annotations

import typing
from typing import Any, Protocol

from coder_nb.core.attention import STATES, ChatAttention, Why

SCHEMA_ID = "urn:coder-nb:attention:v1"
SCHEMA: dict[str, Any] = {
    "$id": SCHEMA_ID,
    "version": "1",
    "title": "What a chat with coding agents is doing",
    "description": "Emitted whenever a chat that this server runs comes to do something else.",
    "personal-data": False,
    "type": "object",
    "properties": {
        "chat_id": {"type": "string", "description": "The chat."},
        "session_id": {"type": "string", "description": "The session that it belongs to."},
        "turn_id": {"type": "string", "description": "The turn that runs, if one does."},
        "agent": {"type": "string", "description": "Who takes the turn, or took the last one."},
        "state": {
            "enum": list(STATES),
            "description": "What the chat is doing; `finished` is what nobody has seen yet.",
        },
        "why": {"enum": list(typing.get_args(Why)), "description": "What it waits for, if it does."},
        "place": {"type": "integer", "description": "Where it stands among those that wait for a slot."},
        "since": {"type": "integer", "description": "When that began, in milliseconds since the epoch."},
    },
    "required": ["chat_id", "session_id", "state", "why"],
    "additionalProperties": False,
}
"""Nothing in it was said by a user or an agent."""


class Events(Protocol):
    """The server's event logger, as far as it is used."""

    def emit(self, *, schema_id: str, data: dict[str, Any]) -> object: ...


def emit(events: Events, told: ChatAttention) -> None:
    """Emits what a chat is doing; to be called where the server's loop runs."""
    data = {name: getattr(told, name) for name in SCHEMA["properties"]}
    events.emit(schema_id=SCHEMA_ID, data={name: value for name, value in data.items() if value is not None})
