"""`%%coder` as an awaited cell: IPython awaits no magic, so that the cell is rewritten to an expression that it awaits.

The kernel then stays free while the agent works, and the prompt reaches it as it was written: `{x}` and `$x` untouched.
"""

from __future__ import annotations

MAGIC = "%%coder"


def rewrite(lines: list[str]) -> list[str]:
    """An input transformer: a cell that begins with `%%coder` becomes one that awaits the prompt; others stay."""
    if not lines:
        return lines
    word, _, options = lines[0].rstrip("\r\n").partition(" ")
    if word.rstrip() != MAGIC:
        return lines
    body = "".join(lines[1:])
    return [f"await get_ipython().magics_manager.registry['CoderMagics'].begin({options.strip()!r}, {body!r})\n"]
