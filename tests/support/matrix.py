"""The matrix of agents and what they can do: probed by the tests of the real agents, published in docs/agents.md.

``UPDATE_MATRIX=1`` makes these tests write what they find to ``docs/agents.json`` instead of holding it to that, and
``python tests/support/matrix.py`` writes the tables anew; `scripts/matrix` does both.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

from coder_nb.backends.base import AgentSession, Backend
from coder_nb.backends.events import UserSaid
from coder_nb.errors import AgentUnavailable, NotFound

DOCS = Path(__file__).parents[2] / "docs"
DATA, PAGE = DOCS / "agents.json", DOCS / "agents.md"
BEGIN, END = "<!-- {}: written by scripts/matrix -->", "<!-- the end of it -->"
Door = Literal["own", "acp"]
"""Through which an agent is driven: one of its own, or the Agent Client Protocol."""
_ALL = {
    "version": "version that was probed",
    "resume": "goes on with a session after a restart",
    "load": "tells the history of a session",
    "list": "lists its sessions",
    "fork": "branches a session off",
    "close": "is told when a session is not needed",
    "images": "takes pictures",
    "files": "takes files that have no path",
    "steer": "takes a message while it works",
    "modes": "its own modes",
    "models": "lets one choose its model",
    "efforts": "lets one choose how much it thinks",
    "commands": "has slash commands",
    "tokens": "reports tokens",
    "cost": "reports what it cost",
    "memory": "memory of a warm session",
}
MEASURED = {"memory"}
"""Rows that are published and not held to what is found again, since they are never quite the same."""
ROWS: dict[Door, dict[str, str]] = {
    "own": {
        **_ALL,
        "rewind": "goes back to an earlier prompt",
        "questions": "asks questions",
        "mcp": "takes your MCP servers",
    },
    "acp": {**_ALL, "options": "further options of its own", "through_us": "has its files written by us"},
}
publishes = pytest.mark.publishes


async def found(
    backend: Backend, agent: str, session: AgentSession, cwd: Path, answers: Collection[Any], *, pid: int | None = None
) -> Any:
    """What a session behind a door of its own can do; `answers` are what it reported of a turn of two answers.

    `pid` is the process that it shares with others, where it has none of its own.
    """
    can, probe = session.capabilities, await backend.probe(agent)
    names = ("list", "fork", "close", "images", "files", "steer", "cost", "rewind", "questions", "mcp", "commands")
    return {
        **{name: bool(getattr(can, name)) for name in (*names, "models", "efforts")},
        "version": probe.version or "–",
        "resume": bool(can.resume),
        "load": await _tells(backend, agent, str(session.native_id), cwd),
        "modes": [mode.id for mode in can.modes],
        "tokens": {0: "–", 2: "each answer"}.get(len(answers), "sum"),
        "memory": memory(pid or session.pid),
    }


def memory(pid: int | None) -> str:
    """What a process takes with all that it has started, what they share counted once; to ten megabytes."""
    if pid is None:
        return "–"
    taken = 0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            taken += one.memory_full_info().pss
    return f"{round(taken / 1e7)}0 MB"


async def _tells(backend: Backend, agent: str, native_id: str, cwd: Path) -> bool:
    try:
        return any([isinstance(event, UserSaid) async for event in backend.told(agent, native_id, cwd)])
    except (AgentUnavailable, NotFound):
        return False


def hold(door: Door, agent: str, can: dict[str, Any]) -> None:
    """What a real agent was found to be able to do is what is published, or is published now."""
    assert set(can) == set(ROWS[door])
    known = published()
    if os.environ.get("UPDATE_MATRIX"):
        known[door] = known.get(door, {}) | {agent: can}
        DATA.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        return
    held = known[door].get(agent, {})
    other = {
        row: (held.get(row), value) for row, value in can.items() if row not in MEASURED and held.get(row) != value
    }
    assert not other, f"docs/agents.json is not true any more, run scripts/matrix: {other}"


def published() -> dict[Door, dict[str, dict[str, Any]]]:
    """What is published: by door and agent, the value of each row."""
    known: dict[Door, dict[str, dict[str, Any]]] = json.loads(DATA.read_text())
    return known


def table(door: Door) -> str:
    """The matrix as Markdown."""
    agents = published()[door]
    lines = ["| | " + " | ".join(f"`{agent}`" for agent in agents) + " |", "|---|" + "---|" * len(agents)]
    lines += [
        f"| {title} | " + " | ".join(_cell(can[row]) for can in agents.values()) + " |"
        for row, title in ROWS[door].items()
    ]
    return "\n".join(lines)


def page() -> str:
    """The page, with the tables as they should be."""
    text = PAGE.read_text()
    for door in ROWS:
        begin = BEGIN.format(door)
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table(door)}\n\n{END}{rest.split(END, 1)[1]}"
    return text


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "–"
    return {True: "yes", False: "–"}[value] if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page())
