"""What has to be known of a session to translate what Claude says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class State:
    """Changed by the translation alone, but for `begin`."""

    session_id: str
    label: str = "Claude"
    streamed: set[str] = field(default_factory=set)
    """The messages of this turn whose text came as deltas: their final parts are dropped."""
    message: dict[str | None, str] = field(default_factory=dict)
    """The message that streams now, by the sub-agent's tool call."""
    calls: dict[str, str] = field(default_factory=dict)
    """The tool calls of this turn, by their id: the tool's own name."""
    answered: bool = False
    """Whether this turn has said any text."""
    used: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What a result says was used of each model since the last one, by the result's id."""
    totals: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What Claude had used of each model when it told so last, where its results do not say that."""
    model: str | None = None
    context_used: int | None = None

    def begin(self) -> None:
        """A turn begins: what belongs to an earlier one is not told in it."""
        self.streamed.clear()
        self.message.clear()
        self.calls.clear()
        self.answered = False
