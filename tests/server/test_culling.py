"""Jupyter's own ends of what looks idle: a kernel that waits for a chat is at work, and so is a server with a chat."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from kernel.conftest import Kernel
from support import culler
from support.jupyter import Jupyter, until
from support.place import make_repository

DEADLINE = 120.0
LONG = pytest.mark.skipif("CODER_NB_TEST_LONG" not in os.environ, reason="long tier: `scripts/test --long`")
SESSION = """
import coder_nb as cnb
session = cnb.session('work', name={name!r})
print(session.id)
"""
ASKED = "'say begun; hang', agent='scripted', mode='bypass', display=False"
TOKEN = "of-these-tests"


class Culling:
    """A server whose culler looks when it is told to."""

    def __init__(self, home: Path, opened: ExitStack) -> None:
        self._home, self._opened = home, opened
        make_repository(home / "work")
        arguments = (f"--IdentityProvider.token={TOKEN}",)
        self.jupyter = Jupyter(home, *arguments, alone=True, extensions=["tests.support.culler"])
        opened.callback(self._end)

    def _end(self) -> None:
        self.jupyter.process.send_signal(signal.SIGTERM)
        try:
            self.jupyter.process.wait(60)
        finally:
            self.jupyter.process.kill()

    def post(self, path: str, body: Any = None) -> Any:
        """One request of the server's owner to Jupyter itself."""
        base = self.jupyter.url.removesuffix("coder-nb/api/v1/")
        headers = {"Authorization": f"token {TOKEN}"}
        return httpx.post(base + path, json=body, headers=headers, timeout=DEADLINE).raise_for_status().json()

    def begin_kernel(self) -> str:
        return str(self.post("api/kernels", {"name": "python3"})["id"])

    def begun_kernel(self, kernel_id: str) -> Kernel:
        """A client of a kernel, when it can take cells."""
        file = self._home / "runtime" / f"kernel-{kernel_id}.json"
        until(file.exists, seconds=DEADLINE, what="the connection file of the kernel")
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels(hb=False)
        self._opened.callback(client.stop_channels)
        client.wait_for_ready(timeout=DEADLINE)
        return Kernel(client, None)  # type: ignore[arg-type]

    def cull(self, *, busy: bool = False) -> set[str]:
        """Which kernels are left when the culler has looked."""
        return set(self.post(f"{culler.PATH}?busy=1" if busy else culler.PATH)["left"])

    def chat(self, session: str) -> dict[str, Any]:
        (chat,) = self.jupyter.ask("GET", f"sessions/{session}")["chats"]
        return dict(self.jupyter.ask("GET", f"chats/{chat}"))

    def at_work(self, session: str) -> str:
        """The chat of a session, once something was said in it."""
        ask = self.jupyter.ask
        until(lambda: ask("GET", f"sessions/{session}").get("chats"), seconds=DEADLINE, what="the chat")
        chat = str(self.chat(session)["id"])
        self.jupyter.saying(chat, "begun")
        assert self.chat(session)["run_status"] == "running"
        return chat

    def end(self, chat: str) -> Any:
        """How the only turn of a chat ended."""
        ended = lambda: self.jupyter.ask("GET", f"chats/{chat}/turns")[0].get("end")  # noqa: E731
        return until(ended, seconds=DEADLINE, what="the end of the turn")


@pytest.fixture
def culling(tmp_path: Path) -> Iterator[Culling]:
    with ExitStack() as opened:
        found = Culling(tmp_path, opened)
        found.jupyter.connected()
        yield found


def test_a_kernel_that_waits_for_a_chat_is_not_culled_and_the_chat_of_one_that_is_goes_on(culling: Culling) -> None:
    cells = {
        "blocking": f"session.run({ASKED})",
        "awaiting": f"await session.prompt({ASKED})",
        "ended": f"turn = session.prompt({ASKED})",
    }
    ids = {name: culling.begin_kernel() for name in cells}
    kernels = {name: culling.begun_kernel(kernel_id) for name, kernel_id in ids.items()}
    sessions = {name: kernel.run(SESSION.format(name=name)).stdout.strip() for name, kernel in kernels.items()}
    for name in ("blocking", "awaiting"):
        kernels[name].send(cells[name])
    assert kernels["ended"].run(cells["ended"]).error == ""
    chats = {name: culling.at_work(session) for name, session in sessions.items()}

    assert culling.cull() == {ids["blocking"], ids["awaiting"]}
    assert [culling.chat(session)["run_status"] for session in sessions.values()] == ["running"] * 3

    again = culling.begun_kernel(culling.begin_kernel())
    assert again.run(SESSION.format(name="ended")).stdout.strip() == sessions["ended"]
    assert again.run("print(session.stop())").stdout == "True\n"
    assert culling.cull(busy=True) == set()
    for chat in chats.values():  # one whose kernel ended in its cell goes on, or was stopped by the interrupt before
        culling.jupyter.ask("POST", f"chats/{chat}/stop")
    assert [culling.end(chat) for chat in chats.values()] == ["cancelled"] * 3
    later = culling.begun_kernel(culling.begin_kernel())
    later.run(SESSION.format(name="awaiting"))
    assert later.run("print(session.run('recall', display=False).text)").stdout.startswith("I remember: say begun")


@LONG
def test_a_server_with_a_chat_at_work_does_not_shut_itself_down_before_it_is_done(tmp_path: Path) -> None:
    """Jupyter looks once a minute."""
    servers = {}
    with ExitStack() as opened:
        for name in ("busy", "idle"):  # the busy one is looked at first
            (tmp_path / name).mkdir()
            servers[name] = Jupyter(tmp_path / name, "--ServerApp.shutdown_no_activity_timeout=1", alone=True)
            opened.callback(servers[name].process.kill)
            servers[name].connected()
            if name == "busy":
                chat = servers[name].open_chat(make_repository(tmp_path / "work"))
                prompt = servers[name].prompt(chat, "say begun; hang")
                servers[name].saying(chat, "begun")
        ended = {name: server.process.poll for name, server in servers.items()}
        until(lambda: ended["idle"]() is not None, seconds=DEADLINE, what="the end of the idle server")
        assert ended["busy"]() is None
        assert servers["busy"].ask("GET", f"chats/{chat}")["run_status"] == "running"
        servers["busy"].ask("POST", f"chats/{chat}/stop")
        assert servers["busy"].turn(chat, prompt)["end"] == "cancelled"
        until(lambda: ended["busy"]() is not None, seconds=DEADLINE, what="the end of the other")
        assert not servers["busy"].file.exists()
