"""What was read of files, kept in this process for as long as they stay as they are; of what has grown the new end."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from sys import intern
from typing import NamedTuple, Protocol

import msgspec
from msgspec.structs import force_setattr

from coder_nb.core.entries import Value
from coder_nb.core.rows import AnyRow, Message, Problem, Session, ToolUse, Usage
from coder_nb.readers.base import Growing, Parser, Reader, Sought, Source, Start, What

LARGE = 1 << 18
"""Of a smaller file nothing but its rows is kept, as reading it again costs less than that."""
_EDGE = 4096
_REPEATED = ("agent", "session_id", "file", "project", "branch", "version", "subagent", "model")
"""What many rows tell alike, and decoding makes anew for each."""


Key = tuple[str, str, frozenset[What]]
"""An agent, a path, and what was read of it."""


class Read(NamedTuple):
    """What a file held."""

    stamp: tuple[int, ...]
    rows: Sequence[AnyRow]
    problems: Sequence[Problem]


class Kept(Value):
    """The same as one value, to be encoded."""

    usage: tuple[Usage, ...] = ()
    calls: tuple[ToolUse, ...] = ()
    messages: tuple[Message, ...] = ()
    sessions: tuple[Session, ...] = ()
    problems: tuple[Problem, ...] = ()


class Older(Protocol):
    """What earlier processes have read."""

    def take(self, key: Key, stamp: tuple[int, ...]) -> bytes | None:
        """The encoded `Kept` of a file that is still as it was then."""

    def give(self, key: Key, read: Read, size: int) -> None:
        """A file was read just now."""


class _Open(NamedTuple):
    """A file that may go on growing."""

    parser: Parser
    end: Start
    edges: bytes
    problems: list[Problem]


class Shelf:
    """Rows by file. Texts are not kept: they are most of what a history holds."""

    def __init__(self, older: Older | None = None) -> None:
        self._older = older
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
        if source.stamp is None or sought.text:
            return self._read(key, reader, source, sought)
        read = self._from_older(key, source.stamp)
        if read is None:
            read = self._read(key, reader, source, sought)
            if self._older is not None and read.stamp:
                self._older.give(key, read, source.size)
        self.known[key] = read
        return read

    def _from_older(self, key: Key, stamp: tuple[int, ...]) -> Read | None:
        data = None if self._older is None or key in self._open else self._older.take(key, stamp)
        if data is None:
            return None
        try:
            kept = _decode(data)
        except msgspec.MsgspecError:
            return None
        rows: list[Usage | ToolUse | Message] = [*kept.usage, *kept.calls, *kept.messages]
        for row in rows:
            for name in _REPEATED:
                if text := getattr(row, name):
                    force_setattr(row, name, intern(text))
        return Read(stamp, (*rows, *kept.sessions), kept.problems)

    def forget(self) -> None:
        """Lets go of everything."""
        self.known.clear()
        self._open.clear()

    def _read(self, key: Key, reader: Reader, source: Source, sought: Sought) -> Read:
        was = None if sought.text else self._open.pop(key, None)
        problems: list[Problem] = []
        try:
            if was is not None and _same_beginning(source, was):
                return self._go_on(key, source, sought, was)
            parser = reader.parser(source, sought, problems.append) if isinstance(reader, Growing) else None
            if parser is not None:
                return self._go_on(key, source, sought, _Open(parser, Start(), b"", problems))
            self.parsed += source.size
            rows = tuple(reader.read(source, sought, problems.append))
            return Read(source.stamp or (), rows, tuple(problems))
        except Exception as error:  # what a file may hold knows no bounds
            why = f"{type(error).__name__}: {error}"
            problems.append(Problem(agent=reader.agent, file=str(source.path), what="not understood", detail=why))
            return Read((), (), tuple(problems))

    def _go_on(self, key: Key, source: Source, sought: Sought, file: _Open) -> Read:
        self.parsed += source.size - file.end.offset
        end = file.parser.feed(source, file.end)
        rows = tuple(file.parser.rows())
        grows = not end.torn and source.path.suffix != ".zst"
        if grows and source.size >= LARGE and not sought.text:
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


_decode = msgspec.msgpack.Decoder(Kept).decode


def packed(read: Read) -> bytes:
    """What a file held, encoded."""
    usage = tuple(row for row in read.rows if isinstance(row, Usage))
    calls = tuple(row for row in read.rows if isinstance(row, ToolUse))
    messages = tuple(row for row in read.rows if isinstance(row, Message))
    sessions = tuple(row for row in read.rows if isinstance(row, Session))
    return msgspec.msgpack.encode(Kept(usage, calls, messages, sessions, tuple(read.problems)))
