"""Opens agent sessions with Claude by its Agent SDK; loads the SDK at the first one."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from coder_nb.backends.base import AgentSession, Opening, Probe
from coder_nb.backends.claude import resumes
from coder_nb.backends.claude.session_store import ClaudeSessionStore
from coder_nb.backends.events import AnyEvent
from coder_nb.backends.history import History
from coder_nb.backends.processes import Spawner
from coder_nb.backends.program import Programs
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.core.agents import NativeSession
from coder_nb.errors import AgentFailed, AgentNotInstalled, AgentTimeout, AgentUnavailable, CoderError
from coder_nb.settings import Settings

if TYPE_CHECKING:
    from coder_nb.backends.claude.session import ClaudeSession

INSTALL = 'pip install "coder-nb[claude]"'
SPACE = "coder-nb-claude"


class ClaudeBackend:
    """Every agent whose registry entry has the backend ``claude``; its `argv` may name another program of Claude."""

    def __init__(
        self,
        settings: Settings,
        specs: Mapping[str, AgentSpec],
        spawner: Spawner,
        history: History,
        *,
        spool: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings, self._specs, self._spawner = settings, specs, spawner
        self._environ = os.environ if environ is None else environ
        self._programs = Programs(settings, spawner, environ)
        self.store = ClaudeSessionStore(history, spool, space=SPACE, anywhere=True)
        self._swept = False

    async def probe(self, agent: str) -> Probe:
        """Whether the SDK is installed with its program, and whether the user seems to be logged in."""
        spec = self._specs[agent]
        try:
            path = self.program(spec)
        except AgentNotInstalled:
            reason = "the Claude Agent SDK is not installed."
            return Probe(available=False, reason=reason, cure=f"Install it (`{INSTALL}`).")
        version = await asyncio.to_thread(metadata.version, "claude-agent-sdk")
        logged_in = self._programs.logged_in(spec)
        if logged_in is False:
            cure = f"{spec.login[:1].upper()}{spec.login[1:]}."
            return Probe(
                available=False, version=version, path=path, logged_in=False, reason="it is not logged in.", cure=cure
            )
        return Probe(available=True, version=version, path=path, logged_in=logged_in)

    def program(self, spec: AgentSpec) -> str:
        """Claude's own program: that of the entry, else the one in the SDK's wheel, else the one on the PATH."""
        found = importlib.util.find_spec("claude_agent_sdk")
        if found is None or found.origin is None:
            raise AgentNotInstalled(f"{spec.label} needs the Claude Agent SDK: install it with `{INSTALL}`.")
        if spec.argv:
            return self._programs.path(spec)
        bundled = Path(found.origin).parent / "_bundled" / ("claude.exe" if os.name == "nt" else "claude")
        path = str(bundled) if bundled.is_file() else shutil.which("claude", path=self._environ.get("PATH"))
        if path is None:
            raise AgentNotInstalled(
                f"{spec.label} has no program in this SDK: `npm install -g @anthropic-ai/claude-code`."
            )
        return path

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        """A session with a process of its own; a second try where the first one fails.

        Raises an `AgentUnavailable` or `AgentFailed`, never anything foreign.
        """
        spec = self._specs[opening.agent]
        program = self.program(spec)
        if not self._swept:
            self._swept = True
            await asyncio.to_thread(resumes.remove_those_of_the_dead)
        for tries_left in reversed(range(max(1, self._settings.start_tries))):
            try:
                return await self._open(spec, program, opening, idle_events)
            except AgentFailed:
                if not tries_left:
                    raise
        raise AssertionError("a loop that returns or raises")

    async def native_sessions(self, agent: str, cwd: Path) -> tuple[NativeSession, ...]:
        """What Claude keeps on this machine for a directory, as used at the terminal too."""
        from coder_nb.backends.claude import disk

        return await asyncio.to_thread(disk.sessions, cwd)

    async def told(self, agent: str, native_id: str, cwd: Path) -> AsyncIterator[AnyEvent]:
        """The conversation of a native session on this machine, or of one of ours."""
        from coder_nb.backends.claude import disk

        for event in await disk.told(native_id, cwd, self.store, self._specs[agent].label):
            yield event

    async def close(self) -> None:
        """Stores what is still to be stored; bounded."""
        await self.store.close()

    async def _open(
        self, spec: AgentSpec, program: str, opening: Opening, idle_events: Callable[[AnyEvent], None]
    ) -> ClaudeSession:
        from coder_nb.backends.claude.start import Starter

        env = self._environment(spec, opening)
        starter = Starter(spec, opening, self._settings, self._spawner, self.store, program=program, env=env)
        session = await starter.session(idle_events)
        try:
            await session.start(at=starter.at)
        except BaseException as error:
            await session.close()
            if isinstance(error, TimeoutError):
                raise AgentTimeout(f"{spec.label} did not start in time: prompt again.") from None
            if isinstance(error, AgentUnavailable | AgentFailed) or not isinstance(error, Exception):
                raise
            text = error.message if isinstance(error, CoderError) else str(error)
            raise AgentFailed(f"{spec.label} did not start: {text}. Prompt again to try anew.") from error
        return session

    def _environment(self, spec: AgentSpec, opening: Opening) -> dict[str, str]:
        env = self._programs.environment(spec, AgentMode(), opening.env)
        if env.get("HOME") != os.environ.get("HOME"):  # the SDK, in this process, has to look where Claude writes
            env.setdefault("CLAUDE_CONFIG_DIR", str(Path(env.get("HOME", "")) / ".claude"))
        return env
