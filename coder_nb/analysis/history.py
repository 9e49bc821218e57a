"""What the agents' own files hold, and what they are known not to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from coder_nb.analysis.columns import Column
from coder_nb.analysis.frames import Backend, frame, with_backend
from coder_nb.errors import InvalidOption

if TYPE_CHECKING:
    import pandas as pd

NOT_RECORDED: dict[str, tuple[str, ...]] = {
    "opencode": ("titles", "answers that were taken back"),
    "goose": ("titles", "descriptions of tool calls", "the cache", "when each call was"),
    "qwen": ("suggestions of what to ask next", "some of the calls that keep its memory"),
    "claude": ("titles", "other calls of its own", "the searches of its web tool"),
}
"""What an agent's files do not hold, so that it is seen: recorded is not observed."""


class Covered(NamedTuple):
    """What was found of one agent."""

    agent: str
    files: int
    bytes: int
    copies: int
    problems: int
    usage: Sequence[Any]

    @classmethod
    def of(cls, agent: str, found: Any) -> Covered:
        """One agent's part of what was found."""
        problems = sum(one.agent == agent for one in found.problems)
        usage = [row for row in found.usage if row.agent == agent]
        return cls(
            agent, found.files.get(agent, 0), found.bytes.get(agent, 0), found.copies.get(agent, 0), problems, usage
        )


def _count(fits: Callable[[Any], bool]) -> Callable[[Covered], int]:
    return lambda found: sum(map(fits, found.usage))


COVERAGE = (
    Column("agent", "string", attrgetter("agent"), "the agent"),
    Column("files", "int", attrgetter("files"), "how many files were read"),
    Column("bytes", "int", attrgetter("bytes"), "how large they are"),
    Column("responses", "int", _count(lambda row: row.per == "response"), "with their own counts"),
    Column("sums", "int", _count(lambda row: row.per == "session"), "sums of whole sessions"),
    Column("incomplete", "int", _count(lambda row: not row.complete), "without a final count"),
    Column("copies", "int", attrgetter("copies"), "records of responses and calls that were copies, and not counted"),
    Column("problems", "int", attrgetter("problems"), "rows of `quality`"),
    Column(
        "not_recorded",
        "string",
        lambda found: "; ".join(NOT_RECORDED.get(found.agent, ())) or None,
        "the kinds of calls and of facts that it never writes, separated by semicolons",
    ),
)


def history_frame(
    rows: Iterable[Any], table: Sequence[Column], columns: Sequence[str] | None = None, *, dtype_backend: Backend = None
) -> pd.DataFrame:
    """Rows by a table of columns, or by some of them, in the order given, of which no others are made.

    Raises `InvalidOption` where there is no such column.
    """
    chosen = [_named(table, name) for name in columns] if columns is not None else table
    if any(column.derive for column in chosen):
        return with_backend(selected(frame(rows, table), table, columns), dtype_backend)
    return frame(rows, chosen, dtype_backend=dtype_backend)


def selected(made: pd.DataFrame, table: Sequence[Column], columns: Sequence[str] | None) -> pd.DataFrame:
    """The frame, or some columns of it; raises `InvalidOption` where there is no such column."""
    return made if columns is None else made[[_named(table, name).name for name in columns]]


def _named(table: Sequence[Column], name: str) -> Column:
    for column in table:
        if column.name == name:
            return column
    raise InvalidOption(f"There is no column {name!r}: the columns are {', '.join(one.name for one in table)}.")
