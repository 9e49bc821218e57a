"""Commands that the native agent runs in its worktree: bounded in time and output, without the user's keys."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from coder_nb.backends.native.tools import Outcome
from coder_nb.backends.native.workplace import Refused, Workplace
from coder_nb.backends.processes import Spawner
from coder_nb.core.changes import is_secret

HEAD, TAIL = 10_000, 20_000
"""Bytes of an output that are kept: its beginning and its end."""
_LONGEST = 600.0
_FIND_TIMEOUT = 30.0
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
}


class WorktreeShell:
    """Starts each command by the keeper, so that nothing of it outlives us."""

    def __init__(self, place: Workplace, spawner: Spawner, env: Mapping[str, str], *, grace: float) -> None:
        self._place = place
        self._spawner = spawner
        self._env = {**env, **_QUIET}
        self._grace = grace

    async def run(self, command: str, *, timeout: float) -> Outcome:
        timeout = min(timeout, _LONGEST)
        output, code = await self._output(_argv(command), timeout)
        text = output.decode("utf-8", "replace").strip("\n")
        if code is None:
            return Outcome(f"{text}\n[ended after {timeout:.0f} s, as it had not ended by itself]".strip(), failed=True)
        if code != 0:
            return Outcome(f"{text}\n[exit code {code}]".strip(), failed=True, exit_code=code)
        return Outcome(text or "[no output]", exit_code=0)

    async def find(self, folder: Path, pattern: str, glob: str, *, ignore_case: bool) -> list[tuple[str, int, str]]:
        git = shutil.which("git", path=self._env.get("PATH")) or "git"
        inside = (self._place.root / ".git").exists()
        scope = ("--untracked",) if inside else ("--no-index", "--exclude-standard")
        flags = ("-i",) if ignore_case else ()
        target = folder.relative_to(self._place.root).as_posix()
        where = f":(glob){_below(target)}**/{glob}" if glob else target
        argv = [git, "--no-pager", "grep", "-nIzE", "--full-name", *scope, *flags, "-e", pattern, "--", where]
        output, code = await self._output(argv, _FIND_TIMEOUT, cwd=self._place.root)
        if code not in (0, 1):
            said = output.decode("utf-8", "replace").strip()
            raise Refused(f"The search failed: {said or 'it took too long'}.")
        hits = [hit for hit in map(_hit, output.decode("utf-8", "replace").split("\n")) if hit]
        return [
            (self._place.shown(self._place.root / name), at, line) for name, at, line in hits if not is_secret(name)
        ]

    async def _output(self, argv: Sequence[str], timeout: float, cwd: Path | None = None) -> tuple[bytes, int | None]:
        """What it wrote and its exit code, None where it was ended; a cancelled call ends it too."""
        child = await self._spawner.spawn(
            argv, cwd=cwd or self._place.cwd, env=self._env, name="the native agent's shell"
        )
        kept = Kept()
        try:
            async with asyncio.timeout(timeout):
                while data := await child.read():
                    kept.add(data)
                code: int | None = await child.wait()
        except TimeoutError:
            code = None
        finally:
            await child.stop(0.0 if child.returncode is not None else min(self._grace, 1.0))
        return kept.all() + child.stderr_tail().encode(), code


class Kept:
    """The beginning and the end of an output, whatever its length."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[max(0, room) :]
        if len(self._tail) > 2 * TAIL:
            self._dropped += len(self._tail) - TAIL
            del self._tail[:-TAIL]

    def all(self) -> bytes:
        dropped = self._dropped + max(0, len(self._tail) - TAIL)
        if not dropped:
            return bytes(self._head + self._tail)
        return bytes(self._head) + f"\n[{dropped:,} bytes are left out]\n".encode() + bytes(self._tail[-TAIL:])


def _argv(command: str) -> list[str]:
    if os.name == "nt":
        return ["powershell", "-NoProfile", "-NonInteractive", "-Command", f"{command} 2>&1"]
    return [shutil.which("bash") or "/bin/sh", "-c", f"exec 2>&1 </dev/null\n{command}"]


def _below(folder: str) -> str:
    return "" if folder == "." else f"{folder}/"


def _hit(line: str) -> tuple[str, int, str] | None:
    name, _, rest = line.partition("\0")
    number, _, text = rest.partition("\0")
    return (name, int(number), text) if number.isdigit() else None
