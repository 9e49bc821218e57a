"""Files of one JSON value a line, streamed: a file is never in memory, a line always is."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from sys import intern
from typing import BinaryIO, Generic, TypeVar

import msgspec

from coder_nb.core.rows import AnyRow, Problem
from coder_nb.errors import MissingExtra
from coder_nb.readers.base import Note, Parser, Source, Start

BUFFER = 1 << 18
T = TypeVar("T")
_SURROGATES = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?")


class Lines(Generic[T]):
    """The values of a file's lines; a line that cannot be read is noted and left out."""

    def __init__(
        self, agent: str, decode: Callable[[bytes], T], note: Note, *, lean: Callable[[bytes], T] | None = None
    ) -> None:
        """`lean` takes what it can of a line whose shape is not the expected one."""
        self._agent, self._decode, self._lean, self._note = agent, decode, lean, note
        self.end = Start()
        """Where the next lines will be, once all that there are now have been given."""
        self.markers = (b"", b"")
        """Lines with neither of them are passed over unread; every line has the empty one."""

    def of(self, source: Source, start: Start = Start()) -> Iterator[tuple[int, T]]:  # noqa: B008
        """Each line's number and value, from a place on."""
        decode, number, line = self._decode, start.line, b"\n"
        try:
            with opened(source.path) as file:
                file.seek(start.offset)
                for line in file:
                    number += 1
                    one, other = self.markers
                    if one not in line and other not in line:
                        continue
                    try:
                        value = decode(line)
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        yield from self._again(source, number, line, error)
                    else:
                        yield number, value
                self.end = Start(file.tell(), number, not line.endswith(b"\n"))
        except MissingExtra as error:
            self.end = Start(torn=True)
            self._note(self._problem(source, None, "compressed", error.message))
        except OSError as error:
            self.end = Start(torn=True)
            self._note(self._problem(source, None, "unreadable", error.strerror or str(error)))

    def _again(self, source: Source, number: int, line: bytes, error: Exception) -> Iterator[tuple[int, T]]:
        """The same line, mended as far as can be done without guessing."""
        if not line.strip(b" \t\r\n\0"):
            if line.strip():
                self._note(self._problem(source, number, "broken line", "nothing but NUL bytes"))
            return
        if isinstance(error, msgspec.ValidationError):
            self._note(self._problem(source, number, "unexpected shape", str(error)))
            with contextlib.suppress(msgspec.MsgspecError):
                if self._lean is not None:
                    yield number, self._lean(line)
            return
        try:
            value = self._decode(mended(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            what = "broken line" if line.endswith(b"\n") else "torn line"
            self._note(self._problem(source, number, what, str(error)))
            return
        self._note(self._problem(source, number, "mended line", str(error)))
        yield number, value

    def _problem(self, source: Source, line: int | None, what: str, detail: str) -> Problem:
        return Problem(agent=self._agent, file=str(source.path), line=line, what=what, detail=detail)


def whole(parser: Parser, source: Source) -> Iterable[AnyRow]:
    """All rows of a file, read from its beginning."""
    parser.feed(source, Start())
    return parser.rows()


def opened(path: Path) -> BinaryIO:
    """A file to read; one that an agent has compressed as what it was."""
    if path.suffix == ".zst":
        return _decompressed(path)
    return open(path, "rb", buffering=BUFFER)


def _decompressed(path: Path) -> BinaryIO:
    """Raises `MissingExtra` where there is nothing to decompress it by."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra.of("A history that was compressed", "pyarrow", "analysis") from error
    with pa.input_stream(str(path), compression="zstd") as stream:
        return io.BytesIO(stream.read())


def stem(path: Path) -> str:
    """A file's name without its endings, also where it was compressed."""
    return path.name.partition(".json")[0]


def shared(text: str | None) -> str | None:
    """The same text, as one object wherever it is told: each line of a file names its session, branch and model."""
    return intern(text) if text else text


def mended(line: bytes) -> bytes:
    """A line without NUL bytes around it, bytes that are no UTF-8, and halves of characters."""
    text = line.strip(b"\0 \t\r\n").removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    return _SURROGATES.sub(_whole, text).encode()


def _whole(found: re.Match[str]) -> str:
    text = found.group()
    pair = len(text) == 12 and text[3] in "89abAB"
    return text if pair else r"\ufffd" * (len(text) // 6)


def millis(text: str | int | float | None) -> int | None:
    """A time as agents write it, in milliseconds: ISO 8601, which is UTC where it names no zone, or a number."""
    if text is None:
        return None
    if not isinstance(text, str):
        return int(text * 1000) if abs(text) < 1e11 else int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
