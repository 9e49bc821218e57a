"""A Stop while a real agent runs a command: the turn is cancelled, its processes are gone, and the agent goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.place import Place
from support.stage import there

from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import otherwise, says, scripted_model
from coder_nb.warm import keeper

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LIMIT = 90.0
SHELL = {"opencode": ("bash", {"description": "waits"}), "native": ("shell", {})}
"""Whose own tool it is that runs a command: its name, and what it wants beside the command."""


def runs(agent: str, prompt: str, command: str) -> list[dict[str, Any]]:
    """To a prompt: has the shell run a command."""
    tool, more = SHELL[agent]
    call = {"name": tool, "arguments": {"command": command, **more}}
    match = {"userMessage": prompt, "toolName": tool, "hasToolResult": False}
    return [{"match": match, "response": {"content": "Running it.", "toolCalls": [call]}}]


def until(fact: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT
    while not (found := fact()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def sleeping(seconds: int) -> list[int]:
    """The processes that sleep for that long, which no other test does."""
    found = []
    for seen in keeper.all_processes():
        try:
            words = Path(f"/proc/{seen.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if not seen.dead and words[0].endswith(b"sleep") and str(seconds).encode() in words:
            found.append(seen.pid)
    return found


@pytest.mark.parametrize("agent", SHELL)
async def test_a_stop_ends_what_a_tool_runs_with_its_children(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there(agent)
    for variable, value in real_agents.environ(tmp_path / "home").items():
        monkeypatch.setenv(variable, value)
    place, seconds = Place(tmp_path), 70_000 + real_agents.EVERY.index(agent)
    script = [
        *runs(agent, "wait for long", f"sleep {seconds} & sleep {seconds}"),
        *says(agent, "and now", "Here."),
        *otherwise(),
    ]
    with scripted_model(tmp_path / "model", script) as model:
        try:
            entry = {agent: real_agents.entry(agent, model.url)}
            person = await place.person(agents=entry, start_timeout=60.0, cancel_grace=20.0)
            running = await person.send("wait for long", agent=agent, mode="bypass")
            await asyncio.to_thread(until, lambda: len(sleeping(seconds)) == 2)
            assert await person.runtime.stop(person.chat.id)
            turn = await person.ended(running)
            assert (turn.end, turn.message) == ("cancelled", "")
            assert not any(entry.open for entry in await person.entries(turn.id))
            await asyncio.to_thread(until, lambda: not sleeping(seconds))
            after = await person.prompt("and now", agent=agent)
            assert (after.end, await person.said(after.id)) == ("completed", "Here.")
        finally:
            await place.close()
            assert not sleeping(seconds)
