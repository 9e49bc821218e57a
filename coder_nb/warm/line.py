"""The turns that run and those that wait for a place among them: first come, first served, and everyone knows where."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """Who runs and who waits, as tickets that are never used twice."""

    limit: int
    running: frozenset[int] = frozenset()
    waiting: tuple[int, ...] = ()
    """The one that has waited longest first."""


def come(line: Line, ticket: int) -> Line:
    """Somebody wants a place: has it at once where one is free, and waits at the end otherwise."""
    return _fill(line._replace(waiting=(*line.waiting, ticket)))


def leave(line: Line, ticket: int) -> Line:
    """Somebody has done, or does not want to wait any more: whoever waits longest takes the place that is free."""
    waiting = tuple(one for one in line.waiting if one != ticket)
    return _fill(line._replace(running=line.running - {ticket}, waiting=waiting))


def place(line: Line, ticket: int) -> int | None:
    """The place of somebody who waits, from 1; None for anybody else."""
    return line.waiting.index(ticket) + 1 if ticket in line.waiting else None


def _fill(line: Line) -> Line:
    free = max(0, max(1, line.limit) - len(line.running))
    return line._replace(running=line.running | set(line.waiting[:free]), waiting=line.waiting[free:])
