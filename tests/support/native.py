"""The native agent over real HTTP and a keeper, and a person who prompts it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.history import MemoryHistory
from support.model import Say, ScriptedModel

from coder_nb.backends.base import AgentSession, Asked, ForkOf, Opening
from coder_nb.backends.events import AnyEvent, Done, PermissionAsked
from coder_nb.backends.native.backend import NativeBackend
from coder_nb.backends.registry import registry
from coder_nb.core.permissions import PermissionMode
from coder_nb.settings import Settings
from coder_nb.warm.process import Keeper

Script = Callable[[dict[str, Any]], Say]


class World:
    """A backend, its model, its worktree and its store."""

    def __init__(self, model: ScriptedModel, cwd: Path, keeper: Keeper, home: Path) -> None:
        self.model, self.cwd, self.history = model, cwd, MemoryHistory()
        agents = {"native": {"model": "openai/scripted", "base_url": model.url}}
        settings = Settings(agents=agents, stop_grace=1.0)
        self.environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "OPENAI_API_KEY": "sk-secret-key"}
        self.backend = NativeBackend(settings, registry(settings.agents), keeper, self.history, environ=self.environ)
        self.idle: list[AnyEvent] = []

    @asynccontextmanager
    async def opened(self, native_id: str | None = None, fork: ForkOf | None = None) -> AsyncIterator[AgentSession]:
        opening = Opening(agent="native", chat_id="c", cwd=self.cwd, native_id=native_id, fork=fork)
        session = await self.backend.open(opening, idle_events=self.idle.append)
        try:
            yield session
        finally:
            await session.close()


async def turn(
    session: AgentSession, text: str, mode: PermissionMode = "ask", *, option: str | None = None, **given: Any
) -> list[AnyEvent]:
    """A whole turn; each permission is answered by that option."""
    events: list[AnyEvent] = []
    async for event in session.prompt(Asked(text=text, user_text=text, mode=mode, **given)):
        events.append(event)
        if isinstance(event, PermissionAsked):
            await session.answer(event.request_id, option)
    assert isinstance(events[-1], Done)
    return events
