"""The socket: frames as they come, and a reader whose fate touches nobody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from coder_nb.core.codec import decode
from coder_nb.core.entries import Page
from coder_nb.core.transcript import Transcript
from coder_nb.errors import StoreDamaged
from coder_nb.ids import new_id
from jupyter_extension import websocket
from jupyter_extension.websocket import FAILED, GOING_AWAY


async def follow(server: Any, runtime: Any, query: str = "", headers: dict[str, str] | None = None) -> Any:
    return await server.connect(f"chats/{runtime.chat.id}/stream{query}", headers=headers)


async def read_until(server: Any, socket: Any, rev: int, seen: Transcript | None = None) -> Transcript:
    """What a reader has seen when it has come to a revision."""
    seen = seen or Transcript()
    while seen.rev < rev:
        frame = await server.frame(socket)
        if frame["type"] == "page":
            seen.apply(decode(json.dumps(frame["page"]), Page))
    return seen


def texts(seen: Transcript) -> list[str]:
    return [entry.body.text for entry in seen]  # type: ignore[union-attr]


async def test_the_first_frame_says_who_speaks_which_protocol(server: Any, runtime: Any) -> None:
    socket = await follow(server, runtime)
    hello = await server.frame(socket)
    assert hello == {
        "type": "hello",
        "protocol": 1,
        "runtime_id": "memory",
        "epoch": "e",
        "chat": {"id": runtime.chat.id, "session_id": runtime.session.id, "run_status": "idle"},
        "session": {"id": runtime.session.id, "owner": "alice", "path": "/work", "chats": [runtime.chat.id]},
        "first_pos": 1,
    }


async def test_what_is_committed_arrives_in_order_at_every_reader(server: Any, runtime: Any) -> None:
    early = await follow(server, runtime)
    await server.on_runtime(runtime.say(*map(str, range(25))))
    late = await follow(server, runtime)
    await server.on_runtime(runtime.say("last"))
    expected = [*map(str, range(25)), "last"]
    assert texts(await read_until(server, early, 26)) == expected
    assert texts(await read_until(server, late, 26)) == expected


async def test_a_reader_goes_on_from_its_cursor_or_from_the_tail(server: Any, runtime: Any) -> None:
    await server.on_runtime(runtime.say(*map(str, range(30))))
    resumed = await follow(server, runtime, "?after=28")
    assert texts(await read_until(server, resumed, 30)) == ["28", "29"]
    tail = await follow(server, runtime, "?tail=3")
    assert texts(await read_until(server, tail, 30)) == ["27", "28", "29"]


async def test_opening_a_page_and_looking_at_it_attend(server: Any, runtime: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(websocket, "ATTENDING", 0.0)
    socket = await follow(server, runtime)
    await server.on_runtime(runtime.attended(1))
    await socket.write_message('{"type": "attend"}')
    await server.on_runtime(runtime.attended(2))


async def test_signs_of_life_that_come_too_fast_are_one(server: Any, runtime: Any) -> None:
    socket = await follow(server, runtime)
    for _ in range(100):
        await socket.write_message('{"type": "attend"}')
    await server.on_runtime(runtime.say("x"))
    await read_until(server, socket, 1)
    assert sum(asked[0] == "attend" for asked in runtime.asked) == 1


async def test_a_kernel_that_follows_its_prompt_is_nobody_who_looks(server: Any, runtime: Any) -> None:
    socket = await follow(server, runtime, headers=server.kernel)
    assert (await server.frame(socket))["type"] == "hello"
    assert "attend" not in {asked[0] for asked in runtime.asked}
    await socket.write_message('{"type": "attend"}')
    await server.on_runtime(runtime.attended(1))


@pytest.mark.parametrize("said", ["", "{", "null", "[1]", '{"type": "stop"}', '{"type": 1}', b"\xff", "[" * 100_000])
async def test_what_a_reader_says_otherwise_is_ignored(server: Any, runtime: Any, said: Any) -> None:
    socket = await follow(server, runtime)
    await socket.write_message(said, binary=isinstance(said, bytes))
    await server.on_runtime(runtime.say("still there"))
    assert texts(await read_until(server, socket, 1)) == ["still there"]


async def test_a_reader_who_goes_leaves_nothing_behind(server: Any, runtime: Any) -> None:
    sockets = [await follow(server, runtime) for _ in range(5)]
    for socket in sockets:
        await server.frame(socket)
        socket.close()
    await server.on_runtime(runtime.readers(0))
    assert "stop" not in {asked[0] for asked in runtime.asked}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_NB_READER_PATIENCE", "0.5")


async def test_a_frozen_reader_is_sent_away_and_harms_nobody(impatient: None, server: Any, runtime: Any) -> None:
    frozen = await follow(server, runtime)
    frozen.protocol.stream.io_loop.remove_handler(frozen.protocol.stream.socket)  # the peer's end reads no more
    lively = await follow(server, runtime)
    await server.on_runtime(runtime.say(*("x" * 1_000_000 for _ in range(50))))
    assert len(texts(await read_until(server, lively, 50))) == 50
    await server.on_runtime(asyncio.wait_for(runtime.readers(1), 20))
    assert runtime.read_ahead < 10


async def test_a_stream_that_ends_or_breaks_says_why(server: Any, runtime: Any) -> None:
    socket = await follow(server, runtime)
    await server.frame(socket)
    runtime.fails = StoreDamaged("The store's file is damaged: " + "restore it from a copy " * 10)
    await server.on_runtime(runtime.say("x"))
    while await server.frame(socket) is not None:
        pass
    assert socket.close_code == FAILED
    assert socket.close_reason.startswith("The store's file is damaged: restore it")


async def test_a_stream_that_breaks_unexpectedly_tells_no_secret(server: Any, runtime: Any) -> None:
    socket = await follow(server, runtime)
    await server.frame(socket)
    await server.on_runtime(runtime.attended(1))
    runtime.fails = ZeroDivisionError("the secret")
    await server.on_runtime(runtime.say("x"))
    while await server.frame(socket) is not None:
        pass
    assert (socket.close_code, socket.close_reason) == (
        FAILED,
        "Something went wrong in the Jupyter server: its log says what.",
    )


async def test_readers_are_told_when_the_server_stops(server: Any, runtime: Any) -> None:
    socket = await follow(server, runtime)
    await server.frame(socket)
    await server.extension.stop_extension()
    while await server.frame(socket) is not None:
        pass
    assert socket.close_code == GOING_AWAY


async def test_a_chat_that_is_not_there_is_refused_before_the_socket_opens(server: Any) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await server.connect(f"chats/{new_id()}/stream")
    assert caught.value.code == 404
