"""What Claude's results say of what was used since the last one, which the SDK does not pass on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_MARK = b'"model_usage_since_last_result"'


class Results:
    """Reads along with what Claude writes, in pieces of any size."""

    def __init__(self, found: dict[str, Mapping[str, Any]]) -> None:
        """`found` gets, by the result's own id, what was used of each model."""
        self._found = found
        self._line: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Takes the next piece."""
        first, *more = data.split(b"\n")
        self._line.append(first)
        for part in more:
            self._take(b"".join(self._line))
            self._line = [part]

    def _take(self, line: bytes) -> None:
        if _MARK not in line:
            return
        try:
            said = json.loads(line)
        except ValueError:
            return
        if isinstance(said, dict) and said.get("type") == "result" and isinstance(said.get("uuid"), str):
            used = said.get("model_usage_since_last_result")
            if isinstance(used, dict):
                self._found[said["uuid"]] = used
