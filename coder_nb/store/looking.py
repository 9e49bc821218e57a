"""Which link is being looked through: on a database with row security it opens one chat's rows, to read."""

from __future__ import annotations

from contextvars import ContextVar

LINK: ContextVar[str] = ContextVar("coder_nb_link", default="")
"""The hash of a link's secret; empty for whoever reads what is their own."""
