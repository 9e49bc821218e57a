"""What the agents left on disk, as frames that are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from coder_nb.analysis import history as tables
from coder_nb.analysis.history import history_frame, summed
from coder_nb.errors import InvalidOption, UnknownAgent
from coder_nb.readers.base import Reader, Sought, What, readers
from coder_nb.readers.collect import Found, collect, roots_of

if TYPE_CHECKING:
    import pandas as pd

Day = str | date | datetime
Folder = str | Path
Roots = Folder | Sequence[Folder] | Mapping[str, Folder | Sequence[Folder]]

T = TypeVar("T")
USAGE: frozenset[What] = frozenset({"usage"})
ALL: frozenset[What] = frozenset({"usage", "tool_calls", "messages"})


class History:
    """Frames over the agents' own files. What a frame needs is read once, when it is first asked for.

    `usage` has a row for each response of a model, however often it is written; `tool_calls`, `messages` and `sessions`
    one for each of them; `quality` what could not be read; `coverage()` what each agent's files hold.
    """

    def __init__(
        self, sought: Sought, chosen: Sequence[Reader], roots: Roots | None, columns: Sequence[str] | None
    ) -> None:
        self._sought, self._readers, self._roots, self._columns = sought, chosen, _plain(roots), columns
        self._read: dict[frozenset[What], list[Found]] = {}

    @property
    def usage(self) -> pd.DataFrame:
        """One row a response, with its tokens and cost; every row counts."""
        return history_frame(_joined(found.usage for found in self._found(USAGE)), tables.USAGE, self._columns)

    @property
    def tool_calls(self) -> pd.DataFrame:
        """One row a call of a tool; its input and output only with `text=True`."""
        return history_frame(_joined(found.tool_calls for found in self._found(ALL)), tables.TOOL_CALLS, self._columns)

    @property
    def messages(self) -> pd.DataFrame:
        """One row a message; what it says only with `text=True`. What a fork copied is in both sessions."""
        return history_frame(_joined(found.messages for found in self._found(ALL)), tables.MESSAGES, self._columns)

    @property
    def sessions(self) -> pd.DataFrame:
        """One row a conversation with its sums, sub-agents that have a conversation of their own included."""
        found = self._found(ALL)
        rows = _joined(summed(one.sessions, one.usage, one.tool_calls, one.messages) for one in found)
        return history_frame(rows, tables.SESSIONS, self._columns)

    @property
    def quality(self) -> pd.DataFrame:
        """What could not be read: where it is, and why."""
        return history_frame(_joined(found.problems for found in self._found(ALL)), tables.QUALITY)

    def coverage(self) -> pd.DataFrame:
        """What each agent's files hold, and what they are known not to hold."""
        return history_frame(self._found(ALL), tables.COVERAGE)

    def refresh(self) -> History:
        """The same history, to be read again."""
        self._read.clear()
        return self

    def __repr__(self) -> str:
        names = ", ".join(reader.agent for reader in self._readers)
        return f"History of {names}: .usage, .sessions, .tool_calls, .messages, .quality, .coverage()"

    def _found(self, what: frozenset[What]) -> list[Found]:
        """What was read already, if it has this; else the files are read."""
        for known, found in self._read.items():
            if what <= known:
                return found
        sought = replace(self._sought, what=what)
        self._read[what] = [collect(reader, roots_of(reader, self._roots), sought) for reader in self._readers]
        return self._read[what]


def history(
    *,
    agent: str | Sequence[str] | None = None,
    project: Folder | None = None,
    since: Day | None = None,
    until: Day | None = None,
    session: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    text: bool = False,
    tz: str | tzinfo | None = None,
    roots: Roots | None = None,
) -> History:
    """What the agents left on disk: Claude Code, Codex, opencode, Qwen Code, Gemini CLI and goose, as DataFrames.

    Nothing is written, and nothing is asked of a network or a server. Files that cannot hold what is asked for are not
    opened. `project` is a directory, with all beneath it, or its name; `since` and `until` are days or times ("2026-10"
    is its first day), in UTC or in `tz`, and `until` is not included. `roots` are other home directories to look in, or
    folders by agent: ``{"claude": "/backup/.claude"}``. With `text` the frames have what was said, and tools' inputs
    and outputs. Raises `UnknownAgent` or `InvalidOption`.
    """
    sought = Sought(
        text=text,
        since=_millis(since, "since", tz),
        until=_millis(until, "until", tz),
        projects=() if project is None else _projects(project),
        sessions=frozenset(_several(session)),
    )
    return History(sought, _chosen(_several(agent)), roots, columns)


def _chosen(names: Sequence[str]) -> list[Reader]:
    known = readers()
    for name in names:
        if name not in known:
            raise UnknownAgent(f"There is no history of {name!r}: there is that of {', '.join(known)}.")
    return [known[name] for name in names or known]


def _several(given: str | Sequence[str] | None) -> Sequence[str]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _projects(given: Folder) -> tuple[str, ...]:
    """A name stays a name; a path becomes absolute, as it is written and as it is without links."""
    text = str(given)
    is_path = isinstance(given, Path) or "/" in text or "\\" in text or text in (".", "..", "~")
    path = Path(text).expanduser().absolute()
    return tuple(dict.fromkeys((str(path), str(path.resolve())))) if is_path else (text,)


def _millis(given: Day | None, name: str, tz: str | tzinfo | None) -> int | None:
    """A day or a time in milliseconds; a day is its beginning."""
    if given is None:
        return None
    time: date = given if isinstance(given, date) else _parsed(given, name)
    moment = time if isinstance(time, datetime) else datetime(time.year, time.month, time.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_zone(tz))
    return round(moment.timestamp() * 1000)


def _parsed(text: str, name: str) -> datetime:
    full = text + {4: "-01-01", 7: "-01"}.get(len(text), "")
    try:
        return datetime.fromisoformat(full)
    except ValueError as error:
        raise InvalidOption(f"{name}={text!r} is no day or time: write it as 2026-10-31, or 2026-10.") from error


def _zone(tz: str | tzinfo | None) -> tzinfo:
    if not isinstance(tz, str):
        return tz or UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(tz)
    except (KeyError, ValueError) as error:
        raise InvalidOption(f"tz={tz!r} is no time zone: write it as Europe/Berlin.") from error


def _plain(roots: Roots | None) -> Mapping[str, Sequence[Path]] | Sequence[Path] | None:
    if roots is None:
        return None
    if isinstance(roots, Mapping):
        return {agent: _folders(given) for agent, given in roots.items()}
    return _folders(roots)


def _folders(given: Folder | Sequence[Folder]) -> list[Path]:
    several = [given] if isinstance(given, str | Path) else given
    return [Path(one).expanduser() for one in several]


def _joined(parts: Iterable[Iterable[T]]) -> Iterable[T]:
    return chain.from_iterable(parts)
