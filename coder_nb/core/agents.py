"""Agents, and the sessions that they have in chats or keep by themselves."""

from __future__ import annotations

from typing import Literal

from coder_nb.core.entries import Choice, Command, Value
from coder_nb.core.lifecycle import AgentStatus
from coder_nb.core.permissions import PermissionMode


class AgentInfo(Value):
    """Whether an agent can be used here, and if not, what to do."""

    name: str
    label: str
    backend: str
    available: bool
    version: str | None = None
    path: str | None = None
    reason: str = ""
    """Why it cannot be used; empty where it can."""
    cure: str = ""
    """What the user does about it: a command, or a setting."""
    icon: str = ""
    """The name of an icon that the front end has."""
    default: bool = False


class AgentCommands(Value):
    """The slash commands and skills of an agent, as it told them last."""

    agent: str
    commands: tuple[Command, ...] = ()


class ForkedFrom(Value):
    """What an agent session branches off from when it is first opened, where its agent can do so."""

    native_id: str
    at: str | None = None
    """The native id of the last message of the user that is kept, where it is known; without, all of it or nothing."""
    chat_id: str = ""
    turns: int = 0
    """How many turns the agent had taken in that chat."""


Memory = Literal["resumed", "history", "new"]
"""What an agent brings to its next prompt in a chat: its own memory, which goes on; the conversation so far, as it is
told, where its own memory is lost; or, where it has not spoken in the chat yet, nothing of its own."""


class AgentSessionInfo(Value):
    """One agent's own context in one chat."""

    chat_id: str
    agent: str
    backend: str
    status: AgentStatus
    native_id: str | None = None
    model: str | None = None
    models: tuple[Choice, ...] = ()
    efforts: dict[str, tuple[str, ...]] = {}
    """How much it may be told to think, by the model's id; under the empty one what goes for all others."""
    images: bool | None = None
    """Whether it takes pictures; None where it has not said."""
    files: bool | None = None
    """Whether it takes files that are carried along with a prompt, not only their paths."""
    commands: tuple[Command, ...] = ()
    config_hash: str = ""
    forked_from: ForkedFrom | None = None
    earlier: tuple[str, ...] = ()
    """Native ids that it had before, and that were given up."""
    host: str | None = None
    pid: int | None = None
    last_active_at: int | None = None
    next: Memory | None = None
    """What the next prompt finds of its memory; None where the runtime has not said."""


class NativeSession(Value):
    """A session that an agent keeps by itself."""

    native_id: str
    title: str = ""
    cwd: str = ""
    updated_at: int | None = None
    """Milliseconds since the epoch."""


class AgentOffer(Value):
    """What the next prompt of a chat may ask of an agent, and what it would find there."""

    agent: str
    memory: Memory
    told: bool = False
    """Whether it is told first what was said and done without it."""
    model: str | None = None
    """The model that it used last in the chat."""
    models: tuple[Choice, ...] = ()
    """Those that it can be given, as it said last; none where it has not said."""
    efforts: dict[str, tuple[str, ...]] = {}
    """How much it may be told to think, by the model's id; under the empty one what goes for all others."""
    modes: tuple[PermissionMode, ...] = ()
    """Those that the administrator allows, from the most careful to the least."""
    images: bool | None = None
    """Whether it takes pictures; None where it has not said, and they may be tried."""
    files: bool | None = None
    """Whether it takes files that are carried along; None where it has not said, and they may be tried."""
    carries: int = 0
    """How many bytes of both a prompt may carry."""
