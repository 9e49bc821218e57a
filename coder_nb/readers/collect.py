"""From files to rows: what is sought, each response and each tool call once, however many files tell it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from coder_nb.readers.base import Places, Reader, Sought, Source
from coder_nb.readers.rows import AnyRow, Message, Problem, Row, Session, ToolUse, Usage

R = TypeVar("R", bound=Row)


class Found(NamedTuple):
    """What one agent left."""

    agent: str
    usage: Sequence[Usage]
    tool_calls: Sequence[ToolUse]
    messages: Sequence[Message]
    sessions: Sequence[Session]
    problems: Sequence[Problem]
    files: int
    bytes: int
    copies: int
    """How many records of responses and calls were copies of others."""


def collect(reader: Reader, roots: Iterable[Path], sought: Sought) -> Found:
    """Reads what a reader finds under some roots; the oldest files first, so that an original precedes its copy."""
    problems: list[Problem] = []
    sources = _sources(reader, roots, sought, problems)
    usage, calls = _Usage(), _Calls()
    messages: list[Message] = []
    sessions: dict[str, Session] = {}
    for source in sources:
        for row in _rows(reader, source, sought, problems):
            if type(row) is Usage:
                usage.add(row)
            else:
                _sort(row, calls, messages, sessions)
    responses = usage.rows()
    return Found(
        agent=reader.agent,
        usage=_within(responses, sought),
        tool_calls=_within(calls.rows.values(), sought),
        messages=_within(messages, sought),
        sessions=_within(sessions.values(), sought),
        problems=problems,
        files=len(sources),
        bytes=sum(source.size for source in sources),
        copies=usage.copies + calls.copies,
    )


def roots_of(reader: Reader, given: Mapping[str, Sequence[Path]] | Sequence[Path] | None) -> Iterable[Path]:
    """Where to look: the agent's places, in this home directory or in others, or folders named for the agent."""
    if given is None:
        return reader.roots(Places.ours())
    if isinstance(given, Mapping):
        return given.get(reader.agent, ())
    return [root for home in given for root in reader.roots(Places(home))]


def _sources(reader: Reader, roots: Iterable[Path], sought: Sought, problems: list[Problem]) -> list[Source]:
    found: dict[str, Source] = {}
    for root in dict.fromkeys(Path(str(root)).resolve() for root in roots):
        for source in reader.sources(root, sought, problems.append):
            found.setdefault(str(source.path), source)
    return sorted(found.values(), key=lambda source: (source.mtime, str(source.path)))


def _rows(reader: Reader, source: Source, sought: Sought, problems: list[Problem]) -> Iterator[AnyRow]:
    """The rows of a file; one on which the reader itself fails costs no other."""
    try:
        yield from reader.read(source, sought, problems.append)
    except Exception as error:  # what a file may hold knows no bounds
        why = f"{type(error).__name__}: {error}"
        problems.append(Problem(agent=reader.agent, file=str(source.path), what="not understood", detail=why))


def _sort(row: AnyRow, calls: _Calls, messages: list[Message], sessions: dict[str, Session]) -> None:
    if isinstance(row, Message):
        messages.append(row)
    elif isinstance(row, ToolUse):
        calls.add(row)
    elif isinstance(row, Session):
        known = sessions.get(row.session_id)
        sessions[row.session_id] = row if known is None else _joined(known, row)


class _Usage:
    """Responses by what makes them one: the same id, unless both have a request of their own."""

    def __init__(self) -> None:
        self._found: dict[str, Usage | list[Usage]] = {}
        self.copies = 0

    def add(self, row: Usage) -> None:
        known = self._found.setdefault(row.response_id, row)
        if known is row:
            return
        rows = known if isinstance(known, list) else [known]
        for place, one in enumerate(rows):
            if one.request_id == row.request_id or None in (one.request_id, row.request_id):
                rows[place] = _one(one, row)
                self.copies += 1
                break
        else:
            rows.append(row)
        self._found[row.response_id] = rows

    def rows(self) -> list[Usage]:
        """Each response once; a side conversation's replay of the main one is none."""
        found: list[Usage] = []
        for known in self._found.values():
            if isinstance(known, Usage):
                found.append(known)
                continue
            main = [row for row in known if not row.sidechain] or known[:1]
            self.copies += len(known) - len(main)
            found += main
        return found


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
        self.rows: dict[str, ToolUse] = {}
        self.copies = 0

    def add(self, row: ToolUse) -> None:
        known = self.rows.setdefault(row.key, row)
        if known is not row:
            self.copies += 1
            if known.ended is None and row.ended is not None:
                self.rows[row.key] = row


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


def _within(rows: Iterable[R], sought: Sought) -> list[R]:
    """The rows that are sought; a row without a time is in no span of time."""
    found = list(rows)
    if sought.sessions:
        found = [row for row in found if row.session_id in sought.sessions]
    if sought.projects:
        found = [row for row in found if any(in_project(row.project, project) for project in sought.projects)]
    if sought.since is not None or sought.until is not None:
        found = [row for row in found if _overlaps(row, sought)]
    return found


def _overlaps(row: Row, sought: Sought) -> bool:
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
