"""A Jupyter server in a home of its own, for the rows that need one."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import psutil

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "benchmark"


class Server:
    """A server that answers, how long that took and how much work it was, and its REST interface."""

    def __init__(self, process: psutil.Popen, home: Path, port: int) -> None:
        self.process, self.home = process, home
        self.url = f"http://127.0.0.1:{port}/"
        self._open = build_opener(ProxyHandler({})).open
        self.seconds, self.worked = 0.0, 0.0

    def call(self, method: str, route: str, body: Any = None) -> Any:
        """A call of one of our routes."""
        return self._request(method, f"coder-nb/api/v1/{route}", body)

    def await_answer(self, since: float) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self._request("GET", "api")
                self.seconds, self.worked = time.perf_counter() - since, self.cpu()
                return
            except (URLError, ConnectionError):
                assert self.process.poll() is None, "the server has ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.005)

    def cpu(self) -> float:
        """The seconds for which it has worked so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def await_runtime(self) -> None:
        """Returns when the runtime has opened."""
        deadline = time.monotonic() + 60
        while self.call("GET", "health")["status"] != "ok":
            assert time.monotonic() < deadline, "the runtime does not open"
            time.sleep(0.05)

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        with self._open(Request(self.url + path, data, headers, method=method), timeout=30) as answer:
            said = answer.read()
        return json.loads(said) if said else None


@contextmanager
def server(variables: Mapping[str, str] | None = None, *, extension: bool = True) -> Iterator[Server]:
    """Runs `jupyter server` until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {
            "ip": "127.0.0.1",
            "open_browser": False,
            "allow_root": True,
            "jpserver_extensions": {"jupyter_extension": extension},
        }
        (home / "config").mkdir()
        (home / "config" / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": settings}))
        command = [sys.executable, "-m", "jupyter_server", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
        env = _environment(home) | dict(variables or {})
        began = time.perf_counter()
        with (home / "log").open("wb") as log:
            process = psutil.Popen(command, cwd=home, env=env, stdout=log, stderr=log)
        try:
            running = Server(process, home, port)
            running.await_answer(began)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(30)
            except psutil.TimeoutExpired:
                process.kill()


def _environment(home: Path) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "CODER_NB"))}
    return ours | {
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
    }
