"""What is known of a native session while its events are translated and its turn is followed; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coder_nb.core.entries import PlanItem


@dataclass
class Part:
    """A text or reasoning that is being told."""

    kind: str
    told: str = ""
    broken: bool = False
    """Whether some of it may have been missed: the rest is told when the whole part comes."""


@dataclass
class State:
    """One chat's native session and its children; what belongs to earlier turns is known only to be left out."""

    agent: str
    session_id: str
    message_id: str | None = None
    """The id of the prompt that runs: our own."""
    accepted: bool = False
    """Whether the prompt was seen in the session: what came before it belongs to earlier turns."""
    messages: dict[str, str] = field(default_factory=dict)
    """The roles of this turn's messages."""
    old: frozenset[str] = frozenset()
    """The messages of the turn before: what still comes of them is late."""
    held: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Parts whose message was not announced yet."""
    parts: dict[str, Part] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    """The steps whose usage was reported."""
    tools: dict[str, str] = field(default_factory=dict)
    """The name of each tool call's tool."""
    inputs: dict[str, Any] = field(default_factory=dict)
    children: dict[str, str | None] = field(default_factory=dict)
    """Sub-agents' sessions, and the tool call that each of them is for, once that is known."""
    waiting: list[str] = field(default_factory=list)
    """Calls of the task tool that no session is known for."""
    context_sizes: dict[str, int] = field(default_factory=dict)
    """How much each model takes, by ``provider/model``."""
    plan: tuple[PlanItem, ...] | None = None
    """What was last said that is to be done."""
    models: dict[str, str] = field(default_factory=dict)
    """The model of each message."""
    answer: dict[str, Any] | None = None
    """What was said last about the answer's newest message."""
    error: dict[str, Any] | None = None
    """The session's latest error in this turn."""

    def begin(self, message_id: str) -> None:
        """A prompt is about to be sent."""
        self.retire()
        self.message_id = message_id

    def retire(self) -> None:
        """The turn is over: whatever still comes of its messages is late."""
        if self.message_id is not None:
            self.old = frozenset((*self.messages, self.message_id))
        self.message_id, self.accepted, self.answer, self.error, self.plan = None, False, None, None, None
        self.waiting.clear()
        for known in (self.messages, self.held, self.parts, self.tools, self.inputs, self.models, self.children):
            known.clear()
        self.counted.clear()

    def broken(self) -> None:
        """Events may have been missed: what is being told goes on when the whole of it comes."""
        for part in self.parts.values():
            part.broken = True

    @property
    def answered(self) -> bool:
        """Whether the answer's newest message is complete, or has failed."""
        answer = self.answer or {}
        times = answer.get("time")
        return bool(answer.get("error")) or bool(isinstance(times, dict) and times.get("completed"))


def session_of(event: dict[str, Any]) -> str | None:
    """The session that an event is about; None where it is about none."""
    said = event.get("properties")
    if not isinstance(said, dict):
        return None
    places = (said, said.get("info"), said.get("part"))
    found = [place.get("sessionID") for place in places if isinstance(place, dict)]
    return next((one for one in found if isinstance(one, str)), None)


def parent_of(event: dict[str, Any]) -> str | None:
    """The session whose child an event's session is."""
    said = event.get("properties")
    info = said.get("info") if isinstance(said, dict) else None
    parent = info.get("parentID") if isinstance(info, dict) and str(event.get("type")).startswith("session.") else None
    return parent if isinstance(parent, str) else None
