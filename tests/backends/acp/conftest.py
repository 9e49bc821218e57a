"""What the tests of the ACP backend share: the scripted agent, in a folder and a home of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.base import AgentSession, Opening
from coder_nb.backends.events import AnyEvent
from coder_nb.backends.registry import registry
from coder_nb.core.permissions import PermissionMode
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent
from coder_nb.warm.process import Keeper


class World:
    """A backend with the scripted agent, and what it said between prompts."""

    def __init__(self, root: Path, keeper: Keeper) -> None:
        self.cwd = root / "work"
        self.home = root / "home"
        self.cwd.mkdir()
        self.home.mkdir()
        self.keeper = keeper
        self.idle: list[AnyEvent] = []
        self.sessions: list[AgentSession] = []

    def backend(
        self, entry: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **settings: Any
    ) -> AcpBackend:
        made = Settings(
            agents={"scripted": entry or scripted_agent.entry()},
            **{"cancel_grace": 30.0, "stop_grace": 1.0, "start_timeout": 60.0, **settings},
        )
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home)} | (environ or {})
        return AcpBackend(made, registry(made.agents), self.keeper, environ=env)

    def opening(self, *, mode: PermissionMode = "ask", **fields: Any) -> Opening:
        return Opening(agent="scripted", chat_id="c", cwd=self.cwd, mode=mode, **fields)

    async def open(
        self, *, mode: PermissionMode = "ask", native_id: str | None = None, settings: Any = None, **options: Any
    ) -> AgentSession:
        backend = self.backend(scripted_agent.entry(**options), **(settings or {}))
        session = await backend.open(self.opening(mode=mode, native_id=native_id), idle_events=self.idle.append)
        self.sessions.append(session)
        return session


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    keeper = Keeper(new_id())
    made = World(tmp_path, keeper)
    yield made
    for session in made.sessions:
        await session.close()
    await keeper.close(1.0)


MakeSession = Callable[..., AgentSession]
