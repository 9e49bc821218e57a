"""Commands may be told before a session is there, with it, or after it: they are known in any order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.base import Asked
from coder_nb.backends.events import AnyEvent, CommandsChanged
from coder_nb.testing import scripted_agent

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
TELLING = """
import sys
sys.path.insert(0, {root!r})
from coder_nb.testing import scripted_agent
from coder_nb.testing.scripted_agent import Agent
serve, before = Agent.serve, {before!r}
def telling(self, method, params):
    if method == "session/new" and before:
        self.update("available_commands_update", availableCommands=[{{"name": "early", "description": "Early"}}])
    result = serve(self, method, params)
    if method == "session/prompt" and not before:
        self.update("available_commands_update", availableCommands=[{{"name": "late", "description": "Late"}}])
    return result
Agent.serve = telling
scripted_agent.main()
"""


@pytest.mark.parametrize("before", [True, False])
async def test_commands_are_known_whether_they_are_told_before_or_after_the_session_is_there(
    world: Any, before: bool
) -> None:
    entry = scripted_agent.entry() | {"argv": [sys.executable, "-c", TELLING.format(root=str(ROOT), before=before)]}
    session = await world.backend(entry).open(world.opening(), idle_events=world.idle.append)
    world.sessions.append(session)
    events: list[AnyEvent] = [event async for event in session.prompt(Asked(text="say hi", user_text=""))]
    told = [event.commands for event in (*world.idle, *events) if isinstance(event, CommandsChanged)]
    names = {command.name for commands in told for command in commands}
    assert names >= {"say", "early" if before else "late"}
    assert session.capabilities.commands is True
