"""The runtime inside this process, for where there is no Jupyter server: the same class, over the same store."""

from __future__ import annotations

import os
import sys

from coder_nb.core.verbs import Verbs
from coder_nb.settings import Settings


async def open_embedded(settings: Settings) -> Verbs:
    """Opens it on the running loop, which must be the portal's; closing it ends every agent that it started."""
    from coder_nb.runtime import Runtime

    program = "kernel" if "ipykernel" in sys.modules else "script"
    return await Runtime.open(settings, label=f"{program} {os.getpid()}")
