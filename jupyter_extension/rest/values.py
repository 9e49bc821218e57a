"""What several routes answer."""

from __future__ import annotations

from msgspec import Struct

from jupyter_extension.base import Caller


class Done(Struct, frozen=True, kw_only=True):
    """Whether it was done; false where there was nothing to do (any more)."""

    done: bool


def who(said: str | None, caller: Caller) -> str:
    """In whose name something is done: a kernel may say so, everybody else is who they are."""
    return said if caller.kernel and said else caller.name
