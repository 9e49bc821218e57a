"""JSON-RPC 2.0 in lines: bytes to frames and back, in any partition; pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from coder_nb.core.entries import Value

AUTH_REQUIRED = -32000
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
NOT_FOUND = -32002
CANCELLED = -32800


class Garbage(Value):
    """A line that is no JSON-RPC message, as text."""

    text: str


LONGEST_LINE = 64 << 20
"""The longest line that an agent may write, in bytes."""


class TooLong(Exception):
    """A line is longer than any that is taken."""


class Framer:
    """Splits what an agent writes into frames: JSON-RPC messages, and what is none."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[dict[str, Any] | Garbage]:
        """The frames that are whole now; what was searched is not searched again.

        Raises `TooLong` for a line that is longer than `LONGEST_LINE`.
        """
        self._buffer += data
        frames: list[dict[str, Any] | Garbage] = []
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            frames += parse(bytes(memoryview(self._buffer)[start:end]))
            start = end + 1
        del self._buffer[:start]
        self._searched = len(self._buffer)
        if self._searched > LONGEST_LINE:
            raise TooLong
        return frames

    def end(self) -> list[dict[str, Any] | Garbage]:
        """What is left when the output has ended: half a line, mostly."""
        left, self._buffer, self._searched = bytes(self._buffer), bytearray(), 0
        return parse(left)


def parse(line: bytes) -> list[dict[str, Any] | Garbage]:
    """The message in a line, or what stands there instead; nothing for an empty line."""
    text = line.strip()
    if not text:
        return []
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        readable = text.decode("utf-8", "replace")
        try:  # invalid UTF-8 and lone surrogates are broken text in a whole message
            message = json.loads(readable)
        except (ValueError, RecursionError):
            return [Garbage(text=readable)]
    if isinstance(message, dict) and (isinstance(message.get("method"), str) or "id" in message):
        return [message]
    return [Garbage(text=text.decode("utf-8", "replace"))]


def request(number: int, method: str, params: dict[str, Any]) -> bytes:
    return _line({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def notification(method: str, params: dict[str, Any]) -> bytes:
    return _line({"jsonrpc": "2.0", "method": method, "params": params})


def response(number: Any, result: Any) -> bytes:
    return _line({"jsonrpc": "2.0", "id": number, "result": result})


def failure(number: Any, code: int, message: str) -> bytes:
    return _line({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}})


def _line(message: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(message) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate: JSON can carry it escaped
        return json.dumps(message).encode() + b"\n"
