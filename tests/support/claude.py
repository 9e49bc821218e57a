"""Claude's real program under the real SDK, over a scripted model, a keeper and a store of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from support.anthropic_model import AnthropicModel, Request, Say, anthropic_model, prompts, results, said

from coder_nb.backends.base import AgentSession, Asked, Opening
from coder_nb.backends.claude.backend import ClaudeBackend
from coder_nb.backends.claude.session import ClaudeSession
from coder_nb.backends.events import AnyEvent, Done, Event, PermissionAsked, QuestionAsked, TextDelta, UsageReported
from coder_nb.backends.history import History
from coder_nb.backends.registry import registry
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.store.open import open_store
from coder_nb.warm.process import Keeper

LIMIT = 60.0
MODEL = "claude-sonnet-5"
_OPTIONS = [{"label": "Red", "description": "warm"}, {"label": "Blue", "description": "cold"}]
QUESTION = {"question": "Which colour?", "header": "Colour", "options": _OPTIONS, "multiSelect": False}
Script = Callable[[Request], Say]


class World:
    """A backend, its model, its worktree and its store; `root` holds all of it."""

    def __init__(self, root: Path, keeper: Keeper, history: History, script: Script | None = None) -> None:
        self.root, self.cwd, self.home, self.history = root, root / "work", root / "home", history
        self.cwd.mkdir(exist_ok=True)
        self.home.mkdir(exist_ok=True)
        self.keeper = keeper
        self.script = script or self.usual
        self.idle: list[AnyEvent] = []
        self._heard = asyncio.Event()
        self.model: AnthropicModel
        self.backend: ClaudeBackend

    def start(self, model: AnthropicModel, fields: dict[str, Any]) -> None:
        """Makes the backend; `fields` are settings, but for `env` and `entry`, which are the agent's."""
        self.model = model
        env = {
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            **fields.pop("env", {}),
        }
        agents = {"claude": {"env": env, "enabled": True, **fields.pop("entry", {})}}
        settings = Settings(**{"agents": agents, "stop_grace": 2.0, "start_timeout": LIMIT, **fields})
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "SECRET": "canary"}
        self.backend = ClaudeBackend(
            settings, registry(agents), self.keeper, self.history, spool=self.root / "spool", environ=environ
        )

    def opening(self, **fields: Any) -> Opening:
        return Opening(agent="claude", chat_id="c", **{"cwd": self.cwd, "model": MODEL, **fields})

    @asynccontextmanager
    async def opened(self, **fields: Any) -> AsyncIterator[ClaudeSession]:
        session = await self.backend.open(self.opening(**fields), idle_events=self._hear)
        assert isinstance(session, ClaudeSession)
        try:
            yield session
        finally:
            await session.close()

    def _hear(self, event: AnyEvent) -> None:
        self.idle.append(event)
        self._heard.set()

    async def heard(self, kind: type[Event]) -> None:
        """Returns once such an event was heard between two turns."""
        while not any(isinstance(event, kind) for event in self.idle):
            self._heard.clear()
            await self._heard.wait()

    def kill(self) -> None:
        """Kills all of Claude's processes, as a lack of memory does."""
        for process in self.keeper._processes.values():
            os.kill(process.pid, signal.SIGKILL)

    def usual(self, request: Request) -> Say:
        """What the model says where a test has nothing else in mind; the first word of a prompt says what for."""
        asked, result = said(request), results(request)
        word, _, rest = asked.partition(" ")
        if result:
            return Say(("Then: ", result[:200]))
        match word:
            case "die":
                self.kill()
            case "write":
                name, _, text = rest.partition(" ")
                call = ("Write", {"file_path": str(self.cwd / name), "content": text})
                return Say(("Writing it.",), (call,), thinking="A plan.")
            case "run":
                return Say(("Running it.",), (("Bash", {"command": rest, "description": "a command"}),))
            case "ask":
                return Say((), (("AskUserQuestion", {"questions": [QUESTION]}),))
            case "endless":
                return Say(tuple(f"w{number} " for number in range(2000)), pause=0.02)
            case "fail":
                return Say((f"it fails: {rest}",), status=int(rest))
            case "recall":
                told = [each.removeprefix("remember ") for each in prompts(request) if each.startswith("remember ")]
                return Say(("I remember: ", ", ".join(told) or "nothing", "."))
        return Say(("You said ", "this: ", asked[-200:]))


async def turn(session: AgentSession, text: str, *, option: str = "once", **fields: Any) -> list[AnyEvent]:
    """A whole turn; permissions get that answer, questions are declined."""
    events: list[AnyEvent] = []
    async with asyncio.timeout(LIMIT):
        async for event in session.prompt(Asked(text=text, user_text=text, **fields)):
            events.append(event)
            if isinstance(event, PermissionAsked):
                await session.answer(event.request_id, option)
            if isinstance(event, QuestionAsked):
                await session.reply(event.request_id, None)
    assert [isinstance(event, Done) for event in events] == [False] * (len(events) - 1) + [True]
    return events


def text_of(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.parent is None)


def done_of(events: list[AnyEvent]) -> Done:
    last = events[-1]
    assert isinstance(last, Done)
    return last


def usage_of(events: list[AnyEvent]) -> list[UsageReported]:
    return [event for event in events if isinstance(event, UsageReported)]


@asynccontextmanager
async def worlds(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes worlds, each over the same store unless it is given another `root`; all of them end with the block."""
    async with AsyncExitStack() as stack:

        async def another(script: Script | None = None, *, root: Path = tmp_path, **fields: Any) -> World:
            keeper = Keeper(new_id())
            stack.push_async_callback(keeper.close, 2.0)
            store = await open_store(Settings(database=str(root / "store.sqlite")))
            stack.push_async_callback(store.close)
            world = World(root, keeper, store.history, script)
            world.start(await stack.enter_async_context(anthropic_model(world.script)), fields)
            stack.push_async_callback(world.backend.close)
            return world

        yield another
