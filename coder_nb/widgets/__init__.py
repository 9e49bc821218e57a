"""What is seen, as ipywidgets: transcript, composer, diff and usage; they compose with any other widget."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coder_nb.widgets.composer import Composer
    from coder_nb.widgets.dashboard import Dashboard
    from coder_nb.widgets.diff import DiffPanel
    from coder_nb.widgets.pool import PoolPanel
    from coder_nb.widgets.transcript import Transcript
    from coder_nb.widgets.usage import UsageTable

_MODULE_OF = {
    "Composer": "coder_nb.widgets.composer",
    "Dashboard": "coder_nb.widgets.dashboard",
    "DiffPanel": "coder_nb.widgets.diff",
    "PoolPanel": "coder_nb.widgets.pool",
    "Transcript": "coder_nb.widgets.transcript",
    "UsageTable": "coder_nb.widgets.usage",
}

__all__ = ["Composer", "Dashboard", "DiffPanel", "PoolPanel", "Transcript", "UsageTable"]


def __getattr__(name: str) -> Any:
    """Loads ipywidgets with the first widget, so that static output needs none of it."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'coder_nb.widgets' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
