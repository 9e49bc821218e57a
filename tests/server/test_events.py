"""What chats are doing is told as events of the Jupyter server, and nothing that was said is in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.place import make_repository

from coder_nb.core.attention import ChatAttention
from coder_nb.core.verbs import Verbs
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent
from jupyter_extension import events


def listening(server: Any) -> asyncio.Queue[dict[str, Any]]:
    """All events of ours from now on."""
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        heard.put_nowait(data)

    server.app.event_logger.add_listener(schema_id=events.SCHEMA_ID, listener=listener)
    return heard


async def test_an_event_says_what_a_chat_is_doing_and_nothing_else(server: Any) -> None:
    heard = listening(server)
    told = ChatAttention(
        chat_id=new_id(),
        session_id=new_id(),
        path="/secret/place",
        session="main",
        chat="main",
        title="A secret prompt",
        state="starting",
        why="slot",
        place=3,
        agent="scripted",
        since=5,
        error="a secret error",
    )
    await asyncio.to_thread(server.extension.tell, told)  # as from the runtime's own loop
    data = await asyncio.wait_for(heard.get(), 30)
    assert data == {
        "chat_id": told.chat_id,
        "session_id": told.session_id,
        "agent": "scripted",
        "state": "starting",
        "why": "slot",
        "place": 3,
        "since": 5,
    }
    assert "secret" not in json.dumps(data)


async def test_every_state_and_reason_is_one_of_the_schema(server: Any) -> None:
    heard = listening(server)
    for state in events.SCHEMA["properties"]["state"]["enum"]:
        for why in events.SCHEMA["properties"]["why"]["enum"]:
            told = ChatAttention("c", "s", "/p", "main", "main", state=state, why=why)
            events.emit(server.app.event_logger, told)
            assert (await asyncio.wait_for(heard.get(), 30))["state"] == state


async def test_a_server_that_has_ended_is_told_nothing(server: Any) -> None:
    ended = asyncio.new_event_loop()
    ended.close()
    server.extension._loop = ended
    server.extension.tell(ChatAttention("c", "s", "/p", "main", "main"))


@pytest.mark.slow
class TestARealRuntime:
    """The whole way, from an agent's turn to a listener of the server's."""

    @pytest.fixture
    def opening(self, tmp_path: Path, server_told: list[Any]) -> Callable[[], Any]:
        from coder_nb.runtime import Runtime

        async def opened() -> Verbs:
            settings = Settings(database=str(tmp_path / "store.sqlite"), agents={"scripted": scripted_agent.entry()})
            return await Runtime.open(settings, label="a test", told=lambda told: server_told[0](told))

        return opened

    @pytest.fixture
    def server_told(self) -> list[Any]:
        return []

    async def test_a_turn_is_told_from_its_start_to_its_being_seen(
        self, server: Any, server_told: list[Any], tmp_path: Path
    ) -> None:
        server_told.append(server.extension.tell)
        heard = listening(server)
        session = (await server.ask("POST", "sessions", {"path": str(make_repository(tmp_path / "work"))})).body["id"]
        chat = (await server.ask("POST", f"sessions/{session}/chats", {})).body["id"]
        sent = {"id": new_id(), "text": "say secret words", "agent": "scripted"}
        assert (await server.ask("POST", f"chats/{chat}/prompts", sent)).status == 202
        states: list[str] = []
        while states[-1:] != ["finished"]:
            data = await asyncio.wait_for(heard.get(), 60)
            assert data["chat_id"] == chat
            assert "secret" not in json.dumps(data)
            states.append(data["state"])
        assert set(states) <= {"starting", "working", "finished"}
        rev = (await server.ask("GET", f"chats/{chat}")).body["rev"]
        assert (await server.ask("POST", f"chats/{chat}/seen", {"rev": rev})).body == {"done": True}
        assert (await asyncio.wait_for(heard.get(), 60))["state"] == "idle"
