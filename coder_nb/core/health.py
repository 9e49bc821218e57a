"""How a runtime is, and the agents that are warm in it."""

from __future__ import annotations

from typing import Literal

from coder_nb.core.entries import Value


class Health(Value):
    """How the runtime is; `health` gives this to whoever may read, also where the runtime could not open."""

    protocol: int
    version: str
    runtime_id: str
    status: Literal["ok", "draining", "degraded"]
    agents_live: int = 0
    """How many agents are warm."""
    turns_running: int = 0
    readers: int = 0
    """How many pages and kernels follow chats."""
    detail: str = ""
    """Why it is ``degraded``, with the cure."""


class LiveAgent(Value):
    """A warm agent session, or a server that several of them share, as it was when it was looked at last."""

    key: str
    """Names it where it is evicted or started again."""
    agent: str
    state: Literal["starting", "idle", "busy", "deaf", "waiting", "broken"]
    """``deaf``: it lives and does not answer. ``waiting``: for its next start. ``broken``: it has ended by itself too
    often, and only a prompt starts it."""
    chat_id: str | None = None
    """None for a server."""
    chats: int = 1
    """How many chats use it."""
    pid: int | None = None
    """None where it has no process of its own."""
    started_at: int | None = None
    """Milliseconds since the epoch."""
    last_active_at: int | None = None
    memory: int | None = None
    """Bytes, with all that it has started; None where that is not known."""
    restarts: int = 0
    """How often it was started again."""
    why: str = ""
    """Why that was done last, or why it is not done any more."""
    retry_at: int | None = None
    """When it is started again."""
    session_id: str | None = None
    """The session of its chat."""
    title: str = ""
    """What its chat is about, or else the session's directory."""


class Happening(Value):
    """Something that happened to an agent session, in the words of `core.words`."""

    ts: int
    """Milliseconds since the epoch."""
    word: str
    text: str = ""
    """Its fields, as ``name=value``."""


class AgentLog(Value):
    """What there is to read about one agent of the pool, also when it is gone."""

    key: str
    happenings: tuple[Happening, ...] = ()
    """What happened to it here, the earliest first."""
    stderr: str = ""
    """The last 32 KiB of what its process wrote to its standard error, secrets blanked out."""
