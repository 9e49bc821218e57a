"""How a session with Claude is begun: anew, from what it remembers, or branched off from another one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, cast
from uuid import UUID, uuid4

from claude_agent_sdk import (
    ClaudeAgentOptions,
    SessionKey,
    SessionStoreEntry,
    import_session_to_store,
    project_key_for_directory,
)
from claude_agent_sdk.types import EffortLevel, McpServerConfig

from coder_nb.backends.base import McpServer, Opening
from coder_nb.backends.claude import translate
from coder_nb.backends.claude.client import Client
from coder_nb.backends.claude.session import ClaudeSession
from coder_nb.backends.claude.session_store import ClaudeSessionStore
from coder_nb.backends.events import AnyEvent
from coder_nb.backends.processes import Spawner
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.entries import Choice
from coder_nb.errors import CoderError
from coder_nb.settings import Settings

NOT_OURS = ["EnterWorktree", "ExitWorktree"]
"""Tools that would take Claude out of the worktree that it is given."""


class Starter:
    """Makes a session and, for it, one client after another."""

    def __init__(
        self,
        spec: AgentSpec,
        opening: Opening,
        settings: Settings,
        spawner: Spawner,
        store: ClaudeSessionStore,
        *,
        program: str,
        env: Mapping[str, str],
    ) -> None:
        self._spec, self._opening, self._settings = spec, opening, settings
        self._spawner, self._store = spawner, store
        self._program, self._env = program, env
        self._source: str | None = None
        self.at: str | None = None
        """The entry up to which the session remembers; None for all."""

    async def session(self, idle_events: Callable[[AnyEvent], None]) -> ClaudeSession:
        """The session, not started yet: it knows whether it goes on with something."""
        opening = self._opening
        session = ClaudeSession(self._spec, opening, self._settings, idle_events=idle_events, starter=self)
        self._idle_events = idle_events
        wanted = opening.native_id or (opening.fork.native_id if opening.fork else None)
        if wanted is None:
            return session
        entries = await self._remembered(wanted)
        at = end_of_turn(entries, opening.fork.at) if entries and opening.fork and opening.fork.at else None
        lost = not entries or (opening.fork is not None and opening.fork.at is not None and at is None)
        session.resumed = "forgotten" if lost else "forked" if opening.fork else "resumed"
        if lost or opening.fork:
            session.state.session_id = str(uuid4())
        if not lost:
            self._source, self.at = wanted, at
        return session

    async def last_of(self, native_id: str, uuid: str) -> str | None:
        """The last entry of the turn that a message of the user has begun; None where there is no such message."""
        return end_of_turn(await self._store.load(self.key(native_id)) or [], uuid)

    async def connect(self, session: ClaudeSession, *, at: str | None, anew: bool) -> Client:
        """A client for the session, which runs."""
        session_id = session.state.session_id
        client = Client(
            self._options(session, None if anew else self._source, at=at),
            program=self._program,
            env=self._env,
            spawner=self._spawner,
            settings=self._settings,
            name=self._spec.label,
            hear=session.hear,
            lost=session.lost,
            used=session.state.used,
        )
        try:
            said = await client.start()
        except BaseException:
            await client.close()
            raise
        self._source = session_id  # a client after this one goes on with this very session
        session.models = _models(said.get("models"))
        session.efforts = _efforts(said.get("models"))
        self._idle_events(translate.commands(said.get("commands")))
        return client

    def _options(self, session: ClaudeSession, source: str | None, *, at: str | None) -> ClaudeAgentOptions:
        """With a source, a session that goes on with that one or branches off from it."""
        opening, session_id = self._opening, session.state.session_id
        is_fork = source not in (None, session_id)
        return ClaudeAgentOptions(
            cwd=opening.cwd,
            model=opening.model,
            effort=cast("EffortLevel | None", session.effort),
            permission_mode=session.mode,
            system_prompt={"type": "preset", "preset": "claude_code"},
            can_use_tool=session.can_use_tool,
            include_partial_messages=True,
            forward_subagent_text=True,
            disallowed_tools=NOT_OURS,
            mcp_servers={server.name: _mcp(server) for server in opening.mcp_servers},
            session_store=self._store,
            session_store_flush="eager",
            resume=source,
            session_id=session_id if source is None or is_fork else None,
            fork_session=is_fork,
            resume_session_at=at,
        )

    async def _remembered(self, native_id: str) -> list[SessionStoreEntry] | None:
        """What a session holds: by our store, or by Claude's own files on this machine, which go to our store then."""
        with contextlib.suppress(ValueError):
            UUID(native_id)
            key = self.key(native_id)
            found = await self._store.load(key)
            if found is None:
                with contextlib.suppress(OSError, ValueError, CoderError):
                    await import_session_to_store(native_id, self._store, directory=str(self._opening.cwd))
                    found = await self._store.load(key)
            return found
        return None

    def key(self, native_id: str) -> SessionKey:
        return {"project_key": project_key_for_directory(self._opening.cwd), "session_id": native_id}


def end_of_turn(entries: list[SessionStoreEntry], uuid: str) -> str | None:
    """The last entry of the turn that the user's message `uuid` began; None where there is no such message."""
    last: str | None = None
    for entry in entries:
        if entry.get("uuid") == uuid:
            last = uuid
        elif last is not None and not entry.get("isSidechain") and is_prompt(entry):
            return last
        elif last is not None and entry["type"] in ("assistant", "user", "attachment", "system"):
            last = entry.get("uuid", last) if not entry.get("isSidechain") else last
    return last


def is_prompt(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is what a user wrote: neither a tool's result nor Claude's note to itself."""
    message = entry.get("message")
    if entry.get("type") != "user" or entry.get("isMeta") or not isinstance(message, dict):
        return False
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    is_result = any(isinstance(part, dict) and part.get("type") == "tool_result" for part in parts)
    return bool(texts) and not is_result and not str(texts[0]).startswith("[Request interrupted")


def _mcp(server: McpServer) -> McpServerConfig:
    if server.url:
        if server.transport == "sse":
            return {"type": "sse", "url": server.url, "headers": dict(server.headers)}
        return {"type": "http", "url": server.url, "headers": dict(server.headers)}
    command, *args = server.command
    return {"type": "stdio", "command": command, "args": args, "env": dict(server.env)}


def _models(listed: Any) -> tuple[Choice, ...]:
    return tuple(
        Choice(
            id=str(each["value"]),
            label=str(each.get("displayName") or each["value"]),
            description=str(each.get("description") or ""),
        )
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and each.get("value")
    )


def _efforts(listed: Any) -> dict[str, tuple[str, ...]]:
    """How much each model may be told to think, by its name; those that cannot be told are left out."""
    return {
        str(each["value"]): tuple(map(str, levels))
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict)
        and each.get("value")
        and isinstance(levels := each.get("supportedEffortLevels"), list)
    }
