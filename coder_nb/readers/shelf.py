"""What was read of files, kept in this process for as long as they stay as they are; of what has grown the new end."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from coder_nb.core.rows import AnyRow, Problem
from coder_nb.readers.base import Growing, Parser, Reader, Sought, Source, Start, What

LARGE = 1 << 18
"""Of a smaller file nothing but its rows is kept, as reading it again costs less than that."""
_EDGE = 4096


class Read(NamedTuple):
    """What a file held."""

    stamp: tuple[int, ...]
    rows: Sequence[AnyRow]
    problems: Sequence[Problem]


class _Open(NamedTuple):
    """A file that may go on growing."""

    parser: Parser
    end: Start
    edges: bytes
    problems: list[Problem]


Key = tuple[str, str, frozenset[What]]


class Shelf:
    """Rows by file. Texts are not kept: they are most of what a history holds."""

    def __init__(self) -> None:
        self.known: dict[Key, Read] = {}
        self._open: dict[Key, _Open] = {}
        self.parsed = 0
        """How many bytes had to be read."""

    def read(self, reader: Reader, source: Source, sought: Sought) -> Read:
        """The rows of a file; one on which the reader itself fails costs no other."""
        key = (reader.agent, str(source.path), sought.what)
        known = None if sought.text else self.known.get(key)
        if known is not None and known.stamp == source.stamp:
            return known
        read = self._read(key, reader, source, sought)
        if source.stamp is not None and not sought.text:
            self.known[key] = read
        return read

    def forget(self) -> None:
        """Lets go of everything."""
        self.known.clear()
        self._open.clear()

    def _read(self, key: Key, reader: Reader, source: Source, sought: Sought) -> Read:
        was = self._open.pop(key, None)
        problems: list[Problem] = []
        try:
            if was is not None and _same_beginning(source, was):
                return self._go_on(key, source, was, was.end)
            parser = reader.parser(source, sought, problems.append) if isinstance(reader, Growing) else None
            if parser is not None:
                return self._go_on(key, source, _Open(parser, Start(), b"", problems), Start())
            self.parsed += source.size
            rows = tuple(reader.read(source, sought, problems.append))
            return Read(source.stamp or (), rows, tuple(problems))
        except Exception as error:  # what a file may hold knows no bounds
            why = f"{type(error).__name__}: {error}"
            problems.append(Problem(agent=reader.agent, file=str(source.path), what="not understood", detail=why))
            return Read((), (), tuple(problems))

    def _go_on(self, key: Key, source: Source, file: _Open, start: Start) -> Read:
        self.parsed += source.size - start.offset
        end = file.parser.feed(source, start)
        rows = tuple(file.parser.rows())
        if source.size >= LARGE and not end.torn and source.path.suffix != ".zst":
            self._open[key] = file._replace(end=end, edges=_edges(source.path, end.offset))
        return Read(source.stamp or (), rows, tuple(file.problems))


def _same_beginning(source: Source, was: _Open) -> bool:
    """Whether a file has only grown, as far as its first and last bytes of then tell."""
    return source.size >= was.end.offset and _edges(source.path, was.end.offset) == was.edges


def _edges(path: Path, end: int) -> bytes:
    with path.open("rb") as file:
        first = file.read(min(_EDGE, end))
        file.seek(max(0, end - _EDGE))
        return hashlib.blake2b(first + file.read(min(_EDGE, end))).digest()


SHELF = Shelf()
"""Of this process."""
