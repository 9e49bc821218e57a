"""Links: the page that shows a chat, and its socket, which is told the link and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from server.conftest import LINK

from jupyter_extension import shared
from jupyter_extension.routes import SHARED


async def looking(server: Any, link: str = LINK, headers: dict[str, str] | None = None) -> Any:
    socket = await server.connect(SHARED, headers=headers)
    await socket.write_message(json.dumps({"link": link}))
    return socket


async def closed(socket: Any) -> tuple[int, str]:
    """The code and the reason with which the server closed a socket."""
    async with asyncio.timeout(60):
        while await socket.read_message() is not None:
            pass
    return socket.close_code, socket.close_reason


async def test_a_link_opens_its_chat_to_look_at(server: Any, runtime: Any) -> None:
    socket = await looking(server)
    hello = await server.frame(socket)
    assert hello["chat"]["id"] == runtime.chat.id
    assert hello["may_execute"] is False
    await server.on_runtime(runtime.say("hi"))
    while "hi" not in str(await server.frame(socket)):
        pass
    assert "attend" not in {asked[0] for asked in runtime.asked}


async def test_a_link_that_leads_nowhere_is_closed_with_its_own_code_and_a_sentence(server: Any) -> None:
    code, reason = await closed(await looking(server, "another"))
    assert code == shared.NOT_FOUND
    assert reason.startswith("This link leads nowhere")


@pytest.mark.parametrize(
    "message", ["", "x", "[]", "{}", '{"link": 1}', '{"link": ""}', '{"link": "%s"}' % ("x" * 300)]
)
async def test_who_does_not_say_which_link_is_sent_away(server: Any, runtime: Any, message: str) -> None:
    socket = await server.connect(SHARED)
    await socket.write_message(message)
    assert (await closed(socket))[0] == shared.UNCLEAR
    assert runtime.streams == 0


async def test_who_says_nothing_is_sent_away(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "PATIENCE", 0.05)
    assert (await closed(await server.connect(SHARED)))[0] == shared.UNCLEAR


async def test_what_a_reader_says_later_changes_nothing(server: Any, runtime: Any) -> None:
    socket = await looking(server)
    await server.frame(socket)
    await socket.write_message('{"type": "attend"}')
    await socket.write_message('{"link": "another"}')
    await server.on_runtime(runtime.say("hi"))
    while "hi" not in str(await server.frame(socket)):
        pass


async def test_the_page_of_a_link_is_the_same_for_every_link_and_loads_only_what_is_ours(server: Any) -> None:
    reply = await server.ask("GET", "coder-nb/shared", at="")
    assert reply.status == 200
    page = reply.body.decode()
    assert re.findall(r'from "([^"]+)"', page) == [f"{server._base_url}static/jupyter_extension/coder.js"]
    assert reply.headers["Referrer-Policy"] == "no-referrer"


async def test_the_page_is_for_those_who_may_read(server: Any, grants: Any) -> None:
    assert (await server.ask("GET", "coder-nb/shared", at="", headers={})).status in (302, 403)
    grants(actions={"execute"})
    assert (await server.ask("GET", "coder-nb/shared", at="")).status == 403


async def test_no_log_has_the_link(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(0):
        await closed(await looking(server, "another-secret-link"))
        await server.frame(await looking(server))
    assert "another-secret-link" not in caplog.text
    assert LINK not in caplog.text
