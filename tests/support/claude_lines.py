"""Lines as Claude Code writes them."""

from __future__ import annotations

import os
from typing import Any

NIGHT = "2026-10-31T23:59:58.000Z"


def answer(message: str, request: str | None, output: int, *, at: str = NIGHT, **line: Any) -> dict[str, Any]:
    """One of the lines of a response; `content`, `stop`, `model` and `usage` are of its message."""
    said = {
        "id": message,
        "model": line.pop("model", "claude-sonnet-4-5"),
        "role": "assistant",
        "stop_reason": line.pop("stop", "end_turn"),
        "content": line.pop("content", [{"type": "text", "text": "Well."}]),
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 2000,
            "output_tokens": output,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "service_tier": "standard",
        }
        | line.pop("usage", {}),
    }
    return base(at, **line) | {"type": "assistant", "requestId": request, "message": said}


def base(at: str = NIGHT, **line: Any) -> dict[str, Any]:
    known = {"sessionId": "s1", "cwd": "/home/user/shop", "version": "2.1.197", "gitBranch": "main", "timestamp": at}
    return {"uuid": os.urandom(8).hex(), "isSidechain": False} | known | line


def user(text: Any, at: str = NIGHT, **line: Any) -> dict[str, Any]:
    return base(at, **line) | {"type": "user", "message": {"role": "user", "content": text}}
