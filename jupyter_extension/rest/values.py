"""What several routes answer."""

from __future__ import annotations

from msgspec import Struct


class Done(Struct, frozen=True, kw_only=True):
    """Whether it was done; false where there was nothing to do (any more)."""

    done: bool
