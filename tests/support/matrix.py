"""The matrix of agents and what they can do: probed by the tests of the real agents, published in docs/agents.md.

``UPDATE_MATRIX=1`` makes these tests write what they find to ``docs/agents.json`` instead of holding it to that, and
``python tests/support/matrix.py`` writes the table anew; `scripts/matrix` does both.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
DATA, PAGE = DOCS / "agents.json", DOCS / "agents.md"
BEGIN, END = "<!-- the matrix: written by scripts/matrix -->", "<!-- the end of the matrix -->"
ROWS = {
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
    "options": "further options of its own",
    "commands": "has slash commands",
    "tokens": "reports tokens",
    "cost": "reports what it cost",
    "through_us": "has its files written by us",
}


def hold(agent: str, found: dict[str, Any]) -> None:
    """What a real agent was found to be able to do is what is published, or is published now."""
    assert set(found) == set(ROWS)
    published: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    if os.environ.get("UPDATE_MATRIX"):
        DATA.write_text(json.dumps(published | {agent: found}, indent=1, sort_keys=True) + "\n")
        return
    assert found == published.get(agent), "docs/agents.json is not true any more: run scripts/matrix"


def table() -> str:
    """The matrix as Markdown."""
    published: dict[str, dict[str, Any]] = json.loads(DATA.read_text())
    agents = sorted(published)
    lines = ["| | " + " | ".join(f"`{agent}`" for agent in agents) + " |", "|---|" + "---|" * len(agents)]
    lines += [
        f"| {title} | " + " | ".join(_cell(published[agent][row]) for agent in agents) + " |"
        for row, title in ROWS.items()
    ]
    return "\n".join(lines)


def page() -> str:
    """The page, with the table as it should be."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "–"
    return {True: "yes", False: "–"}[value] if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page())
