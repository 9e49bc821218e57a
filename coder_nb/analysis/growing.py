"""Frames that are looked at again and again while their rows grow: only what changed is made anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from coder_nb.analysis.columns import Column, Kind
from coder_nb.analysis.frames import arrays_of

if TYPE_CHECKING:
    import pandas as pd

PIECES = 256
"""After so many additions the pieces of a column are put together."""


class Growing:
    """A frame by a table of columns; what was given is the caller's own and stays as it is."""

    def __init__(self, table: Sequence[Column]) -> None:
        self._table = table
        self._arrays: dict[str, Any] = {}
        self._codes: dict[str, dict[str, int]] = {}
        self._length = 0
        self._pieces = 0

    def frame(self, rows: Sequence[Any], same: int) -> pd.DataFrame:
        """The frame of rows whose first `same` are those of the call before; equal to one that is made afresh."""
        import pandas as pd

        same = min(same, self._length)
        if self._pieces == PIECES:
            same = self._pieces = 0
        if not self._arrays or same < max(len(rows), self._length):
            made = arrays_of(list(rows[same:]), self._table)
            if same:
                for column in self._table:
                    name, kept = column.name, self._arrays[column.name][:same]
                    made[name] = joined(column.kind, kept, made[name], self._codes.setdefault(name, {}))
            else:
                self._codes.clear()
            self._arrays, self._length, self._pieces = made, len(rows), self._pieces + 1
        whole = pd.DataFrame(self._arrays, index=pd.RangeIndex(self._length), copy=False)
        # Since pandas 3 a shallow copy is copied when it is written to; before that, writing would reach our arrays.
        return whole.copy(deep=int(pd.__version__.split(".")[0]) < 3)


def joined(kind: Kind, first: Any, second: Any, codes: dict[str, int]) -> Any:
    """Two arrays of a kind as one, as if it had been made of all values at once; `codes` are a category's so far."""
    import pandas as pd

    if kind == "category":
        return _categories(first, second, codes)
    if kind == "time":
        return first.append(second)
    return pd.concat([pd.Series(first, copy=False), pd.Series(second, copy=False)], ignore_index=True).array


def _categories(first: Any, second: Any, codes: dict[str, int]) -> Any:
    """Categories stand in the order in which they first appear, so that those of a beginning are the first ones."""
    import numpy as np
    import pandas as pd

    names, used = first.categories, int(first.codes.max()) + 1
    if not codes:
        codes.update((name, code) for code, name in enumerate(names))
    if used < len(names):
        names = names[:used]
        for name in [name for name, code in codes.items() if code >= used]:
            del codes[name]
    given = list(second.categories)
    places = [codes.setdefault(name, len(codes)) for name in given]
    fresh = [name for name, place in zip(given, places, strict=True) if place >= used]
    if fresh:
        names = names.append(pd.Index(fresh, dtype="str"))
    moved = np.append(np.asarray(places, dtype=np.int64), -1)[second.codes]
    return pd.Categorical.from_codes(np.concatenate([first.codes, moved]), categories=names)
