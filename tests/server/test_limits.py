"""What one caller may send, and how many may listen: at the bound it goes, beyond it there is an answer."""

from __future__ import annotations

from typing import Any

import pytest

from coder_nb.errors import TooManyReaders
from coder_nb.ids import new_id
from jupyter_extension import websocket
from jupyter_extension.websocket import TOO_MANY, StreamHandler


async def test_a_body_at_the_limit_is_read_and_one_beyond_it_is_refused(server: Any, runtime: Any) -> None:
    limit = server.extension.body_limit()
    body = b'{"id": "%b", "text": "say"%b}'
    room = limit - len(body % (new_id().encode(), b""))
    at = await server.ask("POST", f"chats/{runtime.chat.id}/prompts", body % (new_id().encode(), b" " * room))
    assert at.status == 202
    beyond = await server.ask("POST", f"chats/{runtime.chat.id}/prompts", body % (new_id().encode(), b" " * (room + 1)))
    assert (beyond.status, beyond.body["code"]) == (413, "prompt_too_long")
    assert beyond.body["message"].endswith("put the material into a file and name it in the prompt.")


async def test_a_message_of_a_reader_at_the_limit_is_heard_and_one_beyond_it_closes_the_socket(
    server: Any, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StreamHandler, "max_message_size", 1000)
    monkeypatch.setattr(websocket, "ATTENDING", 0.0)
    socket = await server.connect(f"chats/{runtime.chat.id}/stream")
    await server.frame(socket)
    await server.on_runtime(runtime.attended(1))
    attend = '{"type": "attend"}'
    await socket.write_message(attend + " " * (1000 - len(attend)))
    await server.on_runtime(runtime.attended(2))
    await socket.write_message(attend + " " * (1001 - len(attend)))
    while await server.frame(socket) is not None:
        pass
    assert socket.close_code == 1009


async def test_a_reader_beyond_the_most_there_may_be_is_told_what_to_do(server: Any, runtime: Any) -> None:
    runtime.fails_streams = TooManyReaders()
    socket = await server.connect(f"chats/{runtime.chat.id}/stream")
    while await server.frame(socket) is not None:
        pass
    assert (socket.close_code, socket.close_reason) == (TOO_MANY, TooManyReaders().message)


@pytest.mark.parametrize(("query", "status"), [("limit=1000", 200), ("limit=1001", 400), ("limit=0", 400)])
async def test_a_page_has_so_many_entries_at_most(server: Any, runtime: Any, query: str, status: int) -> None:
    reply = await server.ask("GET", f"chats/{runtime.chat.id}/entries?{query}")
    assert reply.status == status
