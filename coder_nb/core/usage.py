"""Tokens and cost, a row for each report of an agent."""

from __future__ import annotations

from coder_nb.core.entries import CostSource, Entry, Tokens, Usage, Value


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


def row(entry: Entry, used: Usage, *, session_id: str) -> UsageRow:
    """The row of a report's entry."""
    return UsageRow(
        entry_id=entry.id,
        chat_id=entry.chat_id,
        session_id=session_id,
        turn_id=entry.turn_id,
        agent=entry.agent,
        ts=entry.ts,
        tokens=used.tokens,
        model=used.model,
        cost_nanousd=used.cost_nanousd,
        cost_source=used.cost_source,
        counted=used.counted,
        native_id=used.native_id,
    )
