"""The states of a turn, a chat and its inbox as tables, `step` being the only way from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from coder_nb.core.entries import End

S = TypeVar("S", bound=str)
RunStatus = Literal["initializing", "idle", "running", "error"]
AgentStatus = Literal["new", "starting", "warm", "busy", "cold", "crashed", "closed"]

TURN: Mapping[str, Mapping[str, str]] = {
    "waiting": {"start": "running", "stop": "cancelled", "crash": "interrupted", "fail": "failed"},
    "running": {
        "complete": "completed",
        "stop": "stopping",
        "exceed": "exceeding",
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
    # A budget is used up: what was complete before it could be stopped is so; a Stop of the user's is the last word.
    "exceeding": {
        "complete": "completed",
        "cancel": "limited",
        "refuse": "limited",
        "limit": "limited",
        "fail": "limited",
        "stop": "stopping",
        "exceed": "exceeding",
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


RUN: Mapping[str, Mapping[str, RunStatus]] = {
    "initializing": {"start": "running"},
    "idle": {"start": "running"},
    "error": {"start": "running"},
    "running": {
        "completed": "idle",
        "cancelled": "idle",
        "refused": "idle",
        "limited": "idle",
        "failed": "error",
        "interrupted": "idle",
    },
}
"""A chat's run state: state → what happens to a turn of it, whoever began that → state. One turn at a time (law 2)."""

INBOX: Mapping[str, Mapping[str, str]] = {
    "empty": {"prompt": "waiting", "stop": "empty", "interrupt": "empty", "go_on": "empty"},
    "waiting": {
        "prompt": "waiting",
        "take": "waiting",
        "withdraw": "waiting",
        "drain": "empty",
        "stop": "held",
        "interrupt": "held",
        "go_on": "waiting",
    },
    # After a Stop or an interruption what waits is not run until the user goes on (law 3).
    "held": {
        "prompt": "held",
        "withdraw": "held",
        "drain": "empty",
        "stop": "held",
        "interrupt": "held",
        "go_on": "waiting",
    },
}
"""A chat's inbox: state → message → state. `take` and `withdraw` leave others behind, `drain` is either of the last."""

PROMPT: Mapping[str, Mapping[str, str]] = {"waiting": {"take": "started", "withdraw": "withdrawn"}}
"""A prompt in the inbox. Its id stays known in every state: sent again, it is the same prompt and nothing happens."""


def inbox(*, held: bool, waiting: bool) -> str:
    """The state of an inbox: that nothing waits is the same whether it would be held or not."""
    if not waiting:
        return "empty"
    return "held" if held else "waiting"


def allows(table: Mapping[str, Mapping[str, str]], state: str, event: str) -> bool:
    """Whether a state has a move by an event."""
    return event in table.get(state, ())


class IllegalMove(ValueError):
    """A state machine was given an event that its state does not allow."""


def step(table: Mapping[str, Mapping[str, S]], state: str, event: str) -> S:
    """The state after an event; raises `IllegalMove`, naming both, where the table has no such move."""
    try:
        return table[state][event]
    except KeyError:
        raise IllegalMove(f"no move from state {state!r} by event {event!r}") from None
