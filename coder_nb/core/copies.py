"""What is made of a chat for others: the link that shares it, and the files that a fork works on."""

from __future__ import annotations

from typing import Literal

from coder_nb.core.entries import Value

Files = Literal["shared", "cloned", "fresh"]
"""What a fork works on: the same worktree, a copy of it with its work that is not applied, or a new one."""


class Share(Value):
    """A link by which others may look at a chat, and do nothing else, until it is revoked."""

    id: str
    chat_id: str
    by: str = ""
    created_at: int = 0
    revoked_at: int | None = None
    link: str = ""
    """The secret part of the address; given once, when it is made."""
