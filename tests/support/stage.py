"""A real agent on the ACP backend, its scripted model, its folder, and what it says."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.base import AgentSession, Asked, ForkOf, Opening
from coder_nb.backends.events import AnyEvent, CommandsChanged, Done, PermissionAsked, TextDelta, UsageReported
from coder_nb.backends.registry import registry
from coder_nb.core.permissions import PermissionMode
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import Model, Tap, otherwise, scripted_model
from coder_nb.warm.process import Keeper

LIMIT = 90.0
LONG = pytest.mark.skipif("CODER_NB_TEST_LONG" not in os.environ, reason="long tier: `scripts/test --long`")
NEWER = [name for name in real_agents.OVER_ACP if name not in real_agents.AGENTS]


def there(name: str) -> str:
    """An agent that is installed; in CI one that is not is a failure."""
    own = (name,) if name in real_agents.OVER_ACP else ()  # the others are libraries
    for needed in (*own, "llmock", "node"):
        try:
            real_agents.program(needed)
        except real_agents.Missing as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
    return name


class Stage:
    """One agent, its model, its folder, and what it says."""

    def __init__(self, agent: str, root: Path, model: Model, keeper: Keeper, fields: dict[str, Any]) -> None:
        self.agent = agent
        self.model = model
        self.cwd = root / "work"
        self.wire = Tap(keeper)
        self.idle: list[AnyEvent] = []
        self.knows_commands = asyncio.Event()
        """Set when it has told its commands between two turns; some do so seconds after they have started."""
        entry = real_agents.entry(agent, model.url)
        entry["env"] = entry.get("env", {}) | fields
        settings = Settings(agents={agent: entry}, start_timeout=60.0, cancel_grace=10.0, stop_grace=2.0)
        env = real_agents.environ(root / "home")
        self.backend = AcpBackend(settings, registry(settings.agents), self.wire, environ=env)

    @asynccontextmanager
    async def opened(
        self, mode: PermissionMode, native_id: str | None = None, fork: ForkOf | None = None
    ) -> AsyncIterator[AgentSession]:
        opening = Opening(agent=self.agent, chat_id="c", cwd=self.cwd, mode=mode, native_id=native_id, fork=fork)
        session = await self.backend.open(opening, idle_events=self._hear)
        try:
            yield session
        finally:
            await session.close()

    def _hear(self, event: AnyEvent) -> None:
        self.idle.append(event)
        if isinstance(event, CommandsChanged):
            self.knows_commands.set()

    async def turn(
        self, session: AgentSession, text: str, mode: PermissionMode, *, allow: bool | None = None
    ) -> list[AnyEvent]:
        """A whole turn; permissions are answered as said, and there are none where nothing is said."""
        events: list[AnyEvent] = []
        async with asyncio.timeout(LIMIT):
            async for event in session.prompt(Asked(text=text, user_text=text, mode=mode)):
                events.append(event)
                if isinstance(event, PermissionAsked):
                    assert allow is not None, event
                    kind = "allow_once" if allow else "reject_once"
                    await session.answer(event.request_id, next(o.id for o in event.options if o.kind == kind))
        assert isinstance(events[-1], Done)
        return events


@asynccontextmanager
async def staged(agent: str, root: Path, fixtures: Sequence[dict[str, Any]], **fields: Any) -> AsyncIterator[Stage]:
    keeper = Keeper(new_id())
    try:
        with scripted_model(root / "model", [*fixtures, *otherwise()]) as model:
            yield Stage(agent, root, model, keeper, fields)
    finally:
        await keeper.close(2.0)


def text_of(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end_of(events: list[AnyEvent]) -> Any:
    last = events[-1]
    return (last.end, last.alive) if isinstance(last, Done) else last


def usage_of(events: list[AnyEvent]) -> Iterator[tuple[int | None, int | None]]:
    return ((e.tokens.input, e.tokens.output) for e in events if isinstance(e, UsageReported))


def past_the_first_minute(home: Path) -> None:
    """gemini loses a session that is gone on with in the minute in which it began: its file is named by that."""
    for chat in (home / ".gemini").glob("tmp/*/chats/session-*"):
        chat.rename(chat.with_name(re.sub(r"T\d\d-\d\d", "T00-00", chat.name)))
