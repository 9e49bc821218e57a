"""A row of the table: what was measured, beside its reference in the same run and what it may be at most."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple


class Row(NamedTuple):
    """One figure; each module of `benchmarks` that has a `measure()` gives some of them."""

    name: str
    ours: float
    unit: str
    at_most: float | None
    """The target; None where a figure only explains another one."""
    reference: float | None = None
    """The same without us, measured in the same run."""
    of: Literal["ours", "ratio", "over"] = "ours"
    """What the target is about: our figure, how many times the reference it is, or how much it is over it."""
    note: str = ""

    @property
    def value(self) -> float:
        """The figure that the target is about."""
        if self.of == "ours" or self.reference is None:
            return self.ours
        return self.ours / self.reference if self.of == "ratio" else self.ours - self.reference

    @property
    def verdict(self) -> str:
        if self.at_most is None:
            return ""
        return "yes" if self.value <= self.at_most else "NO"


HEAD = ("what", "ours", "reference", "ratio", "over", "at most", "met", "note")


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = [HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD) - 1)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(line[c].rjust(widths[c]) for c in range(1, len(HEAD) - 1)), line[-1]]
        ).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    known = row.reference is not None
    reference = row.reference or 0.0
    unit = "x" if row.of == "ratio" else f" {row.unit}"
    return (
        row.name,
        f"{_short(row.ours)} {row.unit}",
        f"{_short(reference)} {row.unit}" if known else "",
        f"{row.ours / reference:.2f}x" if reference else "",
        f"{_short(row.ours - reference)} {row.unit}" if known and row.of == "over" else "",
        "" if row.at_most is None else f"{row.at_most:g}{unit}",
        row.verdict,
        row.note,
    )


def _short(figure: float) -> str:
    return f"{figure:.0f}" if abs(figure) >= 100 else f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def p95(figures: Sequence[float]) -> float:
    """The value that 95 of 100 figures do not exceed."""
    return statistics.quantiles(figures, n=20, method="inclusive")[-1]
