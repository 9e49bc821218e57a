"""opencode's own sessions, as the server's requests give them: made, found again, asked how they stand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coder_nb.backends.choices import listed, pick
from coder_nb.backends.opencode.server import Refused, Server
from coder_nb.backends.opencode.state import State
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.entries import Choice, Value
from coder_nb.errors import AgentProtocolError, InvalidOption

_POLL = 0.1


class Offer(Value):
    """What can be chosen in a directory."""

    modes: tuple[Choice, ...] = ()
    models: tuple[Choice, ...] = ()
    context_sizes: dict[str, int] = {}

    def mode(self, wanted: str, spec: AgentSpec) -> str:
        """The agent's own mode; raises `AgentProtocolError` where there is none, as ours cannot be relied on then."""
        if wanted not in {choice.id for choice in self.modes}:
            raise AgentProtocolError(
                f"{spec.label} has no mode {wanted!r}; it offers {listed(self.modes)}. Name the right one in the "
                f"setting `agents.{spec.name}.modes`."
            )
        return wanted

    def model(self, wanted: str, spec: AgentSpec) -> str:
        """The model's ``provider/model``; raises `InvalidOption`, with those there are."""
        found = pick(self.models, wanted)
        if found is None:
            raise InvalidOption(f"{spec.label} has no model {wanted!r}: choose one of {listed(self.models)}.")
        return found.id


async def create(server: Server, cwd: Path, title: str) -> str:
    """A new session's id. It has a title, so that the model is not asked for one, which nobody would account for."""
    made = await server.call("POST", "/session", cwd, {"title": title})
    found = made.get("id") if isinstance(made, dict) else None
    if not isinstance(found, str) or not found:
        raise AgentProtocolError("opencode made a session without an id: upgrade it, then prompt again.")
    return found


async def resumable(server: Server, cwd: Path, session_id: str, grace: float) -> bool:
    """Whether a session is there, in this directory, and rests; one that still runs is stopped first."""
    try:
        found = await server.call("GET", f"/session/{session_id}", cwd)
    except Refused:
        return False
    place = found.get("directory") if isinstance(found, dict) else None
    if not isinstance(place, str) or not _same_place(place, cwd):
        return False
    try:
        async with asyncio.timeout(grace):
            while await is_busy(server, cwd, session_id):
                await server.call("POST", f"/session/{session_id}/abort", cwd)
                await asyncio.sleep(_POLL)
    except TimeoutError:
        return False
    return True


def _same_place(one: str, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


async def is_busy(server: Server, cwd: Path, session_id: str) -> bool:
    """Whether the server works on a session; one that rests is not listed."""
    statuses = await server.call("GET", "/session/status", cwd)
    status = statuses.get(session_id) if isinstance(statuses, dict) else None
    return isinstance(status, dict) and status.get("type") != "idle"


async def offer(server: Server, cwd: Path) -> Offer:
    """The agents (opencode's word for modes) and models that can be chosen in a directory."""
    agents = await server.call("GET", "/agent", cwd)
    found = await server.call("GET", "/config/providers", cwd)
    models = list(_models(found.get("providers") if isinstance(found, dict) else None))
    return Offer(
        modes=tuple(
            Choice(id=agent["name"], label=agent["name"])
            for agent in (agents if isinstance(agents, list) else [])
            if isinstance(agent, dict) and agent.get("mode") != "subagent" and not agent.get("hidden")
        ),
        models=tuple(Choice(id=name, label=str(model.get("name") or "")) for name, model in models),
        context_sizes={
            name: size
            for name, model in models
            if isinstance(size := (model.get("limit") or {}).get("context"), int) and size > 0
        },
    )


def _models(providers: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for provider in providers if isinstance(providers, list) else []:
        for name, model in (provider.get("models") or {}).items():
            yield f"{provider.get('id')}/{name}", model


def missed(state: State, messages: Any, permissions: Any) -> Iterator[dict[str, Any]]:
    """What a list of messages and questions says of the turn that runs, as the events that would have said it."""
    ours = False
    for message in messages if isinstance(messages, list) else []:
        info = message["info"]
        ours = ours or info.get("id") == state.message_id
        if ours:
            yield {"type": "message.updated", "properties": {"sessionID": state.session_id, "info": info}}
            for part in message.get("parts") or ():
                yield {"type": "message.part.updated", "properties": {"sessionID": state.session_id, "part": part}}
    for asked in permissions if isinstance(permissions, list) else []:
        if asked.get("sessionID") == state.session_id or asked.get("sessionID") in state.children:
            yield {"type": "permission.asked", "properties": asked}


def rules_of(event: dict[str, Any]) -> list[tuple[str, str]]:
    """What an answer that is to hold always would allow: kinds of permission, with patterns."""
    said = event["properties"]
    patterns = said.get("always")
    return [(str(said.get("permission")), str(one)) for one in (patterns if isinstance(patterns, list) else [])]
