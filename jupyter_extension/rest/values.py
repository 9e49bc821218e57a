"""What several routes answer."""

from __future__ import annotations

from msgspec import Struct

from jupyter_extension.base import Caller

MEANS = ("callback", "stdin")
"""By what a kernel asks whoever runs its cells."""


class Done(Struct, frozen=True, kw_only=True):
    """Whether it was done; false where there was nothing to do (any more)."""

    done: bool


def who(said: str | None, caller: Caller) -> str:
    """By whom an answer is given: the caller, whoever they say they are; a kernel may say by what it asked for it."""
    return said if caller.kernel and said in MEANS else caller.name
