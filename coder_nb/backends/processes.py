"""What a backend asks of whoever starts processes for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Child(Protocol):
    """A process started for us, with its pipes; all its descendants end with it."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """None while it lives; negative for a signal."""

    async def read(self, limit: int = 65536) -> bytes:
        """What it wrote to its standard output; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Writes all of it to its standard input; raises `AgentDied` where it has closed it."""

    def stderr_tail(self) -> str:
        """The last 32 KiB of its standard error, secrets blanked out."""

    def explain(self) -> str:
        """Why it ended, in sentences for people, with its last words and the cure."""

    async def wait(self) -> int: ...

    async def stop(self, grace: float = 5.0) -> None:
        """Closes its input, then TERM, then after `grace` seconds KILL, to it and all its descendants; bounded."""


class Spawner(Protocol):
    """Starts processes that cannot outlive us (law 11)."""

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Child:
        """Starts a process in a session of its own; raises `AgentNotInstalled` where there is no such program."""
