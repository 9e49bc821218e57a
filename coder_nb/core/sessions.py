"""A session, its chats and their turns, as whoever runs them tells of them."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

from coder_nb.core.attention import Asks, Attention, Facts, attention
from coder_nb.core.entries import End, Value
from coder_nb.core.lifecycle import RunStatus
from coder_nb.core.permissions import Answerer
from coder_nb.core.prompts import Prompt
from coder_nb.errors import BadRequest

Isolation = Literal["worktree", "none"]
"""Where agents work: in a worktree of the session's, or in the checkout itself."""
NAME_LIMIT = 200
"""How many characters the name of a session or chat may have."""


class SessionInfo(Value):
    """A piece of work on one working directory."""

    id: str
    owner: str
    path: str
    """The real path of the working directory, as given by the user."""
    name: str = "main"
    title: str = ""
    created_at: int = 0
    worktree: str | None = None
    """Where the agents work; None before the first turn."""
    branch: str | None = None
    base_commit: str | None = None
    host: str | None = None
    chats: tuple[str, ...] = ()
    archived_at: int | None = None
    """When it was put away; None while it is in use."""
    isolation: Isolation = "worktree"
    base: str | None = None
    """The commit or branch that the worktree begins with, where it is not the checkout as it is."""


class ChatInfo(Value):
    """One conversation: the static part, its run state, and what it has used so far."""

    id: str
    session_id: str
    name: str = "main"
    title: str = ""
    created_at: int = 0
    rev: int = 0
    run_status: RunStatus = "initializing"
    inbox_cursor: str | None = None
    turn_id: str | None = None
    """The turn that is running."""
    held: bool = False
    """Whether the queue waits for the user to go on, after a Stop or an interruption."""
    error: str | None = None
    queued: tuple[Prompt, ...] = ()
    asking: Answerer | None = None
    """Who is asked for the permission that the running turn waits for; None where it waits for none."""
    runner: str | None = None
    """Who runs the session now, in words, where it is another process; None where it is this one or nobody."""
    archived_at: int | None = None
    """When it was put away; None while it is in use."""
    place: int | None = None
    """Its place, from 1, among the turns that wait for one of those that run to end; None where it waits for none."""
    starting: bool = False
    """Whether the agent of the turn that runs has still to be given its prompt."""
    asks: Asks | None = None
    """What the running turn waits to have answered."""
    unseen: bool = False
    """Whether a turn has ended since somebody looked at the chat."""
    attention: Attention | None = None
    """What it is doing, in a word, which follows from all that and from what its session runs; None where the runtime
    has not said."""

    @property
    def resource(self) -> str:
        """The stable id of the chat's durable part."""
        return f"coder-session/{self.id}"


class TurnInfo(Value):
    """One turn, running or ended."""

    id: str
    chat_id: str
    prompt_id: str | None
    agent: str
    state: str
    started_at: int
    ended_at: int | None = None
    end: End | None = None
    reason: str = ""
    message: str = ""
    code: str = ""


def doing(chat: ChatInfo, *, behind: bool = False) -> Attention:
    """What a chat is doing, as whoever runs it knows it; `behind` says that another of its session has the turn."""
    return attention(
        Facts(
            running=chat.turn_id is not None,
            starting=chat.starting,
            asks=chat.asks,
            queued=bool(chat.queued),
            held=chat.held,
            place=chat.place,
            behind=behind,
            failed=chat.run_status == "error",
            unseen=chat.unseen,
        )
    )


def check_name(name: object) -> None:
    """Raises `BadRequest` for what is no name of a session or chat."""
    if not isinstance(name, str) or len(name) > NAME_LIMIT:
        raise BadRequest(
            f"The name of a session or chat is a text of at most {NAME_LIMIT} characters: give a shorter one, such as "
            '"main".'
        )


def free_name(name: str, taken: Container[str]) -> str:
    """A name, with a number where it is taken, and cut where it is too long."""
    free, number = name[:NAME_LIMIT], 1
    while free in taken:
        number += 1
        end = f"-{number}"
        free = name[: NAME_LIMIT - len(end)] + end
    return free
