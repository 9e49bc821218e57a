"""A runtime over a real store, real git and the scripted agent, and a person who uses it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from coder_nb import ids
from coder_nb.core.entries import Entry, TurnEnded
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo, SessionInfo, TurnInfo
from coder_nb.core.stream import DeltaFrame, PageFrame, StateFrame
from coder_nb.core.transcript import Transcript
from coder_nb.runtime import Runtime
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent

DEADLINE = 120.0


def make_repository(path: Path) -> Path:
    """A repository with one commit."""
    path.mkdir(parents=True)
    (path / "hello.txt").write_text("hello\n")
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start"],
    ):
        subprocess.run(["git", *words], cwd=path, check=True)
    return path


class Person:
    """Somebody with a chat: prompts, waits, stops, and looks."""

    def __init__(self, runtime: Runtime, session: SessionInfo, chat: ChatInfo) -> None:
        self.runtime, self.session, self.chat = runtime, session, chat

    async def send(self, text: str, **options: Any) -> str:
        """Sends a prompt and returns its id; `agent` is the scripted one unless said otherwise."""
        options.setdefault("agent", "scripted")
        prompt = Prompt(id=options.pop("id", None) or ids.new_id(), text=text, **options)
        await self.runtime.prompt(self.chat.id, prompt)
        return prompt.id

    async def ended(self, prompt_id: str) -> TurnInfo:
        """The turn of a prompt, once it has its end."""
        return await self.until(lambda turns: next((t for t in turns if t.prompt_id == prompt_id and t.end), None))

    async def until(self, look: Callable[[tuple[TurnInfo, ...]], TurnInfo | None]) -> TurnInfo:
        async with asyncio.timeout(DEADLINE), aclosing_stream(self) as frames:
            async for _ in frames:
                if (found := look(await self.runtime.turns(self.chat.id))) is not None:
                    return found
        raise AssertionError("the stream ended")

    async def prompt(self, text: str, **options: Any) -> TurnInfo:
        return await self.ended(await self.send(text, **options))

    async def shown(self, kind: str, text: str = "") -> Entry:
        """The first entry of a kind, with a text in it, as soon as a reader sees it."""
        transcript = Transcript()
        async with asyncio.timeout(DEADLINE), aclosing_stream(self) as frames:
            async for frame in frames:
                if isinstance(frame, PageFrame):
                    transcript.apply(frame.page)
                elif isinstance(frame, DeltaFrame):
                    for delta in frame.deltas:
                        transcript.apply_delta(delta)
                for entry in transcript:
                    if entry.kind == kind and text in str(entry.body):
                        return entry
        raise AssertionError("the stream ended")

    async def asking(self, who: str) -> None:
        """Returns when somebody is asked for a permission."""
        async with asyncio.timeout(DEADLINE), aclosing_stream(self) as frames:
            async for frame in frames:
                if isinstance(frame, StateFrame) and frame.chat.asking == who:
                    return
                if (await self.runtime.get_chat(self.chat.id)).asking == who:
                    return

    async def entries(self, turn_id: str | None = None) -> list[Entry]:
        transcript, more = Transcript(), True
        while more:
            page = await self.runtime.read(self.chat.id, after=transcript.rev, limit=100_000)
            transcript.apply(page)
            more = page.more
        return [entry for entry in transcript if turn_id in (None, entry.turn_id)]

    async def said(self, turn_id: str) -> str:
        return "".join(e.body.text for e in await self.entries(turn_id) if e.kind == "text")  # type: ignore[union-attr]

    async def ends(self) -> list[str]:
        """The ends in the transcript, in order."""
        return [e.body.end for e in await self.entries() if isinstance(e.body, TurnEnded)]

    async def state(self) -> ChatInfo:
        return await self.runtime.get_chat(self.chat.id)

    @property
    def repository(self) -> Path:
        return Path(self.session.path)

    async def worktree(self) -> Path:
        session = await self.runtime.get_session(self.session.id)
        assert session.worktree is not None
        return Path(session.worktree)


@asynccontextmanager
async def aclosing_stream(person: Person) -> AsyncIterator[Any]:
    frames = person.runtime.stream(person.chat.id, tail=100_000)
    try:
        yield frames
    finally:
        await frames.aclose()  # type: ignore[attr-defined]


class Place:
    """Where tests open runtimes: one store, one repository, as many runtimes as they like, all closed at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = make_repository(root / "repository")
        self._open: list[Runtime] = []

    async def runtime(self, label: str = "a test", *, agents: dict[str, Any] | None = None, **settings: Any) -> Runtime:
        # Long enough for a busy machine where an agent does what it should; tests of one that does not give their own.
        given = {"cancel_grace": 30.0, "stop_grace": 1.0, "permission_grace": 0.3, "start_timeout": 60.0}
        given = {"drain_grace": 0.0, "replay_pace": 0.0, "database": str(self.root / "store.sqlite")} | given | settings
        known = {"scripted": scripted_agent.entry(), "other": scripted_agent.entry()} | (agents or {})
        runtime = await Runtime.open(Settings(agents=known, **given), label=label)
        self._open.append(runtime)
        return runtime

    async def person(self, runtime: Runtime | None = None, *, path: Path | None = None, **settings: Any) -> Person:
        runtime = runtime or await self.runtime(**settings)
        session = await runtime.open_session(str(path or self.repository))
        return Person(runtime, session, await runtime.open_chat(session.id))

    async def close(self) -> None:
        for runtime in self._open:
            await runtime.close()
