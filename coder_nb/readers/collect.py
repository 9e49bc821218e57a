"""From files to rows: what is sought, each response and each tool call once, however many files tell it."""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from coder_nb.core.rows import Message, Problem, Row, Session, ToolUse, Usage
from coder_nb.readers.base import Places, Reader, Sought, Source
from coder_nb.readers.keep import ROOT, original
from coder_nb.readers.shelf import Read, Shelf

R = TypeVar("R", bound=Row)
_LATE = 2**62
_AHEAD = 16
"""So many files are asked of the disk before they are needed."""


class Found(NamedTuple):
    """What was found of one agent or of several, by time."""

    usage: Sequence[Usage] = ()
    tool_calls: Sequence[ToolUse] = ()
    messages: Sequence[Message] = ()
    sessions: Sequence[Session] = ()
    problems: Sequence[Problem] = ()
    files: Mapping[str, int] = {}
    """How many files were read, by agent."""
    bytes: Mapping[str, int] = {}
    copies: Mapping[str, int] = {}
    """How many records of responses and calls were copies of others, by agent."""
    same: int = 0
    """So many of the first responses are those that were found the time before."""


def collect(reader: Reader, roots: Iterable[Path], sought: Sought) -> Found:
    """What a reader finds under some roots."""
    return Collection([(reader, list(roots))], sought, Shelf()).look()


def roots_of(reader: Reader, given: Mapping[str, Sequence[Path]] | Sequence[Path] | None) -> Iterable[Path]:
    """Where to look: the agent's places, in this home directory or in others, or folders named for the agent."""
    if given is None:
        return reader.roots(Places.ours())
    if isinstance(given, Mapping):
        return given.get(reader.agent, ())
    return [root for home in given for root in reader.roots(Places(home))]


class _Place(NamedTuple):
    reader: Reader
    source: Source


class Collection:
    """What some readers find; looked at again, it reads and counts what has changed only."""

    def __init__(self, places: Sequence[tuple[Reader, Sequence[Path]]], sought: Sought, shelf: Shelf) -> None:
        self._places, self._sought, self._shelf = places, sought, shelf
        self._reads: dict[str, Read] = {}
        self._usage = _Usage(sought)
        self._found: Found | None = None
        self._newest = 0

    def look(self) -> Found:
        """What there is now."""
        problems: list[Problem] = []
        places = self._sources(problems)
        reads = self._read(places)
        changed = [path for path, read in reads.items() if self._reads.get(path) is not read]
        gone = self._reads.keys() - reads.keys()
        if self._found is not None and not changed and not gone and not problems:
            self._found = self._found._replace(same=len(self._found.usage))
            return self._found
        late = all(places[path].source.mtime >= self._newest for path in changed)
        if self._found is None or gone or not late:  # an original precedes its copy, so that the order matters
            self._usage, changed, self._reads = _Usage(self._sought), list(reads), {}
        for path in changed:
            before = self._reads.get(path)
            self._usage.replace(before.rows if before else (), reads[path].rows)
        same = self._usage.settle()
        self._reads, self._newest = reads, max((place.source.mtime for place in places.values()), default=0)
        self._found = self._all(places, problems)._replace(same=same)
        return self._found

    def _all(self, places: Mapping[str, _Place], problems: list[Problem]) -> Found:
        calls, messages, sessions = _Calls(), list[Message](), dict[tuple[str, str], Session]()
        for read in self._reads.values():
            problems += read.problems
            for row in read.rows if self._sought.what != {"usage"} else ():
                if type(row) is Message:
                    messages.append(row)
                elif type(row) is ToolUse:
                    calls.add(row)
                elif type(row) is Session:
                    key = (row.agent, row.session_id)
                    sessions[key] = _joined(sessions[key], row) if key in sessions else row
        files, size = Counter[str](), Counter[str]()
        for place in places.values():
            files[place.reader.agent] += 1
            size[place.reader.agent] += place.source.size
        return Found(
            usage=list(self._usage.rows),
            tool_calls=_sorted(_within(calls.rows.values(), self._sought)),
            messages=_sorted(_within(messages, self._sought)),
            sessions=_sorted(_within(sessions.values(), self._sought)),
            problems=problems,
            files=files,
            bytes=size,
            copies=self._usage.copies + calls.copies,
        )

    def _sources(self, problems: list[Problem]) -> dict[str, _Place]:
        """The files of all readers, the oldest first."""
        found: dict[str, _Place] = {}
        for reader, roots in self._places:
            for root in dict.fromkeys(Path(str(root)).resolve() for root in roots):
                is_copy = (root / ROOT).exists()
                for source in reader.sources(root, self._sought, problems.append):
                    if not is_copy or not (own := original(source.path, root)) or not own.exists():
                        found.setdefault(str(source.path), _Place(reader, source))
        return dict(sorted(found.items(), key=lambda item: (item[1].source.mtime, item[0])))

    def _read(self, places: Mapping[str, _Place]) -> dict[str, Read]:
        """The rows of each file, those that have to be read being asked of the disk some files ahead."""
        reads: dict[str, Read] = {}
        ahead = iter(place.source for path, place in places.items() if not self._is_read(path, place))
        for _ in range(_AHEAD):
            _ask_for(next(ahead, None))
        for path, place in places.items():
            known = self._reads.get(path)
            if known is not None and place.source.stamp is not None and known.stamp == place.source.stamp:
                reads[path] = known
                continue
            _ask_for(next(ahead, None))
            reads[path] = self._shelf.read(place.reader, place.source, self._sought)
        return reads

    def _is_read(self, path: str, place: _Place) -> bool:
        return path in self._reads or (place.reader.agent, path, self._sought.what) in self._shelf.known


