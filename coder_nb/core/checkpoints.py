"""The states of files and conversation to which a chat can be restored."""

from __future__ import annotations

from typing import Literal

from coder_nb.core.entries import Value


class CheckpointInfo(Value):
    """A state of the files and of the conversation to which a chat can be restored."""

    id: str
    """Of the turn that it is from before, or of the restore."""
    chat_id: str
    commit: str
    kind: Literal["turn", "restore"] = "turn"
    ts: int = 0
    agent: str | None = None
    prompt: str = ""
    """What the turn was asked, cut to 80 characters."""
    files: bool = True
    """Whether the files are still kept; older ones are forgotten, the conversation never is."""
    hidden: bool = False
    """Whether a restore has hidden what came after it, and with it this one."""
