"""What each chat is doing, and whether it wants something of its user: a pure rule over its run state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from coder_nb.core.entries import Value

if TYPE_CHECKING:
    from coder_nb.core.values import ChatInfo

AttentionState = Literal["waiting", "failed", "finished", "working", "starting", "idle"]
"""From what wants the user most to what wants nothing."""
STATES: tuple[AttentionState, ...] = ("waiting", "failed", "finished", "working", "starting", "idle")
Asks = Literal["permission", "question"]
Why = Literal["", "permission", "question", "held", "slot"]


class Attention(Value):
    """What a chat is doing."""

    state: AttentionState = "idle"
    """``waiting`` for its user, ``failed``, ``finished`` and nobody has seen it yet, ``working``, ``starting``, or
    ``idle``."""
    why: Why = ""
    """What it waits for: an answer to a ``permission`` or a ``question``, that the user lets a ``held`` queue go on;
    and while it starts, a ``slot`` among the turns that may run at the same time."""
    place: int | None = None
    """Its place among those that wait for a slot, from 1."""


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
        return Attention("starting", "slot" if facts.place is not None else "", facts.place)
    if facts.failed:
        return Attention("failed")
    return Attention("finished" if facts.unseen else "idle")


def of_chat(chat: ChatInfo) -> Attention:
    """What a chat is doing, as whoever runs it knows it."""
    return attention(
        Facts(
            running=chat.turn_id is not None,
            starting=chat.starting,
            asks=chat.asks,
            queued=bool(chat.queued),
            held=chat.held,
            place=chat.place,
            failed=chat.run_status == "error",
            unseen=chat.unseen,
        )
    )
