"""A Stop while a real agent runs a command: the turn is cancelled, its processes are gone, and the agent goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.every_model import Answer, Asked, Say, every_model
from support.place import Place
from support.stage import LONG, there

from coder_nb.testing import real_agents
from coder_nb.warm import keeper

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LIMIT = 90.0
SOON = ("opencode", "native", "goose")
LEAVE_DETACHED = ("opencode", "qwen", "codex")
"""Who leaves running what a command has put into a session of its own, until they end themselves."""


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


def scripted(agent: str, line: str) -> Answer:
    """A model that has a command run at "wait for long", and else is there."""
    call = real_agents.running(agent, line, unasked=True)
    begun = threading.Event()

    def answer(asked: Asked) -> Say:
        if "wait for long" not in asked.said or not asked.tools or begun.is_set():
            return Say("Here.")
        begun.set()
        return Say(call=(call["name"], call["arguments"]))

    return answer


@pytest.mark.parametrize("agent", [pytest.param(name, marks=[LONG] * (name not in SOON)) for name in real_agents.EVERY])
async def test_a_stop_ends_what_a_tool_runs_with_its_children(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there(agent)
    for variable, value in real_agents.environ(tmp_path / "home").items():
        monkeypatch.setenv(variable, value)
    number = real_agents.EVERY.index(agent)
    place, seconds, detached = Place(tmp_path), 70_000 + number, 71_000 + number
    line = f"echo waiting; sleep {seconds} & setsid sleep {detached} & sleep {seconds}"
    with every_model(scripted(agent, line)) as model:
        try:
            entry = {agent: real_agents.entry(agent, model.url)}
            person = await place.person(agents=entry, start_timeout=60.0, cancel_grace=20.0)
            running = await person.send("wait for long", agent=agent, mode="bypass")
            await asyncio.to_thread(until, lambda: len(sleeping(seconds)) == 2 and sleeping(detached))
            processes = {live.pid for live in await person.runtime.pool()}
            assert await person.runtime.stop(person.chat.id)
            turn = await person.ended(running)
            assert (turn.end, turn.code, turn.message) == ("cancelled", "", "")
            assert not any(entry.open for entry in await person.entries(turn.id))
            await asyncio.to_thread(until, lambda: not sleeping(seconds))
            if agent not in LEAVE_DETACHED:
                await asyncio.to_thread(until, lambda: not sleeping(detached))
            after = await person.prompt("and now", agent=agent)
            assert (after.end, await person.said(after.id)) == ("completed", "Here.")
            assert {live.pid for live in await person.runtime.pool()} == processes
        finally:
            await place.close()
            assert not sleeping(seconds)
            assert not sleeping(detached), "what was detached ends with the agent"
