"""Server-sent events: bytes to JSON values, in any partition; pure."""

from __future__ import annotations

from typing import Any

import msgspec


class Framer:
    """Puts a stream's lines together to events; comments, and data that is no JSON object, are left out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The events that are whole now. A line may have any length: what was searched is not searched again."""
        self._buffer += data
        events: list[dict[str, Any]] = []
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            events += self._line(bytes(memoryview(self._buffer)[start:end]).rstrip(b"\r"))
            start = end + 1
        del self._buffer[:start]
        self._searched = len(self._buffer)
        return events

    def _line(self, line: bytes) -> list[dict[str, Any]]:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        if line or not self._data:
            return []
        text, self._data = b"\n".join(self._data), []
        try:
            event = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        return [event] if isinstance(event, dict) else []
