"""Agents that take turns in one chat: each goes on with its own memory, and sees what the others did meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import support.place
from support.model import Say, ScriptedModel, scripted_model, text_of
from support.place import Place

from coder_nb.core.entries import Notice
from coder_nb.testing import real_agents

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
AGENTS = {"opencode": {"backend": "opencode", "argv": ["opencode"]}, "goose": {}, "qwen": {}}


@pytest.fixture(params=AGENTS)
def agent(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An agent that is there, in a home of its own."""
    name: str = request.param
    try:
        for needed in (name, "node"):
            real_agents.program(needed)
    except real_agents.Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    monkeypatch.setattr(support.place, "DEADLINE", 90.0)
    for variable, value in real_agents.environ(tmp_path / "home").items():
        monkeypatch.setenv(variable, value)
    return name


def asked(model: ScriptedModel, prompt: str) -> list[str]:
    """What the model was given with a prompt, each message as text, without the system's."""
    for request in reversed(model.asked):
        texts = [text_of(message) for message in request["messages"] if message["role"] in ("user", "assistant")]
        if any(prompt in text for text in texts[-2:]) and len(request.get("tools") or []) > 1:
            return texts
    raise AssertionError(f"the model was never asked {prompt!r}")


async def test_there_and_back_again_and_on_after_a_restart(agent: str, tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with scripted_model(lambda request: Say(("Understood.",))) as model:
        url = model.url.removesuffix("/v1")
        native: dict[str, Any] = {"model": "openai/scripted-model", "base_url": model.url}
        agents = {agent: real_agents.entry(agent, url) | AGENTS[agent], "native": native}
        person = await place.person(agents=agents, start_timeout=60.0)
        try:
            turns = [await person.prompt("the first word is apple", agent=agent)]
            before = {info.agent: info.native_id for info in await person.runtime.agent_sessions(person.session.id)}
            worktree = await person.worktree()
            turns.append(await person.prompt("the second word is plum", agent="native"))
            (seen,) = asked(model, "the second word is plum")
            assert f"the user to {agent}: the first word is apple" in seen
            assert f"{agent}: Understood." in seen
            turns.append(await person.prompt("the third word is pear", agent=agent))
            own = asked(model, "the third word is pear")
            assert any("the first word is apple" in text for text in own[:-1]), "its own memory"
            assert "the user to native: the second word is plum" in own[-1]
            assert "apple" not in own[-1], "what it knows is not told again"
            after = {info.agent: info.native_id for info in await person.runtime.agent_sessions(person.session.id)}
            assert after[agent] == before[agent]
            await person.runtime.close()
            person = await place.person(agents=agents, start_timeout=60.0)
            turns.append(await person.prompt("the fourth word is fig", agent="native"))
            assert any("the second word is plum" in text for text in asked(model, "the fourth word is fig")[:-1])
            turns.append(await person.prompt("the fifth word is lime", agent=agent))
            own = asked(model, "the fifth word is lime")
            assert any("the first word is apple" in text for text in own[:-1])
            assert "the user to native: the fourth word is fig" in own[-1]
            assert "plum" not in own[-1]
            assert [(turn.end, turn.message) for turn in turns] == [("completed", "")] * 5
            resumed = {info.agent: info.native_id for info in await person.runtime.agent_sessions(person.session.id)}
            assert resumed == after
            assert await person.worktree() == worktree
            assert not [
                e.body for e in await person.entries() if isinstance(e.body, Notice) and "memory" in e.body.code
            ]
        finally:
            await place.close()
