"""The program of an agent: whether it is there and new enough, and the environment that its process gets."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from coder_nb.backends.base import Probe, Spawner
from coder_nb.backends.environment import agent_environment
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.errors import AgentNotInstalled, CoderError
from coder_nb.settings import Settings

_PROBE_TIMEOUT = 5.0
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")


class Programs:
    """Finds the programs of agents and asks their versions."""

    def __init__(self, settings: Settings, spawner: Spawner, environ: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._spawner = spawner
        self._environ = os.environ if environ is None else environ
        self._versions: dict[tuple[str, float], str | None] = {}

    async def probe(self, spec: AgentSpec) -> Probe:
        """Whether its program is there and new enough. Whether it is logged in shows when a session is made."""
        path = self.find(spec)
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

    def path(self, spec: AgentSpec) -> str:
        """Where the program is; raises `AgentNotInstalled` with the cure."""
        found = self.find(spec)
        if found is None:
            raise AgentNotInstalled(
                f"{spec.label} cannot be used here: there is no program {spec.argv[0]!r}. {_install_cure(spec)}"
            )
        return found

    def find(self, spec: AgentSpec) -> str | None:
        """The program, on the user's PATH (which may differ from the one that the agent itself gets)."""
        program = os.path.expanduser(spec.argv[0])
        return shutil.which(program, path=spec.env.get("PATH") or self._environ.get("PATH"))

    def environment(self, spec: AgentSpec, mode: AgentMode) -> dict[str, str]:
        """The whole environment of its process in a mode, but for the keeper's marker."""
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
        env = self.environment(spec, AgentMode())
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
