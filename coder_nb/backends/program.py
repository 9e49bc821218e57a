"""The program of an agent: whether it is there and new enough, and the environment that its process gets."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from coder_nb.backends.base import Probe
from coder_nb.backends.environment import agent_environment
from coder_nb.backends.processes import Spawner
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.errors import AgentDied, AgentNotInstalled, AgentTimeout, CoderError
from coder_nb.settings import Settings

_PROBE_TIMEOUT = 5.0
_HOMES = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "GEMINI_CLI_HOME")
Started = TypeVar("Started")
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")


class Programs:
    """Finds the programs of agents and asks their versions."""

    def __init__(self, settings: Settings, spawner: Spawner, environ: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._spawner = spawner
        self._environ = os.environ if environ is None else environ
        self._versions: dict[tuple[str, float], str | None] = {}

    async def probe(self, spec: AgentSpec) -> Probe:
        """Whether its program is there, new enough, and logged in, as far as that can be told without using it."""
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
        logged_in = self.logged_in(spec)
        if logged_in is False:
            cure = f"{spec.login[:1].upper()}{spec.login[1:]}."
            return Probe(
                available=False, version=version, path=path, logged_in=False, reason="it is not logged in.", cure=cure
            )
        cure = "" if spec.tested else f"{spec.label} is not covered by this version's own tests."
        return Probe(available=True, version=version, path=path, logged_in=logged_in, cure=cure)

    def logged_in(self, spec: AgentSpec) -> bool | None:
        """Whether the user is, by the signs that the entry names; None where these cannot tell. Nothing is started."""
        env = self.environment(spec, AgentMode())
        if any(env.get(name) for name in spec.login_variables) or any(_shows(sign, env) for sign in spec.login_files):
            return True
        if not (spec.login_variables or spec.login_files) or sys.platform == "darwin":  # a keychain may hold it
            return None
        return False

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

    def environment(self, spec: AgentSpec, mode: AgentMode, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of its process in a mode, but for the keeper's marker.

        `extra` comes with the working directory; what the entry or the mode sets wins over it.
        """
        env = agent_environment(
            self._environ,
            names=spec.variables,
            user_names=self._settings.agent_variables,
            extra={**(extra or {}), **spec.env, **mode.env},
            python_bin=str(Path(sys.executable).parent) if sys.executable else None,
            virtual_env=sys.prefix if sys.prefix != sys.base_prefix else None,
        )
        for name, ours in mode.config.items():
            env[name] = msgspec.json.encode(_merge(_json(env.get(name)), ours)).decode()
        return env

    async def _version(self, spec: AgentSpec, path: str) -> str | None:
        """What `--version` says, or its package, remembered until the program changes; None where neither tells."""
        try:
            key = (path, os.stat(path).st_mtime)
        except OSError:
            return None
        if key not in self._versions:
            said = await self._ask_version(spec, path) if spec.probe else None
            self._versions[key] = said or await asyncio.to_thread(_package_version, path)
        return self._versions[key]

    async def _ask_version(self, spec: AgentSpec, path: str) -> str | None:
        """In a home of its own, that is thrown away: several write into the user's when they are only asked this."""
        with tempfile.TemporaryDirectory(prefix="coder-nb-", ignore_cleanup_errors=True) as home:
            env = {k: v for k, v in self.environment(spec, AgentMode()).items() if not k.startswith("XDG_")}
            env |= {name: home for name in _HOMES if name == "HOME" or name in env}
            return await self._run_version([path, *spec.probe], Path(home), env, spec.label)

    async def _run_version(self, argv: list[str], home: Path, env: dict[str, str], name: str) -> str | None:
        try:
            child = await self._spawner.spawn(argv, cwd=home, env=env, name=name)
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


def _package_version(path: str) -> str | None:
    """The version of the npm package that a program lies in."""
    for folder in list(Path(os.path.realpath(path)).parents)[:4]:
        try:
            found = _json((folder / "package.json").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if isinstance(version := found.get("version"), str):
            return version
    return None


def _shows(sign: str, env: Mapping[str, str]) -> bool:
    """Whether a file is there, and holds the word that stands behind a `#`."""
    name, _, word = sign.partition("#")
    start, _, rest = name.partition("/")
    base = env.get("HOME") or env.get("USERPROFILE") if start == "~" else env.get(start.removeprefix("$"))
    if not base:
        return False
    try:
        return (
            word in Path(base, rest).read_text(encoding="utf-8", errors="replace")
            if word
            else Path(base, rest).exists()
        )
    except OSError:
        return False


async def persistently(tries: int, start: Callable[[], Awaitable[Started]]) -> Started:
    """Starts something, again where it died or was too slow, so often in all."""
    for left in reversed(range(max(1, tries))):
        try:
            return await start()
        except (AgentDied, AgentTimeout):
            if not left:
                raise
    raise AssertionError("a loop that returns or raises")


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
