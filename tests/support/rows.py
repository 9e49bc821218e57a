"""Histories of which every row is given."""

from __future__ import annotations

from typing import Any

from coder_nb.analysis import summing, tables
from coder_nb.analysis.frames import frame
from coder_nb.client.views import Views
from coder_nb.core.entries import Tokens
from coder_nb.core.rows import Message, Session, ToolUse, Turn, Usage

HOUR = 3_600_000
DAY = 24 * HOUR
MONDAY = 1_767_571_200_000
"""Midnight of 2026-01-05 in UTC."""
TOKENS = Tokens(input=100, output=10)


def used(number: int, at: int = MONDAY, *, cost: float | None = 1.0, tokens: Tokens = TOKENS, **more: Any) -> Usage:
    """A response."""
    where: dict[str, Any] = {"agent": "claude", "session_id": "s1", "file": "f", "line": number, "model": "sonnet"}
    money = None if cost is None else int(cost * 1e9)
    return Usage(**where | more, ts=at, response_id=f"r{number}", tokens=tokens, cost_nanousd=money)


def called(number: int, name: str, status: str = "completed", **more: Any) -> ToolUse:
    """A call of a tool."""
    where = {"agent": "claude", "session_id": "s1", "file": "f", "line": number, "ts": MONDAY + number}
    given: dict[str, Any] = {"call_id": f"c{number}", "key": f"c{number}", "original_name": name, "status": status}
    return ToolUse(**where | given | more)


def said(text: str, number: int) -> Message:
    """What a user said."""
    where: dict[str, Any] = {"agent": "claude", "session_id": "s1", "file": "f", "line": number, "ts": MONDAY + number}
    return Message(**where, message_id=f"m{number}", role="user", kind="text", chars=len(text), text=text)


class Given(Views):
    """A history of given rows."""

    def __init__(self, *rows: Any) -> None:
        calls = [row for row in rows if isinstance(row, ToolUse)]
        uses = [row for row in rows if isinstance(row, Usage)]
        texts = [row for row in rows if isinstance(row, Message)]
        turns = [row for row in rows if isinstance(row, Turn)]
        sessions = [row for row in rows if isinstance(row, Session)]
        told = summing.Told(uses, calls, texts, (), summing.changes_of(calls))
        self._frames = {
            "usage": frame(uses, tables.USAGE),
            "tool_calls": frame(calls, tables.TOOL_CALLS),
            "messages": frame(texts, tables.MESSAGES),
            "turns": frame(summing.turn_sums(turns, told), summing.TURNS),
            "sessions": frame(summing.session_sums(sessions, told), summing.SESSIONS),
            "file_changes": frame(told.changes, tables.FILE_CHANGES),
            "permissions": frame([], tables.PERMISSIONS),
        }

    def __getattribute__(self, name: str) -> Any:
        known = object.__getattribute__(self, "__dict__").get("_frames", {})
        return known[name] if name in known else object.__getattribute__(self, name)

    def with_text(self) -> Given:
        """All of it has its text."""
        return self
