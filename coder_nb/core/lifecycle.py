"""The states of a turn as a table, `step` being the only way from one to the next; and the words for other states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from coder_nb.core.entries import End

RunStatus = Literal["initializing", "idle", "running", "error"]
AgentStatus = Literal["new", "starting", "warm", "busy", "cold", "crashed", "closed"]

TURN: Mapping[str, Mapping[str, str]] = {
    "waiting": {"start": "running", "stop": "cancelled", "crash": "interrupted", "fail": "failed"},
    "running": {
        "complete": "completed",
        "stop": "stopping",
        "fail": "failed",
        "refuse": "refused",
        "limit": "limited",
        "crash": "interrupted",
        "cancel": "cancelled",
    },
    # Whatever an agent says after a Stop, a stopped turn is never recorded as complete.
    "stopping": {
        "complete": "cancelled",
        "cancel": "cancelled",
        "refuse": "cancelled",
        "limit": "cancelled",
        "fail": "cancelled",
        "stop": "stopping",
        "crash": "interrupted",
    },
}
"""A turn: state → event → state. The states without a row are the ends (law 1): nothing leads out of them."""

END_OF: Mapping[str, End] = {
    "completed": "completed",
    "cancelled": "cancelled",
    "failed": "failed",
    "refused": "refused",
    "limited": "limited",
    "interrupted": "interrupted",
}
"""The states of a turn that are ends."""


class IllegalMove(ValueError):
    """A state machine was given an event that its state does not allow."""


def step(table: Mapping[str, Mapping[str, str]], state: str, event: str) -> str:
    """The state after an event; raises `IllegalMove`, naming both, where the table has no such move."""
    try:
        return table[state][event]
    except KeyError:
        raise IllegalMove(f"no move from state {state!r} by event {event!r}") from None
