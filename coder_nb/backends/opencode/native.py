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
from coder_nb.core.entries import Choice, Command, Value
from coder_nb.errors import AgentProtocolError, InvalidOption

_POLL = 0.1
_RECENT = 100


class Offer(Value):
    """What can be chosen in a directory."""

    modes: tuple[Choice, ...] = ()
    models: tuple[Choice, ...] = ()
    context_sizes: dict[str, int] = {}
    efforts: dict[str, tuple[str, ...]] = {}
    """How much each model may be told to think; those that cannot be told are left out."""

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

    def effort(self, wanted: str, model: str | None, spec: AgentSpec) -> str:
        """The variant of a model that thinks as much; None is opencode's own choice of a model, which may have any."""
        offered = self.efforts.get(model or "", ())
        if model is not None and wanted not in offered:
            names = ", ".join(offered) or "none"
            raise InvalidOption(f"{spec.label} has no effort {wanted!r} for {model}: it offers {names}.")
        return wanted


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
        efforts={name: tuple(variants) for name, model in models if (variants := _variants(model))},
    )


def _models(providers: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for provider in providers if isinstance(providers, list) else []:
        for name, model in (provider.get("models") or {}).items():
            yield f"{provider.get('id')}/{name}", model


def _variants(model: dict[str, Any]) -> list[str]:
    """How much a model may be told to think: opencode's variants of it that are not turned off."""
    found = model.get("variants")
    variants = found if isinstance(found, dict) else {}
    return [name for name, one in variants.items() if not (isinstance(one, dict) and one.get("disabled"))]


async def commands(server: Server, cwd: Path) -> tuple[Command, ...]:
    """The slash commands and skills of a directory; none where the server has no list of them."""
    try:
        found = await server.call("GET", "/command", cwd)
    except Refused:
        return ()
    listed = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return tuple(
        Command(
            name=one["name"],
            description=str(one.get("description") or ""),
            hint=" ".join(hint for hint in one.get("hints") or () if isinstance(hint, str)),
        )
        for one in listed
        if isinstance(one.get("name"), str)
    )


class Standing(Value):
    """How the server says that a turn stands."""

    busy: bool
    events: tuple[dict[str, Any], ...]
    """What would have said it: feeding them again does no harm."""
    waiting: frozenset[str]
    """The requests that wait for an answer."""


async def standing(server: Server, cwd: Path, state: State, since: float) -> Standing:
    """Asks for all that the stream may have lost of a turn that began at `since`; raises as `call` does.

    The server's own log, ``/sync/history``, is not asked: it gives the whole log of every session that is not named.
    """
    busy = await is_busy(server, cwd, state.session_id)
    path = f"/session/{state.session_id}/message"
    messages = await server.call("GET", path, cwd, limit=_RECENT)
    if not _holds(messages, state.message_id):  # a long turn
        messages = await server.call("GET", path, cwd)
    children = await server.call("GET", f"/session/{state.session_id}/children", cwd)
    events = list(_ours(state, messages))
    for child in _of_turn(children, since):
        state.children.setdefault(child, None)
        events += _said(child, await server.call("GET", f"/session/{child}/message", cwd))
    waiting: set[str] = set()
    for kind in ("permission", "question"):
        for asked in await server.call("GET", f"/{kind}", cwd) or ():
            if asked.get("sessionID") == state.session_id or asked.get("sessionID") in state.children:
                waiting.add(str(asked.get("id")))
                events.append({"type": f"{kind}.asked", "properties": asked})
    return Standing(busy=busy, events=tuple(events), waiting=frozenset(waiting))


def _holds(messages: Any, message_id: str | None) -> bool:
    listed = messages if isinstance(messages, list) else []
    return len(listed) < _RECENT or any(message["info"].get("id") == message_id for message in listed)


def _ours(state: State, messages: Any) -> Iterator[dict[str, Any]]:
    """From the turn's prompt on."""
    listed = messages if isinstance(messages, list) else []
    at = next((i for i, message in enumerate(listed) if message["info"].get("id") == state.message_id), len(listed))
    return _said(state.session_id, listed[at:])


def _of_turn(children: Any, since: float) -> list[str]:
    """The sub-agents' sessions that were made in the turn."""
    listed = [one for one in children if isinstance(one, dict)] if isinstance(children, list) else []
    return [one["id"] for one in listed if (one.get("time") or {}).get("created", 0) >= since * 1000]


def _said(session_id: str, messages: Any) -> Iterator[dict[str, Any]]:
    for message in messages if isinstance(messages, list) else []:
        yield {"type": "message.updated", "properties": {"sessionID": session_id, "info": message["info"]}}
        for part in message.get("parts") or ():
            yield {"type": "message.part.updated", "properties": {"sessionID": session_id, "part": part}}
