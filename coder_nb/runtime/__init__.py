"""Where everything meets: prompt → turn → entries → store → readers. Begin with `runtime.py` and `turn.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coder_nb.runtime.runtime import Runtime as Runtime

__all__ = ["Runtime"]


def __getattr__(name: str) -> object:
    """Loads the runtime, and SQLAlchemy with it, when it is asked for."""
    if name == "Runtime":
        from coder_nb.runtime.runtime import Runtime

        return Runtime
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
