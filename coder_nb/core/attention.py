"""What each chat is doing, and whether it wants something of its user: a pure rule over facts of its run state."""

from __future__ import annotations

from typing import Literal, NamedTuple

from coder_nb.core.entries import Value

AttentionState = Literal["waiting", "failed", "finished", "working", "starting", "idle"]
"""From what wants the user most to what wants nothing."""
STATES: tuple[AttentionState, ...] = ("waiting", "failed", "finished", "working", "starting", "idle")
Asks = Literal["permission", "question"]
Why = Literal["", "permission", "question", "held", "slot", "session"]


class Attention(Value):
    """What a chat is doing."""

    state: AttentionState = "idle"
    """``waiting`` for its user, ``failed``, ``finished`` and nobody has seen it yet, ``working``, ``starting``, or
    ``idle``."""
    why: Why = ""
    """What it waits for: an answer to a ``permission`` or a ``question``, that the user lets a ``held`` queue go on;
    and while it starts, a ``slot`` among the turns that may run at the same time, or the turn of another chat of its
    ``session``."""
    place: int | None = None
    """Its place among those that wait for a slot, from 1."""


class ChatAttention(Value):
    """What one chat is doing, for whoever looks after many."""

    chat_id: str
    session_id: str
    path: str
    session: str
    """The session's name."""
    chat: str
    """The chat's name."""
    title: str = ""
    state: AttentionState = "idle"
    why: Why = ""
    place: int | None = None
    agent: str | None = None
    """Of the last turn."""
    turn_id: str | None = None
    """The turn that is running."""
    since: int | None = None
    """When that began: the request, the turn, or its end; milliseconds since the epoch."""
    error: str | None = None


class Facts(NamedTuple):
    """What is known of a chat, and all that is looked at."""

    running: bool = False
    """Whether a turn runs."""
    starting: bool = False
    """Whether that turn's agent has not been given its prompt yet."""
    asks: Asks | None = None
    """What that turn's agent waits for."""
    queued: bool = False
    """Whether prompts wait."""
    held: bool = False
    """Whether what waits is not run until the user goes on."""
    place: int | None = None
    behind: bool = False
    """Whether another chat of its session has the turn."""
    failed: bool = False
    """Whether the last turn failed."""
    unseen: bool = False
    """Whether a turn has ended since somebody looked."""


def attention(facts: Facts) -> Attention:
    """What the chat is doing; of several things, the one that a turn does counts, then what waits, then what was."""
    if facts.running:
        if facts.asks is not None:
            return Attention("waiting", facts.asks)
        return Attention("starting" if facts.starting else "working")
    if facts.queued:
        if facts.held:
            return Attention("waiting", "held")
        why: Why = "slot" if facts.place is not None else "session" if facts.behind else ""
        return Attention("starting", why, facts.place)
    if facts.failed:
        return Attention("failed")
    return Attention("finished" if facts.unseen else "idle")
