"""What was lately read of agents' files, kept so that the same question is answered by what has come since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coder_nb.client.cache import shelf
from coder_nb.readers.base import Reader, Sought
from coder_nb.readers.collect import Collection, Found

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.analysis.growing import Growing

KEPT = 8
"""So many different questions are remembered."""

Places = Sequence[tuple[Reader, tuple[Path, ...]]]


class Looked:
    """One question: some readers, their roots and what is sought."""

    def __init__(self, places: Places, sought: Sought) -> None:
        self._collection = Collection(places, sought, shelf())
        self._found: Found | None = None
        self._grown: Growing | None = None
        self._same = 0

    def look(self) -> Found:
        """What there is now."""
        self._found = self._collection.look()
        self._same = min(self._same, self._found.same)
        return self._found

    def usage(self, found: Found) -> pd.DataFrame:
        """The usage as it was found, at some time."""
        from coder_nb.analysis.frames import frame
        from coder_nb.analysis.growing import Growing
        from coder_nb.analysis.tables import USAGE

        if found is not self._found:
            return frame(found.usage, USAGE)
        self._grown = self._grown or Growing(USAGE)
        made = self._grown.frame(found.usage, self._same)
        self._same = len(found.usage)
        return made


_recent: dict[object, Looked] = {}


def looked(places: Places, sought: Sought) -> Looked:
    """The question, as it was asked before, or for the first time. With texts it is not kept: they are large."""
    if sought.text:
        return Looked(places, sought)
    key = (tuple((type(reader), reader.agent, roots) for reader, roots in places), sought)
    found = _recent.pop(key, None) or Looked(places, sought)
    _recent[key] = found
    while len(_recent) > KEPT:
        del _recent[next(iter(_recent))]
    return found
