"""Coding agents in Jupyter: prompt them from a cell, watch them work, review their diffs, have it all as data.

    import coder_nb as cnb

    session = cnb.session(".")
    turn = await session.prompt("Make the tests pass", agent="opencode")
    session.changes.apply()

Without `await`: `session.run("...")`. `%load_ext coder_nb` brings `%coder` and `%%coder`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from coder_nb import errors, widgets
    from coder_nb.analysis import plots
    from coder_nb.analysis.costs import as_if, reprice
    from coder_nb.claude import claude_session_store
    from coder_nb.client.changes import Changes
    from coder_nb.client.chat import Chat
    from coder_nb.client.history import History, history
    from coder_nb.client.labels import label
    from coder_nb.client.permission import Permission
    from coder_nb.client.session import Session
    from coder_nb.client.transcript import Entries
    from coder_nb.client.turn import Turn
    from coder_nb.door import (
        agent_log,
        agents,
        allow_nested_loops,
        attach,
        attention,
        audit,
        chat,
        close,
        configure,
        everything,
        evict,
        pool,
        pool_panel,
        reap,
        restart,
        revoke,
        rules,
        session,
        sessions,
        shared,
        usage,
    )
    from coder_nb.errors import AtRisk, CoderError, NobodyToAsk, TurnCancelled, TurnFailed
    from coder_nb.settings import Settings

_WHERE = {
    "coder_nb.analysis.costs": ("as_if", "reprice"),
    "coder_nb.door": (
        "agent_log",
        "agents",
        "allow_nested_loops",
        "attach",
        "attention",
        "audit",
        "chat",
        "close",
        "configure",
        "everything",
        "evict",
        "pool",
        "pool_panel",
        "reap",
        "revoke",
        "rules",
        "restart",
        "session",
        "sessions",
        "shared",
        "usage",
    ),
    "coder_nb.claude": ("claude_session_store",),
    "coder_nb.client.changes": ("Changes",),
    "coder_nb.client.chat": ("Chat",),
    "coder_nb.client.history": ("History", "history"),
    "coder_nb.client.labels": ("label",),
    "coder_nb.client.permission": ("Permission",),
    "coder_nb.client.session": ("Session",),
    "coder_nb.client.transcript": ("Entries",),
    "coder_nb.client.turn": ("Turn",),
    "coder_nb.errors": ("AtRisk", "CoderError", "NobodyToAsk", "TurnCancelled", "TurnFailed"),
    "coder_nb.settings": ("Settings",),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
_MODULES = {"errors": "coder_nb.errors", "plots": "coder_nb.analysis.plots", "widgets": "coder_nb.widgets"}

__all__ = [
    "AtRisk",
    "Changes",
    "Chat",
    "CoderError",
    "Entries",
    "History",
    "NobodyToAsk",
    "Permission",
    "Session",
    "Settings",
    "Turn",
    "TurnCancelled",
    "TurnFailed",
    "agent_log",
    "agents",
    "allow_nested_loops",
    "as_if",
    "attach",
    "attention",
    "audit",
    "chat",
    "claude_session_store",
    "close",
    "configure",
    "errors",
    "everything",
    "evict",
    "history",
    "label",
    "plots",
    "pool",
    "pool_panel",
    "reap",
    "reprice",
    "restart",
    "revoke",
    "rules",
    "session",
    "sessions",
    "shared",
    "usage",
    "widgets",
]


def __getattr__(name: str) -> Any:
    """Loads a part when it is first asked for, so that the import itself stays light."""
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'coder_nb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext coder_nb` does: adds `%coder` and `%%coder`."""
    from coder_nb.kernel.extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext coder_nb` does: takes away all that loading has added."""
    from coder_nb.kernel.extension import unload

    unload(shell)
