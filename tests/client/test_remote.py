"""The wire, against a small server that speaks it: a runtime in memory behind tornado."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

from coder_nb.client.find import Server
from coder_nb.client.follow import following
from coder_nb.client.remote import Remote
from coder_nb.client.tls import is_loopback, pinned
from coder_nb.core.codec import encode
from coder_nb.core.entries import End, Entry, Text, TurnEnded
from coder_nb.core.health import Health
from coder_nb.core.prompts import Prompt
from coder_nb.core.stream import PROTOCOL, DeltaFrame, Frame, Hello, PageFrame
from coder_nb.core.transcript import Transcript
from coder_nb.errors import ConnectionLost, EmptyPrompt, Forbidden, NotFound, VersionMismatch
from coder_nb.testing.memory_runtime import MemoryRuntime, Stage
from coder_nb.widgets.calls import call


class Rest(tornado.web.RequestHandler):
    def initialize(self, house: House) -> None:
        self.house = house

    def prepare(self) -> None:
        if self.request.headers.get("Authorization") != "Bearer secret":
            self.set_status(403)
            self.finish("<html>no JSON</html>")

    async def _answer(self, route: str) -> None:
        body = msgspec.json.decode(self.request.body) if self.request.body else None
        query = f"?{self.request.query}" if self.request.query else ""
        status, answer = await call(self.house.runtime, self.request.method or "GET", route + query, body)
        self.set_status(status)
        if answer is not None:
            self.finish(msgspec.json.encode(answer))

    get = post = delete = _answer


class Stream(tornado.websocket.WebSocketHandler):
    def initialize(self, house: House) -> None:
        self.house = house

    async def open(self, chat_id: str) -> None:
        self.house.sockets.append(self)
        after = self.get_query_argument("after", "")
        frames = self.house.runtime.stream(chat_id, after=int(after) if after else None)
        self.reading = asyncio.create_task(self._send(frames))

    async def _send(self, frames: AsyncIterator[Frame]) -> None:
        async with following(frames) as stream:
            async for frame in stream:
                await self.write_message(encode(frame).decode())

    def on_close(self) -> None:
        self.reading.cancel()


class House:
    """A server with a runtime in memory."""

    def __init__(self, runtime: MemoryRuntime, *, tls: ssl.SSLContext | None = None) -> None:
        self.scheme = "http" if tls is None else "https"
        self.runtime = runtime
        self.sockets: list[Stream] = []
        api = f"/user/me/coder-nb/api/v{PROTOCOL}"
        self._app = tornado.web.Application(
            [(f"{api}/chats/([^/]+)/stream", Stream, {"house": self}), (f"{api}/(.*)", Rest, {"house": self})]
        )
        self._http = tornado.httpserver.HTTPServer(self._app, ssl_options=tls)
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        self._http.add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]

    def where(self, *, token: str = "secret", certificate: Path | None = None) -> Server:
        return Server(
            url=f"{self.scheme}://127.0.0.1:{self.port}/user/me/",
            token=token,
            pid=os.getpid(),
            protocol=PROTOCOL,
            runtime_id="memory",
            certificate=str(certificate or ""),
        )

    async def close(self) -> None:
        self._http.stop()
        await self._http.close_all_connections()
        await self.runtime.close()


async def two_words(stage: Stage) -> End:
    entry = stage.put(Text(text="one"), open=True)
    stage.delta(entry, 3, " two")
    await stage.forever()
    return "completed"


@pytest.mark.anyio
async def test_every_verb_goes_over_the_wire_and_back() -> None:
    house = House(MemoryRuntime())
    remote = Remote(house.where())
    try:
        assert (await remote.health()).runtime_id == "memory"
        assert await remote.agents() == await house.runtime.agents()
        session = await remote.open_session("/repo", name="mine")
        assert await remote.get_session(session.id) == session
        assert await remote.sessions() == (session,)
        chat = await remote.open_chat(session.id)
        accepted = await remote.prompt(chat.id, Prompt(id="p", text="hello"))
        assert accepted.id == chat.id
        entries = [entry async for entry in _until_end(remote, chat.id)]
        assert [entry.kind for entry in entries] == ["turn_started", "user_message", "text", "turn_ended"]
        assert await remote.read(chat.id) == await house.runtime.read(chat.id)
        assert await remote.read(chat.id, before=3, limit=1) == await house.runtime.read(chat.id, before=3, limit=1)
        assert await remote.turns(chat.id) == await house.runtime.turns(chat.id)
        assert (
            await remote.changes(chat.id) == await remote.apply(chat.id, []) == await remote.reject(chat.id, []) == ()
        )
        assert await remote.usage() == await remote.usage(chat.id) == ()
        assert await remote.agent_sessions(session.id) == await house.runtime.agent_sessions(session.id)
        assert not await remote.stop(chat.id)
        assert not await remote.withdraw(chat.id, "p")
        assert not await remote.answer(chat.id, "none", None, by="me")
        assert (await remote.go_on(chat.id)).id == chat.id
        assert await remote.attend(chat.id, who="me") is None
    finally:
        await remote.close()
        await house.close()


@pytest.mark.anyio
async def test_an_error_of_the_server_is_raised_as_what_it_was() -> None:
    house = House(MemoryRuntime())
    remote = Remote(house.where())
    try:
        with pytest.raises(NotFound):
            await remote.get_chat("nothing")
        session = await remote.open_session("/repo")
        chat = await remote.open_chat(session.id)
        with pytest.raises(EmptyPrompt, match="write what the agent should do"):
            await remote.prompt(chat.id, Prompt(id="p", text=" "))
    finally:
        await remote.close()
        await house.close()


@pytest.mark.anyio
async def test_a_refused_token_is_forbidden_in_words() -> None:
    house = House(MemoryRuntime())
    remote = Remote(house.where(token="old"))
    try:
        with pytest.raises(Forbidden, match="restart the kernel"):
            await remote.health()
    finally:
        await remote.close()
        await house.close()


@pytest.mark.anyio
async def test_a_server_that_is_gone_is_said_to_be() -> None:
    house = House(MemoryRuntime())
    await house.close()
    remote = Remote(house.where())
    try:
        with pytest.raises(ConnectionLost, match="start it again"):
            await remote.health()
    finally:
        await remote.close()


@pytest.mark.anyio
async def test_a_server_of_another_protocol_is_named_with_the_cure() -> None:
    class Newer(MemoryRuntime):
        async def health(self) -> Health:
            return msgspec.structs.replace(await super().health(), protocol=PROTOCOL + 1, version="9.0")

    house = House(Newer())
    remote = Remote(house.where())
    try:
        with pytest.raises(VersionMismatch, match=r"coder-nb 9\.0 with protocol 2.*pip install"):
            await remote.health()
    finally:
        await remote.close()
        await house.close()


@pytest.mark.anyio
async def test_a_broken_stream_goes_on_from_its_cursor_without_a_gap_or_a_double() -> None:
    house = House(MemoryRuntime(two_words))
    remote = Remote(house.where())
    try:
        session = await remote.open_session("/repo")
        chat = await remote.open_chat(session.id)
        await remote.prompt(chat.id, Prompt(id="p", text="hello"))
        seen, hellos, pages = Transcript(), 0, 0
        async with following(remote.stream(chat.id)) as frames:
            async for frame in frames:
                hellos += isinstance(frame, Hello)
                if isinstance(frame, PageFrame):
                    pages += len(frame.page.entries)
                    seen.apply(frame.page)
                if isinstance(frame, DeltaFrame):
                    seen.apply_delta(frame.deltas[0])
                if len(house.sockets) == 1 and len(seen) == 1:
                    await house.sockets[0].write_message('{"type": "of_a_later_version", "what": 1}')
                if len(house.sockets) == 1 and len(seen) == 3:
                    house.sockets[0].close()
                    await remote.stop(chat.id)
                if any(isinstance(entry.body, TurnEnded) for entry in seen):
                    break
        assert hellos == 2
        assert pages == 4
        full = Transcript()
        full.apply(await remote.read(chat.id))
        assert [entry.id for entry in seen] == [entry.id for entry in full]
    finally:
        await remote.close()
        await house.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that names a host at which nobody is reached here."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hub.example.org"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return key, certificate


@pytest.mark.anyio
async def test_a_server_with_https_is_trusted_by_its_own_certificate_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    key, certificate = make_certificate(tmp_path)
    _, another = make_certificate(tmp_path / "other")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    house = House(MemoryRuntime(), tls=context)
    trusting, wary = Remote(house.where(certificate=certificate)), Remote(house.where(certificate=another))
    try:
        session = await trusting.open_session("/repo")
        chat = await trusting.open_chat(session.id)
        await trusting.prompt(chat.id, Prompt(id="p", text="hello"))
        assert [entry.kind async for entry in _until_end(trusting, chat.id)][-1] == "turn_ended"
        with pytest.raises(ConnectionLost):
            await wary.health()
    finally:
        await trusting.close()
        await wary.close()
        await house.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8888/", True),
        ("http://[::1]:8888/", True),
        ("http://localhost:8888/", True),
        ("https://hub.example.org/user/me/", False),
        ("http://10.0.0.1/", False),
    ],
)
def test_a_proxy_is_passed_by_on_loopback_only(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    certificate = tmp_path / "server.pem"
    if content is not None:
        certificate.write_text(content)
    with pytest.raises(ConnectionLost, match=r"certificate .*server\.pem cannot be read"):
        pinned(str(certificate))


async def _until_end(remote: Remote, chat_id: str) -> AsyncIterator[Entry]:
    async with following(remote.stream(chat_id, after=0)) as frames:
        async for frame in frames:
            for entry in frame.page.entries if isinstance(frame, PageFrame) else ():
                yield entry
                if isinstance(entry.body, TurnEnded):
                    return
