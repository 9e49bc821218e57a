"""Our share of a warm turn and of a Stop: the same agent driven by us, and by the bare protocol.

A runtime with a real store and a real repository, in this process; git has its own rows, as its time is the
repository's. A second turn must start no process but git's and make no native session, which is asserted.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.row import Row
from coder_nb.core.entries import Text, TurnEnded
from coder_nb.core.prompts import Prompt
from coder_nb.core.stream import PageFrame
from coder_nb.ids import new_id
from coder_nb.runtime import Runtime
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent
from coder_nb.worktrees.worktrees import Worktrees

ROUNDS = 30
AGENT = "scripted"


def measure() -> list[Row]:
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder) / "repository")
        async with Bare.started(repository) as bare, Ours.opened(Path(folder), repository) as ours:
            await ours.turn("say hi")
            rows = await _turns(ours, bare)
            return [*rows, *await _stops(ours, bare)]


async def _turns(ours: Ours, bare: Bare) -> list[Row]:
    before = await ours.facts()
    taken, git, counts, reference, worked = [], [], [], [], []
    for _ in range(ROUNDS):
        with ours.git:
            start = time.process_time()
            taken.append(await ours.turn("say hi"))
            worked.append(time.process_time() - start)
        git.append(ours.git.seconds)
        counts.append(ours.git.processes)
        reference.append(await bare.turn("say hi"))
    assert await ours.facts() == before, "a warm turn started a process or made a native session"
    return [
        Row(
            "a warm turn without git",
            _ms([a - b for a, b in zip(taken, git, strict=True)]),
            "ms",
            10,
            _ms(reference),
            "over",
            f"the bare protocol; our CPU {_ms(worked):.1f} ms with git's starts; no process, no native session made",
        ),
        Row("git in a warm turn", _ms(git), "ms", None, note=f"{statistics.median(counts):.0f} processes"),
    ]


async def _stops(ours: Ours, bare: Bare) -> list[Row]:
    taken, git, reference = [], [], []
    for _ in range(ROUNDS):
        taken.append(await ours.stopped())
        git.append(ours.git.seconds)
        reference.append(await bare.stopped())
    return [
        Row(
            "Stop until the turn is cancelled, without git",
            _ms([a - b for a, b in zip(taken, git, strict=True)]),
            "ms",
            20,
            _ms(reference),
            "over",
            "the bare protocol; the agent's own time",
        ),
        Row("git after a Stop", _ms(git), "ms", None),
    ]


def _ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e3


def make_repository(path: Path) -> Path:
    """A repository of a hundred files."""
    path.mkdir(parents=True)
    for number in range(100):
        (path / f"file{number}.txt").write_text(f"file {number}\n" * 20)
    person = ["-c", "user.name=Ana", "-c", "user.email=ana@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*person, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], cwd=path, check=True)
    return path


class Bare:
    """The agent, driven by the protocol and nothing else."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self._number = 0

    @classmethod
    @asynccontextmanager
    async def started(cls, folder: Path) -> AsyncIterator[Bare]:
        program = [sys.executable, scripted_agent.__file__]
        pipe = asyncio.subprocess.PIPE
        env = {**os.environ, "HOME": str(folder.parent)}
        process = await asyncio.create_subprocess_exec(*program, cwd=folder, stdin=pipe, stdout=pipe, env=env)
        try:
            bare = cls(process)
            await bare._call("initialize", protocolVersion=1, clientCapabilities={})
            await bare._call("session/new", cwd=str(folder), mcpServers=[])
            yield bare
        finally:
            process.kill()
            await process.wait()

    async def turn(self, text: str) -> float:
        start = time.perf_counter()
        await self._call("session/prompt", sessionId="", prompt=[{"type": "text", "text": text}])
        return time.perf_counter() - start

    async def stopped(self) -> float:
        """The time from a cancellation to the prompt's answer."""
        number = self._send("session/prompt", sessionId="", prompt=[{"type": "text", "text": "say on; hang"}])
        await self._heard(lambda message: message.get("method") == "session/update")
        start = time.perf_counter()
        self._in.write(msgspec.json.encode({"jsonrpc": "2.0", "method": "session/cancel", "params": {}}) + b"\n")
        await self._heard(lambda message: message.get("id") == number)
        return time.perf_counter() - start

    async def _call(self, method: str, **params: Any) -> None:
        number = self._send(method, **params)
        await self._heard(lambda message: message.get("id") == number)

    def _send(self, method: str, **params: Any) -> int:
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._in.write(msgspec.json.encode(message) + b"\n")
        return self._number

    async def _heard(self, expected: Callable[[dict[str, Any]], bool]) -> None:
        while not expected(msgspec.json.decode(await self._out.readline())):
            pass


