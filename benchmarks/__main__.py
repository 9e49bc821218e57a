"""Measures the rows and prints the table.

    python -m benchmarks [--row NAME ...] [--list]

All rows take a few minutes; each is bounded and ends by itself. A machine that has other things to do shows in
references and figures alike: look at the ratios.
"""

from __future__ import annotations

import argparse
import importlib
import time

from benchmarks.row import Row, table

ROWS = {
    "append": "what an append to the log costs",
    "stream": "our share of a streamed chunk, in chats of 100 to 100,000 entries",
    "sdk_store": "what it costs to keep 500 entries of the Claude Agent SDK",
    "turn": "our share of a warm turn, and of a Stop",
    "worktree": "a repository of 50,000 files: a worktree, and the changes of a turn",
    "frames": "100,000 entries as a DataFrame",
    "history": "a history of Claude Code as frames",
    "start": "import, the server's start, its idle memory",
    "transcript": "a transcript of 10,000 entries in the browser",
    "paint": "from an agent's line to the browser's screen",
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures how fast coder-nb is.")
    parser.add_argument("--row", action="append", choices=ROWS, metavar="NAME", help="only this one (repeatable)")
    parser.add_argument("--list", action="store_true", help="list the rows")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{name:<12}{what}" for name, what in ROWS.items()))
        return
    rows: list[Row] = []
    for name in given.row or ROWS:
        began = time.monotonic()
        found = importlib.import_module(f"benchmarks.{name}").measure()
        rows += found
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
