"""The cell that runs now, as its kernel knows it, and whether its user can be asked something."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from coder_nb.core.entries import Cell


def kernel() -> Any:
    """The IPython kernel that this process is, or None."""
    shell = _shell()
    return getattr(shell, "kernel", None)


def current_cell() -> Cell | None:
    """The cell that runs now; None outside a kernel."""
    running = kernel()
    if running is None:
        return None
    cell_id = (_parent(running).get("metadata") or {}).get("cellId")
    return Cell(
        cell_id=str(cell_id) if cell_id else None,
        execution_count=getattr(_shell(), "execution_count", None),
        notebook=os.environ.get("JPY_SESSION_NAME") or None,
    )


def stdin_allowed() -> bool:
    """Whether `input()` would reach a person if it were called here; a subshell's thread has no stdin of its own."""
    return threading.current_thread() is threading.main_thread() and person_present()


def person_present() -> bool:
    """Whether a person may be there: the front end allows `input()`, or the terminal is one."""
    running = kernel()
    if running is not None:
        return bool((_parent(running).get("content") or {}).get("allow_stdin"))
    return bool(sys.stdin is not None and sys.stdin.isatty())


def has_viewer() -> bool:
    """Whether somebody may look at a widget: programs that execute a notebook by themselves allow no `input()`, and
    what they save is read where no widget lives."""
    return kernel() is not None and person_present()


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _parent(running: Any) -> dict[str, Any]:
    parent = running.get_parent("shell")
    return parent if isinstance(parent, dict) else {}
