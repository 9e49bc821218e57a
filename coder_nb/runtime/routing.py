"""How a prompt gets to its agent: by a session that is kept, by one that ends with its turn, or not at all. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from coder_nb.backends.base import McpServer, Probe
from coder_nb.backends.registry import AgentSpec


class Situation(NamedTuple):
    """What is looked at when it is decided."""

    warm: bool = False
    """Whether this chat's session with the agent is warm already."""
    once: bool = False
    """Whether the caller wants nothing kept."""
    busy: int = 0
    """How many other sessions are taking a turn."""
    max_live: int = 10
    idle_eviction: float = 1800.0


class Route(NamedTuple):
    way: Literal["warm", "one_shot", "refused"]
    reason: str = ""


def route(spec: AgentSpec, probe: Probe, now: Situation) -> Route:
    """The way of a prompt; of the rules, the first that fits."""
    if not probe.available and probe.logged_in is not False:  # whoever names it may know better than its signs
        return Route("refused", f"{spec.label} cannot be used here: {probe.reason} {probe.cure}".rstrip())
    if now.once:
        return Route("one_shot", "The caller wants nothing kept.")
    if now.max_live <= 0 or now.idle_eviction <= 0:
        return Route("one_shot", "The settings keep no agent warm.")
    if now.warm:
        return Route("warm")
    if now.busy >= now.max_live:
        return Route("one_shot", f"All {now.max_live} agents that may be kept are busy.")
    return Route("warm")


_LAUNCH = ("backend", "argv", "env", "model", "base_url", "variables", "modes")
_PORT = re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):\d+")


def config_hash(spec: AgentSpec, *, cwd: Path, mcp_servers: Sequence[McpServer] = ()) -> str:
    """Names all data with which an agent session is launched, but for the ports of what runs on this machine.

    Where it is another one than that of a native session, that session began under other conditions.
    """
    data = msgspec.to_builtins(
        {
            "agent": {field: getattr(spec, field) for field in _LAUNCH},
            "cwd": str(cwd),
            "mcp_servers": list(mcp_servers),
        },
    )
    text = msgspec.json.encode(data, order="sorted").decode()
    return hashlib.sha256(_PORT.sub(r"\1", text).encode()).hexdigest()[:16]
