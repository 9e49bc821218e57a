"""What a reader is, and what it is asked for. Other packages add theirs by entry points of `coder_nb.history`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from coder_nb.core.entries import Value
from coder_nb.core.rows import AnyRow, Problem

GROUP = "coder_nb.history"
What = Literal["usage", "tool_calls", "messages"]
Note = Callable[[Problem], None]
"""Takes what could not be read."""


class Places(NamedTuple):
    """Where an agent may have kept its files."""

    home: Path
    environ: Mapping[str, str] = {}

    @classmethod
    def ours(cls) -> Places:
        """Those of this process."""
        return cls(Path.home(), os.environ)

    def named(self, variable: str) -> list[Path]:
        """The folders that a variable names, which may be several, separated by commas."""
        given = self.environ.get(variable, "")
        return [self._expanded(part.strip()) for part in given.split(",") if part.strip()]

    def xdg(self, kind: Literal["DATA", "CONFIG", "STATE"], name: str) -> list[Path]:
        """A program's folder by the XDG convention; the usual place is kept beside one that a variable names."""
        usual = {"DATA": ".local/share", "CONFIG": ".config", "STATE": ".local/state"}[kind]
        return [base / name for base in (*self.named(f"XDG_{kind}_HOME"), self.home / usual)]

    def _expanded(self, path: str) -> Path:
        return self.home / path[2:] if path.startswith("~/") else Path(path)


class Sought(Value, kw_only=True):
    """What is asked for. A reader leaves out what it can see is not; it need not look for more than it can see."""

    what: frozenset[What] = frozenset({"usage"})
    text: bool = False
    """Whether texts, inputs and outputs are wanted, which are most of the bytes."""
    since: int | None = None
    until: int | None = None
    """Milliseconds; `until` itself is not in it."""
    projects: tuple[str, ...] = ()
    """A directory in all ways of writing it, or a directory's name; empty for all."""
    sessions: frozenset[str] = frozenset()
    """Native ids; empty for all."""


class Source(NamedTuple):
    """A file or a database of an agent."""

    path: Path
    mtime: int
    """Milliseconds."""
    size: int
    stamp: tuple[int, ...] | None = None
    """What changes whenever the file does; None where that is not known, and it is read each time."""


class Parser(Protocol):
    """What has been read of one file that only grows: it takes the lines that are new, and tells all rows again."""

    def feed(self, source: Source, start: Start) -> Start:
        """Reads from a place on; returns where to go on when the file has grown."""

    def rows(self) -> Iterable[AnyRow]: ...


class Start(NamedTuple):
    """A place between two lines of a file."""

    offset: int = 0
    line: int = 0
    """The number of lines before it."""
    torn: bool = False
    """Whether the last line has no end, so that there is no place behind it."""


class Reader(Protocol):
    """Reads what one agent left. It never writes, and what it cannot read it notes and leaves out."""

    agent: str

    def roots(self, places: Places) -> Iterable[Path]:
        """The folders where the agent keeps its history, whether they exist or not."""

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        """The files under a root that may hold something of what is sought."""

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        """What a file holds, in its order; each response and each tool call of the file once."""


@runtime_checkable
class Growing(Reader, Protocol):
    """A reader some of whose files only grow."""

    def parser(self, source: Source, sought: Sought, note: Note) -> Parser | None:
        """What reads a file that only grows; None where it is another kind of file."""


def files(folder: Path, agent: str, note: Note, *, suffixes: tuple[str, ...], deep: bool = True) -> Iterator[Source]:
    """The files under a folder by their endings; what may not be looked at is noted."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        note(Problem(agent=agent, file=str(folder), what="unreadable", detail=error.strerror or str(error)))
        return
    for entry in entries:
        if deep and entry.is_dir():
            yield from files(Path(entry.path), agent, note, suffixes=suffixes)
        elif entry.name.endswith(suffixes):
            try:
                stat = entry.stat()
            except OSError as error:  # it went away, or it is a link that leads nowhere
                note(Problem(agent=agent, file=entry.path, what="unreadable", detail=error.strerror or str(error)))
                continue
            yield Source(_path(entry.path), stat.st_mtime_ns // 1_000_000, stat.st_size, stamp(stat))


_path = lru_cache(maxsize=1 << 16)(Path)
"""Of a path the same object again, as making one takes longer than asking for its file's size."""


def stamp(*stats: os.stat_result) -> tuple[int, ...]:
    """What changes whenever one of some files does."""
    return tuple(figure for stat in stats for figure in (stat.st_size, stat.st_mtime_ns, stat.st_ino))


def fresh(source: Source, sought: Sought) -> bool:
    """Whether a file that only grows may hold something from `since` on."""
    return sought.since is None or source.mtime >= sought.since


def readers() -> dict[str, Reader]:
    """All readers there are, by agent: ours, and those of other packages, which may replace ours.

    One that has `on_request` is not asked unless it is named.
    """
    from coder_nb.readers.agentsview import Agentsview
    from coder_nb.readers.claude import Claude
    from coder_nb.readers.codex import Codex
    from coder_nb.readers.gemini import Gemini
    from coder_nb.readers.goose import Goose
    from coder_nb.readers.inspect import Inspect
    from coder_nb.readers.opencode import Opencode
    from coder_nb.readers.qwen import Qwen

    ours: list[Reader] = [Claude(), Codex(), Opencode(), Qwen(), Gemini(), Goose(), Agentsview(), Inspect()]
    others: list[Reader] = [point.load()() for point in entry_points(group=GROUP)]
    return {reader.agent: reader for reader in (*ours, *others)}
