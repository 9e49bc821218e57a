"""Our share of a streamed chunk: from the agent's line being there to its text being stored and announced.

The deliberate waits are left out: each chunk is committed by itself at once, which is the most that one can cost; in a
running turn a tenth of a second's chunks share a commit.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, cast

import aiosqlite
import msgspec

from benchmarks.append import entries, fresh
from benchmarks.row import Row
from coder_nb.backends.acp.session import AcpSession
from coder_nb.backends.base import Asked, Opening
from coder_nb.backends.events import AnyEvent
from coder_nb.backends.processes import Spawner
from coder_nb.backends.registry import AgentSpec
from coder_nb.ids import new_id
from coder_nb.runtime.feed import Feed
from coder_nb.runtime.recorder import Recorder
from coder_nb.runtime.writer import Writer
from coder_nb.settings import Settings
from coder_nb.store.base import Batch
from coder_nb.store.open import SqlStore, open_store

SIZES = (100, 10_000, 100_000)
ROUNDS = 300
INSERT = "INSERT INTO chunks (chat_id, entry_id, offset, rev, text) VALUES (?, ?, ?, ?, ?)"


def measure() -> list[Row]:
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        store = await open_store(Settings(database=str(path)))
        try:
            async with aiosqlite.connect(path) as driver:
                await driver.execute("PRAGMA synchronous = NORMAL")
                chats = [await Chat.open(store, size) for size in SIZES]
                return await _compare(chats, driver)
        finally:
            await store.close()


async def _compare(chats: list[Chat], driver: aiosqlite.Connection) -> list[Row]:
    bare: list[float] = []
    for number in range(ROUNDS):
        for chat in chats:
            await chat.chunk(f"word{number} ")
        bare.append(await _bare(driver, chats[0], number))
    reference = statistics.median(bare) * 1e3
    found = {chat.size: statistics.median(chat.taken[ROUNDS // 10 :]) * 1e3 for chat in chats}
    rows = [
        Row(f"a streamed chunk, at {size:,} entries", taken, "ms", 1.0, reference, note="aiosqlite, decode and insert")
        for size, taken in found.items()
    ]
    least, most = found[SIZES[0]], found[SIZES[-1]]
    return [*rows, Row("a streamed chunk, 100,000 to 100 entries", most, "ms", 1.2, least, "ratio")]


async def _bare(driver: aiosqlite.Connection, chat: Chat, number: int) -> float:
    """The line decoded and its text inserted, and nothing else."""
    line = update(f"word{number} ")
    start = time.perf_counter()
    text = msgspec.json.decode(line)["params"]["update"]["content"]["text"]
    await driver.execute(INSERT, (chat.id, "bare", number, 1, text.encode()))
    await driver.commit()
    return time.perf_counter() - start


class Chat:
    """A chat of some size in which an agent is speaking."""

    def __init__(self, chat_id: str, size: int, writer: Writer, recorder: Recorder, agent: Lines) -> None:
        self.id, self.size = chat_id, size
        self.taken: list[float] = []
        self._writer, self._recorder, self._agent = writer, recorder, agent

    @classmethod
    async def open(cls, store: SqlStore, size: int) -> Chat:
        lease, chat_id = await fresh(store)
        for _ in range(size // 100):
            await store.log.commit(lease, chat_id, Batch(entries=entries(chat_id, 100)))
        recorder = Recorder(
            chat_id=chat_id, turn_id=new_id(), agent="lines", epoch="epoch", now=lambda: 1, new_id=new_id
        )
        feed = Feed()
        feed.subscribe()
        writer = Writer(store.log, lease, recorder, feed, interval=0.1)
        agent = Lines(chat_id)
        await agent.start()
        return cls(chat_id, size, writer, recorder, agent)

    async def chunk(self, text: str) -> None:
        """One more chunk, all the way."""
        line = update(text)
        start = time.perf_counter()
        self._recorder.on(await self._agent.say(line))
        self._writer.touch()
        await self._writer.commit()
        self.taken.append(time.perf_counter() - start)


def update(text: str) -> bytes:
    """An agent's line with some text."""
    content = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    message = {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "lines", "update": content}}
    return msgspec.json.encode(message) + b"\n"


class Lines:
    """An agent session of ours over an agent that is no process: what it writes is what `say` is given."""

    pid = 0
    returncode: int | None = None

    def __init__(self, chat_id: str) -> None:
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._session = AcpSession(
            self,
            AgentSpec(name="lines", label="Lines", argv=("lines",)),
            Opening(agent="lines", chat_id=chat_id, cwd=Path("/")),
            Settings(),
            env={},
            spawner=cast("Spawner", None),  # it starts nothing for this agent
            idle_events=cast("Callable[[AnyEvent], None]", [].append),
        )

    async def start(self) -> None:
        await self._session.start("0")
        events = self._session.prompt(Asked(text="speak", user_text="speak"))
        self._events = cast("AsyncGenerator[AnyEvent, None]", events)

    async def say(self, line: bytes) -> AnyEvent:
        """The event that a line becomes."""
        self._out.put_nowait(line)
        return await anext(self._events)

    async def read(self, limit: int = 65536) -> bytes:
        return await self._out.get()

    async def write(self, data: bytes) -> None:
        message: dict[str, Any] = msgspec.json.decode(data)
        results = {"initialize": {"protocolVersion": 1}, "session/new": {"sessionId": "lines"}}
        if (result := results.get(message["method"])) is not None:
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            self._out.put_nowait(msgspec.json.encode(answer) + b"\n")

    def stderr_tail(self) -> str:
        return ""

    def explain(self) -> str:
        return ""

    async def wait(self) -> int:
        return 0

    async def stop(self, grace: float = 5.0) -> None:
        """There is nothing to stop."""
