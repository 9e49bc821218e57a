"""The difference between two notebooks, cell by cell: sources as hunks, all else in words.

Cells are one by their id where both have it, else by their order among equal or similar sources, so that a notebook
of before ids (nbformat 4.4) is told as well. Outputs and run counts are told, not shown: they are results, not work.
"""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from coder_nb.core.changes import CellDelta
from coder_nb.core.hunks import Hunk, parse_hunks

_ALIKE = 0.5
Cell = Mapping[str, Any]


class _Notebook(msgspec.Struct):
    cells: list[dict[str, Any]]


def cell_deltas(old: str | None, new: str | None) -> tuple[CellDelta, ...] | None:
    """What changed from one notebook to the other, in the order of the new one; None where one is no notebook."""
    before, after = _cells(old), _cells(new)
    if before is None or after is None:
        return None
    pairs = _paired(before, after)
    found: list[tuple[float, CellDelta]] = []
    moved = _moved(pairs)
    for number, cell in enumerate(after):
        partner = pairs.get(number)
        delta = _told(None if partner is None else before[partner], cell, number + 1, moved=number in moved)
        if delta is not None:
            found.append((number, delta))
    kept = {partner: number for number, partner in pairs.items()}
    for number, cell in enumerate(before):
        if number not in kept:
            above = max((kept[n] for n in range(number) if n in kept), default=-1)
            found.append((above + 0.5, _gone(cell, number + 1)))
    return tuple(delta for _, delta in sorted(found, key=lambda one: one[0]))


def _cells(text: str | None) -> Sequence[Cell] | None:
    if not text:
        return []
    try:
        return msgspec.json.decode(text.encode("utf-8", "replace"), type=_Notebook).cells
    except msgspec.DecodeError:
        return None


def _paired(before: Sequence[Cell], after: Sequence[Cell]) -> dict[int, int]:
    """Which of the old cells each new one was."""
    ids = {cell["id"]: number for number, cell in enumerate(before) if isinstance(cell.get("id"), str)}
    pairs = {n: ids[cell["id"]] for n, cell in enumerate(after) if cell.get("id") in ids}
    if ids and any("id" in cell for cell in after):
        return pairs
    sources = [source(cell) for cell in before], [source(cell) for cell in after]
    for tag, i, i2, j, j2 in difflib.SequenceMatcher(None, *sources, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs |= {j + n: i + n for n in range(i2 - i)}
        elif tag == "replace":
            pairs |= {
                j + n: i + n
                for n in range(min(i2 - i, j2 - j))
                if difflib.SequenceMatcher(None, sources[0][i + n], sources[1][j + n]).quick_ratio() >= _ALIKE
            }
    return pairs


def _moved(pairs: Mapping[int, int]) -> set[int]:
    """The fewest new cells that must have moved, the others being in their old order."""
    chains: list[list[int]] = []  # the chain of each length that ends lowest
    for number in sorted(pairs):
        at = bisect.bisect_left(chains, pairs[number], key=lambda chain: pairs[chain[-1]])
        chains[at : at + 1] = [[*(chains[at - 1] if at else ()), number]]
    return set(pairs) - set(chains[-1] if chains else ())


def _told(old: Cell | None, new: Cell, number: int, *, moved: bool) -> CellDelta | None:
    kind = str(new.get("cell_type", "code"))
    cell_id = str(new.get("id", ""))
    if old is None:
        note = _outputs_in_words(None, new)
        hunks = line_hunks("", source(new))
        return CellDelta(operation="create", cell_type=kind, number=number, cell_id=cell_id, hunks=hunks, note=note)
    notes = [
        f"It was a {old.get('cell_type')} cell." if old.get("cell_type") != kind else "",
        "Moved." if moved else "",
        _outputs_in_words(old, new),
        "Its metadata changed." if old.get("metadata", {}) != new.get("metadata", {}) else "",
    ]
    note = " ".join(filter(None, notes))
    hunks = line_hunks(source(old), source(new))
    if not hunks and not note:
        return None
    return CellDelta(operation="edit", cell_type=kind, number=number, cell_id=cell_id, hunks=hunks, note=note)


def _gone(old: Cell, number: int) -> CellDelta:
    kind, cell_id = str(old.get("cell_type", "code")), str(old.get("id", ""))
    return CellDelta(
        operation="delete", cell_type=kind, number=number, cell_id=cell_id, hunks=line_hunks(source(old), "")
    )


def _outputs_in_words(old: Cell | None, new: Cell) -> str:
    before = 0 if old is None else len(old.get("outputs") or ())
    after = len(new.get("outputs") or ())
    if old is not None and (old.get("outputs") or []) == (new.get("outputs") or []):
        return ""
    if old is None or before == 0:
        return f"{_counted(after)}." if after else ""
    return "Its outputs were cleared." if after == 0 else "Its outputs changed."


def _counted(outputs: int) -> str:
    return "One output" if outputs == 1 else f"{outputs} outputs"


def source(cell: Cell) -> str:
    """A cell's text, which a notebook holds as one string or as lines."""
    text = cell.get("source", "")
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def line_hunks(old: str, new: str) -> tuple[Hunk, ...]:
    """The hunks between two texts, whose last lines need no newline."""
    before, after = (text.split("\n") if text else [] for text in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=3))
    return parse_hunks("\n".join(lines[2:]))
