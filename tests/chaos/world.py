"""A Jupyter server, its lives, the way to it, and all that can be seen of it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import psutil
from chaos.door import Door
from support.jupyter import Jupyter

from coder_nb.client.find import Server
from coder_nb.client.remote import Remote
from coder_nb.errors import ConnectionLost
from coder_nb.warm.process import KEEPER
from coder_nb.warm.register import MARKER

T = TypeVar("T")
DEADLINE = 90.0
"""Seconds for what must happen at last, on the busiest machine."""


class World:
    """One home with one store; servers live and die in it."""

    def __init__(self, home: Path, *, agents: dict[str, Any] | None = None, **settings: object) -> None:
        self.home = home
        self.door = Door()
        self.server: Jupyter
        self.marks: set[str] = set()
        """The runtimes that have lived here, by which their processes are known."""
        self.happened: list[str] = []
        self._agents = agents
        self._settings = [f"--CoderExtension.{name}={value}" for name, value in settings.items()]
        self._said: Server
        self._remote: Remote
        self._lives = asyncio.Event()
        self._began = time.monotonic()

    def note(self, what: str) -> None:
        self.happened.append(f"{time.monotonic() - self._began:7.2f} {what}")

    # Lives -----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """A new life of the server."""
        if not self.door.port:
            await self.door.build()
        self.server = Jupyter(self.home, *self._settings, agents=self._agents, alone=True)
        await asyncio.to_thread(self.server.connected)
        self._said = msgspec.json.decode(self.server.file.read_bytes(), type=Server)
        self.marks.add(self.server.runtime_id)
        self.door.lead(urlsplit(self._said.url).port)
        self._remote = self._way()
        self._lives.set()
        self.note(f"the server lives: {self.server.process.pid}")

    async def end(self, by: signal.Signals) -> None:
        """The end of that life, and of all connections."""
        lived = self._lives.is_set()  # or it is ended while it starts
        self._lives.clear()
        self.door.lead(None)
        self.note(f"the server is ended by {by.name}")
        self.server.process.send_signal(by)
        self.server.process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(self.server.process.wait, DEADLINE)
        self.door.cut()
        if lived:
            await self._remote.close()
        await until(lambda: not self.processes(), lambda: f"the end of {self.processes()} (law 11)")

    async def close(self) -> None:
        if getattr(self, "server", None) is not None and self.server.process.poll() is None:
            await self.end(signal.SIGKILL)
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self.door.port:
            await self.door.close()

    async def unused(self) -> None:
        """Returns when nobody is connected to the server any more."""
        await self._remote.close()
        self._remote = self._way()
        self.door.cut()
        here = self.server.process.pid
        await until(lambda: not _connected(here), lambda: f"the end of {_connected(here)}")

    def _way(self) -> Remote:
        return Remote(msgspec.structs.replace(self._said, url=f"http://127.0.0.1:{self.door.port}/"))

    async def ask(self, call: Callable[[Remote], Awaitable[T]]) -> T:
        """What the server answers, however often the way to it breaks meanwhile."""
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(ConnectionLost):
                    return await call(await self.reached())
                await asyncio.sleep(0.05)

    async def reached(self) -> Remote:
        """The way to the server, once it lives."""
        await self._lives.wait()
        return self._remote

    # What can be seen of it ------------------------------------------------------------------------------------------

    def processes(self, program: str = "") -> list[psutil.Process]:
        """What the runtimes have started and is alive, the server itself left out."""
        found = []
        for process in psutil.process_iter():
            try:
                environ = process.environ()
                mine = {environ.get(MARKER), environ.get(KEEPER)} & self.marks
                if mine and process.status() != psutil.STATUS_ZOMBIE and program in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def agents(self) -> list[psutil.Process]:
        return [*self.processes("scripted_agent.py"), *self.processes("/opencode")]

    def keepers(self) -> list[psutil.Process]:
        """The keepers and the holders below them."""
        return self.processes("keeper.py")

    def gits(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(self.server.process.pid).children(recursive=True)
            return [process for process in below if _name(process) == "git"]
        return []

    @property
    def store(self) -> Path:
        return self.home / "data" / "coder-nb" / "store.sqlite"

    def rows(self, query: str, *given: object) -> list[Any]:
        """What the store says; the server must be dead or at rest."""
        with contextlib.closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as store:
            return store.execute(query, given).fetchall()

    def lock_store(self, seconds: float) -> None:
        """Writes nothing, and lets nobody else write: a disk that takes that long."""
        with contextlib.closing(sqlite3.connect(self.store, timeout=DEADLINE, isolation_level=None)) as store:
            store.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            store.execute("ROLLBACK")

    def holdings(self) -> Holdings:
        return Holdings(self.server.process.pid)

    def log(self) -> str:
        return self.server.log.read_text(errors="replace")


class Holdings:
    """What a process holds at a moment."""

    def __init__(self, pid: int) -> None:
        process = psutil.Process(pid)
        self.memory = process.memory_full_info().uss
        self.threads = process.num_threads()
        self.files = Counter(_links(pid))
        self.listening = {c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
        self.children = Counter(_called(child) for child in process.children(recursive=True))


def _links(pid: int) -> Iterable[str]:
    """What each open file of a process is: its path, or its kind where it has none."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/{pid}/fd/{number}").partition(":[")[0]


def _connected(pid: int) -> list[object]:
    """Who has come in to a process over the network."""
    found = psutil.Process(pid).net_connections("tcp")
    own = {c.laddr for c in found if c.status == psutil.CONN_LISTEN}
    return [c.raddr for c in found if c.laddr in own and c.status != psutil.CONN_LISTEN]


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _called(process: psutil.Process) -> str:
    """Its command, without the numbers that each of its kind has of its own."""
    try:
        return re.sub(r"\d+", "#", " ".join(process.cmdline())[:200])
    except psutil.Error:
        return ""


async def until(seen: Callable[[], object], what: Callable[[], object]) -> None:
    """Returns when something is so; says what is there instead where it never is."""
    deadline = time.monotonic() + DEADLINE
    while not seen():
        assert time.monotonic() < deadline, f"after {DEADLINE:.0f} s still not: {what()}"
        await asyncio.sleep(0.05)


def make_repository(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "hello.txt").write_text("hello\n")
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], cwd=path, check=True)
    return path


def git(path: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=path, check=True, capture_output=True, text=True).stdout
