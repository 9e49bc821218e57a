"""Readers who read nothing, over the network of a real server: they cost little, harm nobody, and are hung up on."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from support.jupyter import Jupyter, until
from support.place import make_repository
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from coder_nb.core.codec import decode
from coder_nb.core.stream import Frame, PageFrame
from coder_nb.core.transcript import Transcript

PATIENCE = 2.0
FLOOD, SAID = "\n".join(["huge 200000"] * 100 + ["stream 1000 0"]), 20_000_000
HELD = 8_000_000
"""Bytes that a frozen reader may cost: what is held for it (1 MB) and the page that goes beyond it (1 MB and an entry),
once as values, once as it waits, once as it is being sent."""
SLACK = 30_000_000
"""Bytes by which one course differs from another anyway."""


class Server:
    """A real server with little patience, and who reads there."""

    def __init__(self, jupyter: Jupyter, home: Path, opened: ExitStack) -> None:
        self.jupyter, self._home, self._opened = jupyter, home, opened
        self._process = psutil.Process(jupyter.process.pid)

    @property
    def memory(self) -> int:
        return int(self._process.memory_info().rss)

    def chat(self, name: str) -> str:
        return self.jupyter.open_chat(make_repository(self._home / name))

    def freeze(self, path: str, first: Any = None, *, upgrade: bool = True) -> socket.socket:
        """Asks for something and never reads a byte of it."""
        url = urlsplit(self.jupyter.url + path)
        reader = self._opened.enter_context(socket.socket())
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((url.hostname, url.port))
        headers = {"Host": url.netloc, **self.jupyter.headers}
        if upgrade:
            headers |= {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            headers["Sec-WebSocket-Key"] = base64.b64encode(bytes(16)).decode()
        lines = [f"GET {url.path}?{url.query} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        said = b"" if first is None else json.dumps(first).encode()
        assert len(said) < 126, "else its length would have to be written in another way"
        message = bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said if said else b""
        reader.sendall("\r\n".join([*lines, "", ""]).encode() + message)
        return reader

    def read(self, path: str) -> bytes:
        return httpx.get(self.jupyter.url + path, headers=self.jupyter.headers, timeout=60).raise_for_status().content

    def stuck(self) -> int:
        """How many were hung up on."""
        return self.jupyter.log.read_text().count("reader_stuck")

    def readers(self) -> int:
        return int(self.jupyter.ask("GET", "health").get("readers", 0))

    def follow(self, chat: str) -> tuple[int, int]:
        """Reads a chat until its turn has ended, and comes back where it was too slow; how much was said, and the most
        memory that the server took."""
        seen, most = Transcript(), 0
        while not any(entry.kind == "turn_ended" for entry in seen):
            url = f"{self.jupyter.url.replace('http', 'ws', 1)}chats/{chat}/stream?after={seen.rev}"
            with (
                suppress(ConnectionClosed),
                connect(url, additional_headers=self.jupyter.headers, max_size=None) as told,
            ):
                for frame in (decode(str(message).encode(), Frame) for message in told):
                    most = max(most, self.memory)
                    if isinstance(frame, PageFrame):
                        seen.apply(frame.page)
                    if any(entry.kind == "turn_ended" for entry in seen):
                        break
        return sum(len(entry.body.text) for entry in seen if entry.kind == "text"), most  # type: ignore[union-attr]

    def flood(self, chat: str) -> tuple[int, int]:
        """The same while an agent says more than anybody can read who does not."""
        before = self.readers()
        with ThreadPoolExecutor(1) as thread:
            lively = thread.submit(self.follow, chat)
            until(lambda: self.readers() > before, seconds=60, what="the lively reader")
            prompt = self.jupyter.prompt(chat, FLOOD)
            told = lively.result(120)
        assert self.jupyter.turn(chat, prompt)["end"] == "completed"
        return told


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("frozen")
    jupyter = Jupyter(home, f"--CoderExtension.reader_patience={PATIENCE}", alone=True)
    with ExitStack() as opened:
        try:
            yield Server(jupyter.connected(), home, opened)
        finally:
            jupyter.process.kill()
            jupyter.process.wait(30)


def test_those_who_follow_a_flood_and_read_nothing_cost_no_more_than_what_is_held_for_them(server: Server) -> None:
    server.flood(server.chat("first"))  # some memory is only taken once
    said, usual = server.flood(server.chat("usual"))
    assert said > SAID
    chat, stuck = server.chat("flood"), server.stuck()
    link = server.jupyter.ask("POST", f"chats/{chat}/shares")["link"]
    frozen = [server.freeze(f"chats/{chat}/stream") for _ in range(4)]
    frozen += [server.freeze("shared", {"link": link}) for _ in range(2)]
    until(lambda: server.readers() == len(frozen), seconds=60, what="the readers")
    told, most = server.flood(chat)
    assert told == said
    assert most - usual < len(frozen) * HELD + SLACK < len(frozen) * SAID
    until(lambda: server.stuck() >= stuck + len(frozen), seconds=60, what="the end of the patience")
    until(lambda: not server.readers(), seconds=60, what="the end of the readers")
    assert "Traceback" not in server.jupyter.log.read_text()
    assert server.follow(chat)[0] == said  # whoever comes back has missed nothing


def test_those_who_ask_for_much_and_read_nothing_are_hung_up_on_and_leave_nothing_behind(server: Server) -> None:
    chat = server.chat("much")
    server.flood(chat)
    doors = ("entries?before=9000000&limit=1000", "export?redact=false", "export?redact=false")

    for door in doors * 2:  # some memory is only taken once
        assert len(server.read(f"chats/{chat}/{door}")) > SAID
    usual = server.memory
    for _ in range(2):
        stuck = server.stuck()
        frozen = [server.freeze(f"chats/{chat}/{door}", upgrade=False) for door in doors]
        until(lambda: server.stuck() >= stuck + len(doors), seconds=60, what="the end of the patience")  # noqa: B023
        for reader in frozen:
            head, _, body = reader.makefile("rb").read().partition(b"\r\n\r\n")
            assert b"200 OK" in head
            assert len(body) < SAID
    assert server.memory - usual < len(doors) * SAID
    assert "Traceback" not in server.jupyter.log.read_text()
    assert server.follow(chat)[0] > SAID
