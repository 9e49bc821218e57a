"""A real Jupyter server in a process of its own, with the scripted agent: started, stopped, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from coder_nb.ids import new_id
from coder_nb.pool.register import MARKER
from coder_nb.testing import scripted_agent

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


def until(found: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """What is found at last; a deadline, for what another process does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"after {seconds} s still not: {what}")


def marked(runtime_id: str) -> list[str]:
    """The processes that carry the runtime's marker."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == runtime_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:60]}")
        except psutil.Error:
            continue
    return found


class Jupyter:
    """One life of a server; the home that it lives in outlives it."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.log = home / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        dirs = {f"JUPYTER_{kind.upper()}_DIR": str(home / kind) for kind in ("config", "data", "runtime")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jupyter_server",
                    "--allow-root",
                    "--no-browser",
                    "--ServerApp.ip=127.0.0.1",
                    f"--ServerApp.port={port}",
                    f"--ServerApp.root_dir={home}",
                    "--ServerApp.jpserver_extensions={'jupyter_extension': True}",
                    f"--CoderExtension.agents={json.dumps({'scripted': scripted_agent.entry()})}",
                    *arguments,
                ],
                cwd=home,
                env=os.environ | dirs | {"HOME": str(home), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.file = home / "runtime" / f"coder-nb-{self.process.pid}.json"

    def connected(self) -> Jupyter:
        """When kernels could find it."""
        try:
            until(lambda: self.file.exists() or self.process.poll() is not None, seconds=60, what="the connection file")
            told = json.loads(self.file.read_text())
        except (AssertionError, OSError):
            raise AssertionError(self.log.read_text()[-3000:]) from None
        self.url = told["url"] + "coder-nb/api/v1/"
        self.headers = {"Authorization": f"Bearer {told['token']}"}
        self.runtime_id = self.ask("GET", "health")["runtime_id"]
        return self

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        reply = httpx.request(method, self.url + path, json=body, headers=self.headers, timeout=60)
        if reply.is_error:
            raise AssertionError(f"{method} {path}: {reply.status_code} {reply.text}\n{self.log.read_text()[-3000:]}")
        return reply.json()

    def open_chat(self, path: Path) -> str:
        session = self.ask("POST", "sessions", {"path": str(path)})
        return str(self.ask("POST", f"sessions/{session['id']}/chats")["id"])

    def prompt(self, chat: str, text: str) -> str:
        prompt = new_id()
        self.ask("POST", f"chats/{chat}/prompts", {"id": prompt, "text": text, "agent": "scripted", "mode": "bypass"})
        return prompt

    def turn(self, chat: str, prompt: str) -> dict[str, Any]:
        """The turn of a prompt, once it has ended."""

        def ended() -> dict[str, Any] | None:
            turns = self.ask("GET", f"chats/{chat}/turns")
            return next((turn for turn in turns if turn["prompt_id"] == prompt and turn.get("end")), None)

        return until(ended, seconds=60, what="the end of the turn")

    def texts(self, chat: str) -> list[str]:
        bodies = [entry["body"] for entry in self.ask("GET", f"chats/{chat}/entries").get("entries", ())]
        return [body.get("text", "") for body in bodies if body["kind"] in ("user_message", "text")]

    def saying(self, chat: str, text: str) -> None:
        """Returns when the chat shows a text."""
        until(lambda: any(text in said for said in self.texts(chat)), seconds=60, what=f"a text with {text!r}")

    def end(self, by: signal.Signals) -> None:
        self.process.send_signal(by)
        self.process.wait(60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Jupyter]]:
    """Starts servers that share a home, one after the other."""
    started: list[Jupyter] = []

    def begin(*arguments: str) -> Jupyter:
        started.append(Jupyter(tmp_path, *arguments))
        return started[-1].connected()

    yield begin
    for jupyter in started:
        if jupyter.process.poll() is None:
            jupyter.process.kill()
            jupyter.process.wait(30)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    (path / "a.txt").write_text("a\n")
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=path, check=True)
    return path


def test_the_connection_file_lives_as_long_as_the_server(start: Callable[..., Jupyter]) -> None:
    jupyter = start()
    assert stat.S_IMODE(jupyter.file.stat().st_mode) == 0o600
    assert jupyter.ask("GET", "health")["status"] == "ok"
    assert (
        httpx.get(jupyter.url.replace("coder-nb/api/v1/", "api/contents"), headers=jupyter.headers).status_code == 403
    )
    jupyter.end(signal.SIGTERM)
    assert not jupyter.file.exists()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_settles_its_turns_before_it_ends(
    start: Callable[..., Jupyter], repository: Path, by: signal.Signals
) -> None:
    jupyter = start()
    chat = jupyter.open_chat(repository)
    jupyter.prompt(chat, "say begun\nhang")
    jupyter.saying(chat, "begun")
    jupyter.end(by)
    assert not jupyter.file.exists()
    assert marked(jupyter.runtime_id) == []
    with closing(sqlite3.connect(jupyter.file.parents[1] / "data" / "coder-nb" / "store.sqlite")) as store:
        assert store.execute("SELECT state FROM turns").fetchall() == [("interrupted",)]
        assert store.execute("SELECT owner FROM leases").fetchall() == [(None,)]


def test_a_server_that_starts_again_has_the_transcript_and_the_agent_resumes(
    start: Callable[..., Jupyter], repository: Path
) -> None:
    first = start()
    chat = first.open_chat(repository)
    assert first.turn(chat, first.prompt(chat, "say hello"))["end"] == "completed"
    before = first.ask("GET", f"chats/{chat}/entries")
    first.end(signal.SIGTERM)

    second = start()
    assert second.open_chat(repository) == chat
    assert second.ask("GET", f"chats/{chat}/entries") == before
    assert second.turn(chat, second.prompt(chat, "recall"))["end"] == "completed"
    assert second.texts(chat)[-1] == "I remember: say hello"


@pytest.mark.parametrize(
    ("by", "seconds", "agent"),
    [(signal.SIGTERM, 6.0, "hang"), (signal.SIGTERM, 6.0, "deaf"), (signal.SIGKILL, 2.0, "deaf")],
)
def test_nothing_that_we_started_outlives_a_server_that_ends_in_mid_turn(
    start: Callable[..., Jupyter], repository: Path, by: signal.Signals, seconds: float, agent: str
) -> None:
    jupyter = start()
    chat = jupyter.open_chat(repository)
    prompt = jupyter.prompt(chat, f"say begun\ngrandchild\n{agent}")
    jupyter.saying(chat, "grandchild ")
    assert len(marked(jupyter.runtime_id)) >= 2
    jupyter.process.send_signal(by)
    until(lambda: not marked(jupyter.runtime_id), seconds=seconds, what=f"the end of {marked(jupyter.runtime_id)}")
    jupyter.process.wait(30)

    after = start()
    assert after.open_chat(repository) == chat
    assert "begun" in "".join(after.texts(chat))
    assert after.turn(chat, prompt)["end"] == "interrupted"


def test_a_server_whose_store_is_damaged_runs_and_says_so(start: Callable[..., Jupyter], tmp_path: Path) -> None:
    store = tmp_path / "broken.sqlite"
    store.write_bytes(b"this is no database" * 1000)
    jupyter = start(f"--CoderExtension.database={store}")
    health = jupyter.ask("GET", "health")
    assert (health["status"], health["runtime_id"]) == ("degraded", "")
    reply = httpx.get(jupyter.url + "sessions", headers=jupyter.headers)
    assert (reply.status_code, reply.json()["code"]) == (503, "store_damaged")
    assert reply.json()["message"] == health["detail"]
