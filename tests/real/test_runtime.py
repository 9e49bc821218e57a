"""Each real agent through the whole runtime: worktree, store, review, and what is left after a stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support import mcp_server
from support.place import Person, Place
from support.stage import LONG, past_the_first_minute, there

from coder_nb.core.entries import Notice, ToolCall
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import otherwise, says, scripted_model, writes

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


SOON = (*real_agents.AGENTS, "native")


@pytest.fixture(params=[pytest.param(name, marks=[LONG] * (name not in SOON)) for name in real_agents.EVERY])
def agent(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An agent that is there, in a home of its own; by the door through which it is driven unless told otherwise."""
    name = there(request.param)
    for variable, value in real_agents.environ(tmp_path / "home").items():
        monkeypatch.setenv(variable, value)
    return name


async def test_it_works_in_the_worktree_and_remembers_in_the_next_runtime(agent: str, tmp_path: Path) -> None:
    place = Place(tmp_path)
    session = await (await place.person()).runtime.open_session(str(place.repository))
    await place.close()
    file = place.root / "worktrees" / session.id / place.repository.name / "greeting.txt"
    script = [*writes(agent, "make hello", file, "hi\n"), *says(agent, "and now", "Still here."), *otherwise()]
    with scripted_model(tmp_path / "model", script) as model:
        entry = {agent: real_agents.entry(agent, model.url)}
        person = await place.person(agents=entry, start_timeout=60.0)
        try:
            assert person.session.id == session.id
            first = await person.prompt("make hello", agent=agent, mode="accept_edits")
            assert (first.end, first.message) == ("completed", ""), await person.entries()
            assert file.read_text() == "hi\n"
            assert not (place.repository / "greeting.txt").exists()
            (change,) = await person.runtime.changes(person.chat.id)
            assert (change.path, change.agent, change.operation) == ("greeting.txt", agent, "create")
            await person.runtime.apply(person.chat.id, [change.id])
            assert (place.repository / "greeting.txt").read_text() == "hi\n"
            (before,) = await person.runtime.agent_sessions(session.id)
            await person.runtime.close()
            past_the_first_minute(tmp_path / "home")
            again = await place.person(agents=entry, start_timeout=60.0)
            assert await again.said(first.id)
            second = await again.prompt("and now", agent=agent)
            assert second.end == "completed"
            assert "Still here." in await again.said(second.id)
            (after,) = await again.runtime.agent_sessions(session.id)
            assert after.native_id == before.native_id
        finally:
            await place.close()


@pytest.mark.parametrize("agent", ["opencode"], indirect=True)
async def test_a_fork_goes_on_with_the_agents_own_memory_and_a_native_session_can_be_adopted(
    agent: str, tmp_path: Path
) -> None:
    script = [*says(agent, "remember plums", "I remember plums."), *says(agent, "and now", "Still here."), *otherwise()]
    with scripted_model(tmp_path / "model", script) as model:
        place = Place(tmp_path)
        try:
            person = await place.person(agents={agent: real_agents.entry(agent, model.url)}, start_timeout=60.0)
            first = await person.prompt("remember plums", agent=agent)
            await person.prompt("and now", agent=agent)
            chat = await person.runtime.fork(person.chat.id, turn_id=first.id)
            fork = Person(person.runtime, person.session, chat)
            turn = await fork.prompt("and now", agent=agent)
            assert turn.end == "completed"
            codes = [entry.body.code for entry in await fork.entries() if isinstance(entry.body, Notice)]
            assert codes == ["forked"], "its memory had to be rebuilt"
            said = [
                message["content"] for message in model.journal()[-1].request["messages"] if message["role"] == "user"
            ]
            assert str(said).count("remember plums") == 1
            assert str(said).count("and now") == 1
            known = {info.chat_id: info for info in await person.runtime.agent_sessions(person.session.id)}
            native = known[person.chat.id].native_id
            assert native not in (None, known[chat.id].native_id)
            other = await person.runtime.open_session(person.session.path, name="other")
            adopted = await person.runtime.adopt(other.id, agent, str(native))
            texts = [
                entry.body.text
                for entry in await Person(person.runtime, other, adopted).entries()
                if entry.kind == "text"
            ]  # type: ignore[union-attr]
            assert texts == ["I remember plums.", "Still here."]
        finally:
            await place.close()


@pytest.mark.parametrize("agent", ["goose", pytest.param("opencode", marks=LONG)], indirect=True)
async def test_the_users_own_mcp_servers_are_the_agents_tools(agent: str, tmp_path: Path) -> None:
    tool = {"opencode": "loud_shout", "goose": "loud__shout"}[agent]
    call = {"name": tool, "arguments": {"words": "hello"}}
    script: list[dict[str, Any]] = [
        {
            "match": {"userMessage": "be loud", "toolName": tool, "hasToolResult": False},
            "response": {"toolCalls": [call]},
        },
        {"match": {"toolName": tool, "hasToolResult": True}, "response": {"content": "That was loud."}},
        *otherwise(),
    ]
    servers = {"loud": {"command": sys.executable, "args": ["-I", str(mcp_server.__file__)]}}
    place = Place(tmp_path)
    with scripted_model(tmp_path / "model", script) as model:
        entry = {agent: real_agents.entry(agent, model.url)}
        try:
            person = await place.person(agents=entry, mcp_servers=servers, start_timeout=60.0)
            turn = await person.prompt("be loud", agent=agent, mode="bypass")
            assert (turn.end, await person.said(turn.id)) == ("completed", "That was loud.")
            (made,) = [entry.body for entry in await person.entries(turn.id) if isinstance(entry.body, ToolCall)]
            assert (made.status, "HELLO" in str(made.content)) == ("completed", True)
        finally:
            await place.close()