def _ask_for(source: Source | None) -> None:
    """Has the system read a file while others are being understood."""
    if source is None or not hasattr(os, "posix_fadvise"):
        return
    with contextlib.suppress(OSError):
        file = os.open(source.path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(file)


class _Usage:
    """Responses by what makes them one: the same id, unless both have a request of their own."""

    def __init__(self, sought: Sought) -> None:
        self._sought = sought
        self._told: dict[tuple[str, str], list[Usage]] = {}
        self._counted: dict[tuple[str, str], list[Usage]] = {}
        self._changed: dict[tuple[str, str], None] = {}
        self.rows: list[Usage] = []
        """Those that count and are sought, by time."""
        self._copied: dict[tuple[str, str], int] = {}

    @property
    def copies(self) -> Counter[str]:
        """How many records were copies, by agent."""
        found = Counter[str]()
        for (agent, _), number in self._copied.items():
            found[agent] += number
        return found

    def replace(self, before: Sequence[object], after: Sequence[object]) -> None:
        """Takes what a file tells now instead of what it told."""
        told, changed = self._told, self._changed
        gone = {id(row) for row in before}
        for row in before:
            if type(row) is Usage:
                key = (row.agent, row.response_id)
                told[key] = [one for one in told[key] if id(one) not in gone]
                changed[key] = None
        for row in after:
            if type(row) is Usage:
                key = (row.agent, row.response_id)
                known = told.get(key)
                if known is None:
                    told[key] = [row]
                else:
                    known.append(row)
                changed[key] = None

    def settle(self) -> int:
        """Counts again what has changed; so many of the first rows are as they were."""
        fresh: list[Usage] = []
        same = len(self.rows)
        for key in self._changed:
            rows = self._told[key]
            counted = rows if len(rows) < 2 else _counted(rows)
            if len(rows) > 1:
                self._copied[key] = len(rows) - len(counted)
            known = self._counted.get(key)
            if known == counted:
                continue
            for row in known or ():
                same = min(same, self._take_out(row))
            self._counted[key] = counted
            fresh += counted
        self._changed.clear()
        fresh = _sorted(_within(fresh, self._sought))
        if fresh:
            same = min(same, bisect_left(self.rows, _key(fresh[0]), key=_key))
            self.rows[same:] = sorted(self.rows[same:] + fresh, key=_key)
        return same

    def _take_out(self, row: Usage) -> int:
        place = bisect_left(self.rows, _key(row), key=_key)
        while place < len(self.rows) and _key(self.rows[place]) == _key(row):
            if self.rows[place] is row:
                del self.rows[place]
                return place
            place += 1
        return place  # it was not among those that are sought


def _key(row: Row) -> tuple[int, str, int]:
    return (_LATE if row.ts is None else row.ts, row.file, row.line or 0)


def _sorted(rows: Iterable[R]) -> list[R]:
    return sorted(rows, key=_key)


def _counted(rows: Sequence[Usage]) -> list[Usage]:
    """The responses that records with one id are of; a side conversation's replay of the main one is none."""
    found: list[Usage] = []
    for row in rows:
        for place, one in enumerate(found):
            if one.request_id == row.request_id or None in (one.request_id, row.request_id):
                found[place] = _one(one, row)
                break
        else:
            found.append(row)
    return [row for row in found if not row.sidechain] or found[:1] if len(found) > 1 else found


def _one(first: Usage, second: Usage) -> Usage:
    """Two records of one response: the larger counts, the earlier time, the place that was read first."""
    larger = second if second.total > first.total else first
    times = [row.ts for row in (first, second) if row.ts is not None]
    return replace(
        first,
        tokens=larger.tokens,
        cost_nanousd=first.cost_nanousd if first.cost_nanousd is not None else second.cost_nanousd,
        ts=min(times, default=None),
        request_id=first.request_id or second.request_id,
        complete=first.complete or second.complete,
        copies=first.copies + second.copies,
    )


class _Calls:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], ToolUse] = {}
        self.copies = Counter[str]()

    def add(self, row: ToolUse) -> None:
        key = (row.agent, row.key)
        known = self.rows.setdefault(key, row)
        if known is not row:
            self.copies[row.agent] += 1
            if known.ended is None and row.ended is not None:
                self.rows[key] = row


