"""Fold: what readers are sent, in whatever order and however often, becomes the chat as it is.

Law 5: reading from any cursor and then live gives the same transcript as a full read. Three rules make it so: an entry
replaces the one with its id unless that one has a later revision; text only grows, so that a chunk or delta that lies
wholly inside what is known changes nothing; and live text that was shown beyond a commit stays until the commit catches
up. The TypeScript fold (`frontend/src/fold.ts`) follows the same golden cases (`tests/golden/fold/`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from coder_nb.core.entries import Checkpoint, Chunk, Delta, Entry, Page, Reasoning, Text


class Transcript:
    """A chat as one reader sees it; grows in place, each step in time proportional to what came."""

    def __init__(self) -> None:
        self.rev = 0
        """The cursor: everything up to this revision has been folded in."""
        self._entries: dict[str, Entry] = {}
        self._order: list[tuple[int, str]] = []
        self._restores: list[tuple[int, int, int]] = []
        self._hidden: list[tuple[int, int]] = []
        self._waiting: dict[str, list[Delta | Chunk]] = {}

    def apply(self, page: Page) -> list[str]:
        """Folds a page of the log in; returns the ids of the entries it changed, in the order of the page."""
        changed: dict[str, None] = {}
        for entry in page.entries:
            if self._upsert(entry):
                changed[entry.id] = None
        for chunk in page.chunks:
            if self._splice(chunk):
                changed[chunk.entry_id] = None
        self.rev = max(self.rev, page.rev)
        return list(changed)

    def apply_delta(self, delta: Delta) -> bool:
        """Folds live text in; False where it was known already or lies beyond a hole that a commit will fill."""
        return self._splice(delta)

    def get(self, entry_id: str) -> Entry | None:
        return self._entries.get(entry_id)

    def __iter__(self) -> Iterator[Entry]:
        """The visible entries by position; what a restore has hidden is left out."""
        for pos, entry_id in self._order:
            if not any(first <= pos <= last for first, last in self._hidden):
                yield self._entries[entry_id]

    def since(self, pos: int) -> Iterator[Entry]:
        """The visible entries at a position and behind it."""
        for place in range(bisect_left(self._order, (pos, "")), len(self._order)):
            at, entry_id = self._order[place]
            if not any(first <= at <= last for first, last in self._hidden):
                yield self._entries[entry_id]

    def __len__(self) -> int:
        return sum(1 for _ in self) if self._hidden else len(self._order)

    def _upsert(self, entry: Entry) -> bool:
        known = self._entries.get(entry.id)
        if known is None:
            insort(self._order, (entry.pos, entry.id))
            self._entries[entry.id] = entry
            if isinstance(entry.body, Checkpoint) and entry.body.hides_from is not None:
                insort(self._restores, (entry.pos, entry.body.hides_from, entry.body.hides_to or entry.pos - 1))
                self._hidden = hidden_ranges(self._restores)
            for late in self._waiting.pop(entry.id, ()):
                self._splice(late)
            return True
        if entry.rev < known.rev:
            return False
        self._entries[entry.id] = _keeping_longer_text(entry, known)
        return True

    def _splice(self, part: Chunk | Delta) -> bool:
        entry = self._entries.get(part.entry_id)
        if entry is None:
            self._waiting.setdefault(part.entry_id, []).append(part)
            return False
        body = entry.body
        if not isinstance(body, Text | Reasoning) or not entry.open:
            return False
        end = part.offset + len(part.text)
        if part.offset > len(body.text) or end <= len(body.text):
            return False
        text = body.text + part.text[len(body.text) - part.offset :]
        self._entries[entry.id] = msgspec.structs.replace(entry, body=msgspec.structs.replace(body, text=text))
        return True


def visible(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Those of some entries that no restore among them has hidden, by position."""
    fold = Transcript()
    fold.apply(Page(entries=tuple(entries)))
    return tuple(fold)


def hidden_ranges(restores: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """What restores hide, given as position, first and last hidden, in the order of their positions.

    One that is itself hidden by a later one hides nothing: so a restore is undone by going back to before it.
    """
    ranges: list[tuple[int, int]] = []
    for pos, first, last in reversed(restores):
        if not any(low <= pos <= high for low, high in ranges):
            ranges.append((first, min(last, pos - 1)))
    return ranges


def _keeping_longer_text(new: Entry, known: Entry) -> Entry:
    """While an entry streams, a commit may be behind what was shown live; a closed one is the last word."""
    if not new.open or not isinstance(new.body, Text | Reasoning) or not isinstance(known.body, Text | Reasoning):
        return new
    if len(known.body.text) <= len(new.body.text):
        return new
    return msgspec.structs.replace(new, body=msgspec.structs.replace(new.body, text=known.body.text))
