"""Loading and unloading, each as often as one likes."""

from __future__ import annotations

from typing import Any

from coder_nb import door
from coder_nb.kernel.awaited import rewrite
from coder_nb.kernel.complete import IDENTIFIER, matcher
from coder_nb.kernel.magics import CoderMagics

NAME = "CoderMagics"


def load(shell: Any) -> None:
    """Adds the magics, the awaited cell and the completion to a shell."""
    unload(shell)
    magics = CoderMagics(shell)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.append(rewrite)
    shell.Completer.custom_matchers.append(matcher(door.agent_names, magics.slash_commands))


def unload(shell: Any) -> None:
    """Takes all of it away again; sessions and agents go on."""
    manager = shell.magics_manager
    manager.registry.pop(NAME, None)
    for kind in ("line", "cell"):
        magic = manager.magics[kind].get("coder")
        if getattr(magic, "__self__", None).__class__ is CoderMagics:
            del manager.magics[kind]["coder"]
    transformers = shell.input_transformers_cleanup
    transformers[:] = [transformer for transformer in transformers if transformer is not rewrite]
    matchers = shell.Completer.custom_matchers
    matchers[:] = [each for each in matchers if getattr(each, "matcher_identifier", "") != IDENTIFIER]
