"""Which runtime a process uses: its server's where that answers, else one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from coder_nb.client.find import VARIABLE
from coder_nb.client.home import Home
from coder_nb.core.stream import PROTOCOL
from coder_nb.errors import Forbidden
from coder_nb.settings import Settings
from coder_nb.testing.memory_runtime import MemoryRuntime

Serve = Callable[..., None]


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> MemoryRuntime:
    """What is opened in this process."""
    runtime = MemoryRuntime()

    async def open_embedded(settings: Settings) -> MemoryRuntime:
        return runtime

    monkeypatch.setattr("coder_nb.client.home.open_embedded", open_embedded)
    return runtime


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home(lambda: None)
    yield home
    home.close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that says how it is, and writes the connection file of one."""
    running: list[ThreadingHTTPServer] = []

    def start(*, status: int = 200, runtime_id: str = "theirs", expected: str = "theirs") -> None:
        answer = {"protocol": PROTOCOL, "version": "1", "runtime_id": runtime_id, "status": "ok"}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(server)
        connection = {
            "url": f"http://127.0.0.1:{server.server_port}/",
            "token": "t",
            "pid": os.getpid(),
            "protocol": PROTOCOL,
            "runtime_id": expected,
        }
        (tmp_path / "connection.json").write_text(json.dumps(connection))
        monkeypatch.setenv(VARIABLE, str(tmp_path / "connection.json"))

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_without_a_server_the_runtime_is_in_this_process_and_is_closed_with_it(
    home: Home, embedded: MemoryRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    link = home.link()
    assert (link.where, link.health.runtime_id) == ("kernel", "memory")
    assert home.link() is link
    home.close()
    home.close()
    assert embedded.closed


def test_a_server_that_answers_is_used(home: Home, embedded: MemoryRuntime, serve: Serve) -> None:
    serve()
    assert (home.link().where, home.link().health.runtime_id) == ("server", "theirs")


def test_settings_have_no_effect_beside_a_server_and_that_is_said(
    home: Home, embedded: MemoryRuntime, serve: Serve
) -> None:
    serve()
    home.configure(max_live=3)
    with pytest.warns(UserWarning, match="set it in the server's configuration"):
        home.link()


def test_another_server_at_the_address_of_a_dead_one_is_not_used(
    home: Home, embedded: MemoryRuntime, serve: Serve
) -> None:
    serve(runtime_id="somebody else's")
    assert home.link().where == "kernel"


def test_a_server_without_the_extension_is_not_used(home: Home, embedded: MemoryRuntime, serve: Serve) -> None:
    serve(status=404)
    assert home.link().where == "kernel"


def test_a_server_that_refuses_is_not_passed_over(home: Home, embedded: MemoryRuntime, serve: Serve) -> None:
    serve(status=403)
    with pytest.raises(Forbidden):
        home.link()


def test_a_script_that_ends_in_the_middle_of_a_turn_ends() -> None:
    code = (
        "import coder_nb.client.home as home\n"
        "from coder_nb.testing.memory_runtime import MemoryRuntime\n"
        "async def play(stage): await stage.forever()\n"
        "async def open_embedded(settings): return MemoryRuntime(play)\n"
        "home.open_embedded = open_embedded\n"
        "import coder_nb\n"
        "turn = coder_nb.session('.').prompt('hello')\n"
        "print(turn.prompt.text)\n"
    )
    environ = {key: value for key, value in os.environ.items() if key != VARIABLE}
    environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False, env=environ
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
