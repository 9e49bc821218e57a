"""A real Jupyter server in a process of its own, with the scripted agent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from coder_nb.ids import new_id
from coder_nb.testing import scripted_agent
from coder_nb.warm.register import MARKER

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

    def __init__(
        self,
        home: Path,
        *arguments: str,
        agents: dict[str, Any] | None = None,
        alone: bool = False,
        extensions: Sequence[str] = (),
    ) -> None:
        """With `agents` beside the scripted one and `extensions` beside ours; `alone`, without the others that are
        installed."""
        others = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook", "notebook_shim", "nbclassic")
        switches = dict.fromkeys(("jupyter_extension", *extensions), True) | dict.fromkeys(
            others if alone else (), False
        )
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
                    f"--ServerApp.jpserver_extensions={switches}",
                    f"--CoderExtension.agents={json.dumps({'scripted': scripted_agent.entry()} | (agents or {}))}",
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
