"""Executes a notebook in the folder where it is started, and prints its cells and their outputs as text."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

WIDTH = 100
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def text_of(output: NotebookNode) -> str:
    """An output as a terminal would show it."""
    match output.output_type:
        case "stream":
            text = output.text
        case "error":
            text = "\n".join(output.traceback)
        case _:
            text = output.data.get("text/plain", "")
    return _ANSI.sub("", text).rstrip()


def show(cell: NotebookNode) -> None:
    print(f"\n{f'── In [{cell.execution_count}] '.ljust(WIDTH, '─')}\n{cell.source}")
    for text in filter(None, map(text_of, cell.outputs)):
        print(f"{'── Out '.ljust(WIDTH, '─')}\n{text}", flush=True)


def play(path: Path) -> bool:
    """Executes a notebook, printing each cell when it is done; False where one raised."""
    notebook = nbformat.read(path, as_version=4)
    quiet = ["--IPKernelApp.log_level=ERROR"]
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", store_widget_state=False, extra_arguments=quiet
    )
    client.on_cell_executed = lambda cell, **rest: show(cell)
    try:
        client.execute(cwd=str(Path.cwd()))
    except CellExecutionError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(0 if play(Path(sys.argv[1])) else 1)