class Git:
    """The worktrees of a runtime, with a clock: the time in them and the processes started within a `with`."""

    def __init__(self, worktrees: Worktrees) -> None:
        self._worktrees = worktrees
        self._counting = False
        self.seconds, self.processes = 0.0, 0
        sys.addaudithook(self._heard)

    def __enter__(self) -> None:
        self.seconds, self.processes, self._counting = 0.0, 0, True

    def __exit__(self, *_: object) -> None:
        self._counting = False

    def _heard(self, event: str, arguments: Any) -> None:
        if event == "subprocess.Popen" and self._counting:
            assert Path(str(arguments[0])).name == "git", f"{arguments[0]} was started"
            self.processes += 1

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._worktrees, name)

        async def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return await method(*args, **options)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


class Ours:
    """A runtime with one chat, and somebody who follows it."""

    def __init__(self, runtime: Runtime, git: Git, session_id: str, chat_id: str) -> None:
        self.runtime, self.git = runtime, git
        self._session_id, self._chat_id = session_id, chat_id

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, repository: Path) -> AsyncIterator[Ours]:
        agents = {AGENT: scripted_agent.entry()}
        settings = Settings(database=str(folder / "store.sqlite"), agents=agents, delta_interval=0.0)
        runtime = await Runtime.open(settings, label="a benchmark")
        try:
            context = runtime._context
            git = Git(context.worktrees)
            context.worktrees = git  # type: ignore[assignment]  # it stands for them, with a clock
            session = await runtime.open_session(str(repository))
            chat = await runtime.open_chat(session.id)
            yield cls(runtime, git, session.id, chat.id)
        finally:
            await runtime.close()

    async def turn(self, text: str) -> float:
        """The time from a prompt to its turn's end, as somebody sees it who follows the chat."""
        async with self._following() as frames:
            start = time.perf_counter()
            await self._prompt(text)
            await self._seen(frames, TurnEnded)
            return time.perf_counter() - start

    async def stopped(self) -> float:
        """The time from a Stop to the turn's end."""
        async with self._following() as frames:
            await self._prompt("say on; hang")
            await self._seen(frames, Text)
            with self.git:
                start = time.perf_counter()
                await self.runtime.stop(self._chat_id)
                await self._seen(frames, TurnEnded)
                return time.perf_counter() - start

    async def facts(self) -> object:
        """The agent's native session and process, and all processes that descend from this one."""
        [agent] = await self.runtime.agent_sessions(self._session_id)
        return agent.native_id, agent.pid, sorted(child.pid for child in psutil.Process().children(recursive=True))

    async def _prompt(self, text: str) -> None:
        await self.runtime.prompt(self._chat_id, Prompt(id=new_id(), text=text, agent=AGENT, mode="bypass"))

    @asynccontextmanager
    async def _following(self) -> AsyncIterator[AsyncIterator[Any]]:
        frames = self.runtime.stream(self._chat_id, tail=1)
        try:
            await anext(frames)
            await anext(frames)  # what there was before
            yield frames
        finally:
            await frames.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def _seen(self, frames: AsyncIterator[Any], kind: type) -> None:
        async with asyncio.timeout(20):
            async for frame in frames:
                if isinstance(frame, PageFrame) and any(isinstance(entry.body, kind) for entry in frame.page.entries):
                    return
