"""Tokens and cost, a row for each report of an agent."""

from __future__ import annotations

from coder_nb.core.entries import CostSource, Tokens, Value


class UsageRow(Value):
    """Tokens and cost of one report of an agent."""

    entry_id: str
    chat_id: str
    session_id: str
    turn_id: str | None
    agent: str | None
    ts: int
    tokens: Tokens
    model: str | None = None
    cost_nanousd: int | None = None
    cost_source: CostSource = "unknown"
    counted: bool = True
    native_id: str | None = None
    """The agent's own id of the conversation; None where it was not written down."""