def _joined(first: Session, second: Session) -> Session:
    """Two files of one session: the facts of the conversation's own come before those of a sub-agent's."""
    if first.subagent is not None and second.subagent is None:
        first, second = second, first
    starts = [row.ts for row in (first, second) if row.ts is not None]
    ends = [row.ended for row in (first, second) if row.ended is not None]
    kept = {
        name: getattr(first, name) or getattr(second, name) for name in ("title", "parent_id", "relation", "project")
    }
    return replace(first, ts=min(starts, default=None), ended=max(ends, default=None), **kept)


def _within(rows: Iterable[R], sought: Sought) -> Iterable[R]:
    """The rows that are sought; a row without a time is in no span of time."""
    found = rows
    if sought.sessions:
        found = [row for row in found if row.session_id in sought.sessions]
    if sought.projects:
        found = [row for row in found if any(in_project(row.project, project) for project in sought.projects)]
    if sought.since is not None or sought.until is not None:
        found = [row for row in found if in_time(row, sought)]
    return found


def in_time(row: Row, sought: Sought) -> bool:
    """Whether a row is of the time that is sought."""
    if sought.since is None and sought.until is None:
        return True
    if row.ts is None:
        return False
    last = row.ended if isinstance(row, Session) and row.ended is not None else row.ts
    return (sought.since is None or last >= sought.since) and (sought.until is None or row.ts < sought.until)


def in_project(path: str | None, project: str) -> bool:
    """Whether a working directory is a project, by its path (or one beneath it) or by its name."""
    if path is None:
        return False
    if "/" not in project and "\\" not in project:
        return PurePath(path).name == project
    return path == project or path.startswith(project.rstrip("/") + "/")
