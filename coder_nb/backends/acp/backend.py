"""Opens agent sessions over ACP: finds the program, gives it its environment, starts it, says hello."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from coder_nb.backends.acp.session import AcpSession
from coder_nb.backends.base import AgentSession, AnyEvent, Opening, Probe, Spawner
from coder_nb.backends.environment import agent_environment
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.errors import AgentDied, AgentFailed, AgentNotInstalled, AgentTimeout, CoderError
from coder_nb.settings import Settings

_PROBE_TIMEOUT = 5.0
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")


class AcpBackend:
    """Every agent that speaks ACP, told apart by its entry in the registry."""

    def __init__(
        self,
        settings: Settings,
        specs: Mapping[str, AgentSpec],
        spawner: Spawner,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._specs = specs
        self._spawner = spawner
        self._environ = os.environ if environ is None else environ
        self._versions: dict[tuple[str, float], str | None] = {}
        self._sessions: weakref.WeakSet[AcpSession] = weakref.WeakSet()

    async def probe(self, agent: str) -> Probe:
        """Whether its program is there and new enough. Whether it is logged in shows when a session is made."""
        spec = self._specs[agent]
        path = self._find(spec)
        if path is None:
            return Probe(available=False, reason=f"there is no program {spec.argv[0]!r}.", cure=_install_cure(spec))
        version = await self._version(spec, path)
        if version and spec.min_version and _numbers(version) < _numbers(spec.min_version):
            return Probe(
                available=False,
                version=version,
                path=path,
                reason=f"version {version} is too old.",
                cure=f"Upgrade it to {spec.min_version} or later: `{spec.install}`.",
            )
        cure = "" if spec.tested else f"{spec.label} is not covered by this version's own tests."
        return Probe(available=True, version=version, path=path, cure=cure)

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        """Starts a process and a native session, a second time where the first died or was too slow.

        Raises an `AgentUnavailable` or `AgentFailed`, never anything foreign.
        """
        for tries_left in reversed(range(max(1, self._settings.start_tries))):
            try:
                return await self._open(opening, idle_events)
            except (AgentDied, AgentTimeout):
                if not tries_left:
                    raise
        raise AssertionError("a loop that returns or raises")

    async def close(self) -> None:
        """Closes every session that is still open; bounded by the settings' `stop_grace`."""
        await asyncio.gather(*(session.close() for session in list(self._sessions)), return_exceptions=True)

    async def _open(self, opening: Opening, idle_events: Callable[[AnyEvent], None]) -> AcpSession:
        spec = self._specs[opening.agent]
        path = self._find(spec)
        if path is None:
            raise AgentNotInstalled(
                f"{spec.label} cannot be used here: there is no program {spec.argv[0]!r}. {_install_cure(spec)}"
            )
        env = self._environment(spec, spec.modes.get(opening.mode, AgentMode()))
        child = await self._spawner.spawn([path, *spec.argv[1:]], cwd=opening.cwd, env=env, name=spec.label)
        session = AcpSession(child, spec, opening, self._settings, version=_our_version(), idle_events=idle_events)
        self._sessions.add(session)
        try:
            await session.start()
        except BaseException as error:
            await session.close()
            if isinstance(error, CoderError) or not isinstance(error, Exception):
                raise
            raise AgentFailed(f"{spec.label} could not be started: {error}. Prompt again to try once more.") from error
        return session

    def _environment(self, spec: AgentSpec, mode: AgentMode) -> dict[str, str]:
        env = agent_environment(
            self._environ,
            names=spec.variables,
            user_names=self._settings.agent_variables,
            extra=spec.env | mode.env,
            python_bin=str(Path(sys.executable).parent) if sys.executable else None,
            virtual_env=sys.prefix if sys.prefix != sys.base_prefix else None,
        )
        for name, ours in mode.config.items():
            env[name] = msgspec.json.encode(_merge(_json(env.get(name)), ours)).decode()
        return env

    def _find(self, spec: AgentSpec) -> str | None:
        """The program, on the user's PATH (which may differ from the one that the agent itself gets)."""
        program = os.path.expanduser(spec.argv[0])
        return shutil.which(program, path=spec.env.get("PATH") or self._environ.get("PATH"))

    async def _version(self, spec: AgentSpec, path: str) -> str | None:
        """What `--version` says, remembered until the program changes; None where it says nothing in time."""
        if not spec.probe:
            return None
        try:
            key = (path, os.stat(path).st_mtime)
        except OSError:
            return None
        if key not in self._versions:
            self._versions[key] = await self._ask_version(spec, path)
        return self._versions[key]

    async def _ask_version(self, spec: AgentSpec, path: str) -> str | None:
        env = self._environment(spec, AgentMode())
        try:
            child = await self._spawner.spawn([path, *spec.probe], cwd=Path.home(), env=env, name=spec.label)
        except CoderError:
            return None
        said = b""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                while data := await child.read():
                    said += data
        except TimeoutError:
            pass
        finally:
            await child.stop(0.0)
        found = _VERSION.search(said.decode("utf-8", "replace"))
        return found.group() if found else None


def _install_cure(spec: AgentSpec) -> str:
    if spec.install:
        return f"Install it (`{spec.install}`), or set its path in the setting `agents`."
    return f"Set the right command in the setting `agents.{spec.name}.argv`."


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def _our_version() -> str:
    from importlib import metadata  # slow to load, and needed once an agent is started

    try:
        return metadata.version("coder-nb")
    except metadata.PackageNotFoundError:
        return "0"


def _json(text: str | None) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _merge(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    merged = dict(theirs)
    for key, value in ours.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
