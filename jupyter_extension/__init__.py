"""The Jupyter server extension: a runtime beside the server, and the wire to it. Read `routes.py` first.

It is on as soon as the wheel is installed; `jupyter server extension list` says whether it is.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from jupyter_extension.app import CoderExtension

    return [{"module": "jupyter_extension.app", "app": CoderExtension}]
