"""What the agents left on disk, as frames that are read when they are asked for."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from coder_nb.analysis import tables
from coder_nb.analysis.columns import Column
from coder_nb.analysis.costs import reprice
from coder_nb.analysis.frames import Backend, frame, with_backend
from coder_nb.analysis.history import COVERAGE, Covered, history_frame, selected
from coder_nb.analysis.summing import SESSIONS, TURNS, Told, changes_of, session_sums, turn_sums, turns_of
from coder_nb.client.cache import folder
from coder_nb.client.recent import Looked, looked
from coder_nb.client.views import Views
from coder_nb.core.rows import Session, Turn, Usage
from coder_nb.errors import InvalidOption, UnknownAgent
from coder_nb.prices import Given
from coder_nb.readers.base import Reader, Sought, What, readers
from coder_nb.readers.collect import Found, roots_of
from coder_nb.readers.keep import keep as keep_files
from coder_nb.readers.keep import kept_roots

if TYPE_CHECKING:
    import pandas as pd

Day = str | date | datetime
Folder = str | Path
Roots = Folder | Sequence[Folder] | Mapping[str, Folder | Sequence[Folder]]

USAGE: frozenset[What] = frozenset({"usage"})
ALL: frozenset[What] = frozenset({"usage", "tool_calls", "messages"})
FRAMES = ".usage, .sessions, .turns, .tool_calls, .messages, .file_changes, .permissions, .quality, .coverage()"


class History(Views):
    """Frames over the agents' own files. What a frame needs is read once, when it is first asked for.

    `usage` has a row for each response of a model, however often it is written; `turns`, `tool_calls`, `messages`,
    `file_changes` and `sessions` one for each of them; `quality` what could not be read; `coverage()` what each agent's
    files hold.
    """

    def __init__(
        self,
        sought: Sought,
        chosen: Sequence[Reader],
        roots: Roots | None,
        columns: Sequence[str] | None = None,
        *,
        dtype_backend: Backend = None,
        prices: Given | None = None,
        keep: bool = False,
    ) -> None:
        self._sought, self._readers, self._roots = sought, chosen, _plain(roots)
        self._columns, self._backend, self._prices = columns, dtype_backend, prices
        self._read: dict[frozenset[What], tuple[Looked, Found]] = {}
        self._sums: Told | None = None
        self._whole: History | None = None
        self._keep, self._kept = keep, set[str]()

    @property
    def usage(self) -> pd.DataFrame:
        """One row a response, with its tokens and cost; every row counts."""
        looked, found = self._looked(USAGE)
        return self._finished(looked.usage(found))

    @property
    def tool_calls(self) -> pd.DataFrame:
        """One row a call of a tool; its input and output only with `text=True`."""
        return self._frame(self._told().calls, tables.TOOL_CALLS)

    @property
    def messages(self) -> pd.DataFrame:
        """One row a message; what it says only with `text=True`. What a fork copied is in both sessions."""
        return self._frame(self._told().messages, tables.MESSAGES)

    @property
    def file_changes(self) -> pd.DataFrame:
        """One row a file that a call says it has changed."""
        return self._frame(self._told().changes, tables.FILE_CHANGES)

    @property
    def permissions(self) -> pd.DataFrame:
        """Agents write down no permissions, so that it has no rows: those of the store are in `cnb.everything()`."""
        return self._frame(self._told().asked, tables.PERMISSIONS)

    @property
    def turns(self) -> pd.DataFrame:
        """One row a prompt, with what happened until the next one; what was asked only with `text=True`."""
        return self._frame(turn_sums(self._turns(), self._told()), TURNS)

    @property
    def sessions(self) -> pd.DataFrame:
        """One row a conversation with its sums, sub-agents that have a conversation of their own included."""
        return self._frame(session_sums(self._sessions(), self._told()), SESSIONS)

    @property
    def quality(self) -> pd.DataFrame:
        """What could not be read: where it is, and why."""
        return history_frame(self._found(ALL).problems, tables.QUALITY, dtype_backend=self._backend)

    def coverage(self) -> pd.DataFrame:
        """What each agent's files hold, and what they are known not to hold."""
        return with_backend(self._coverage(), self._backend)

    def _coverage(self) -> pd.DataFrame:
        found = self._found(ALL)
        return history_frame([Covered.of(reader.agent, found) for reader in self._readers], COVERAGE)

    def with_text(self) -> History:
        """The same history with what was said, and what tools were given and gave."""
        if self._sought.text:
            return self
        if self._whole is None:
            whole = copy.copy(self)
            whole._sought = replace(self._sought, text=True)
            whole._read, whole._kept = {}, set()
            self._whole = whole.refresh()
        return self._whole

    def refresh(self) -> History:
        """The same history, to be read again."""
        self._read.clear()
        self._kept.clear()
        self._sums = self._whole = None
        return self

    def __repr__(self) -> str:
        names = ", ".join(reader.agent for reader in self._readers)
        return f"History of {names}: {FRAMES}"

    def _told(self) -> Told:
        """All rows that there are; what only a call tells of files is taken from it."""
        if self._sums is None:
            found = self._found(ALL)
            changes = changes_of(found.tool_calls)
            self._sums = Told(found.usage, found.tool_calls, found.messages, (), changes)
        return self._sums

    def _turns(self) -> list[Turn]:
        return turns_of(self._found(ALL).messages)

    def _sessions(self) -> Sequence[Session]:
        return self._found(ALL).sessions

    def _usage_frame(self, rows: Iterable[Usage]) -> pd.DataFrame:
        return self._finished(frame(rows, tables.USAGE))

    def _finished(self, usage: pd.DataFrame) -> pd.DataFrame:
        if self._prices is not None:
            usage = reprice(usage, prices=self._prices)
        return with_backend(selected(usage, tables.USAGE, self._columns), self._backend)

    def _frame(self, rows: Iterable[Any], table: Sequence[Column]) -> pd.DataFrame:
        return history_frame(rows, table, self._columns, dtype_backend=self._backend)

    def _found(self, what: frozenset[What]) -> Found:
        return self._looked(what)[1]

    def _places(self, reader: Reader) -> tuple[Path, ...]:
        """Where to look: what was kept counts as the agent's own place does."""
        roots, kept = tuple(roots_of(reader, self._roots)), folder() / "kept"
        if self._keep and reader.agent not in self._kept:
            keep_files(reader, roots, kept, lambda _: None)
            self._kept.add(reader.agent)
        return (*roots, *kept_roots(reader.agent, kept)) if self._keep or self._roots is None else roots

    def _looked(self, what: frozenset[What]) -> tuple[Looked, Found]:
        """What was read already, if it has this; else the files are read."""
        for known, read in self._read.items():
            if what <= known:
                return read
        places = [(reader, self._places(reader)) for reader in self._readers]
        question = looked(places, replace(self._sought, what=what))
        self._read[what] = question, question.look()
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
    dtype_backend: Backend = None,
    prices: Given | None = None,
    keep: bool = False,
) -> History:
    """What the agents left on disk: Claude Code, Codex, opencode, Qwen Code, Gemini CLI and goose, as DataFrames.

    Nothing of the agents' is written, and nothing is asked of a network or a server. Files that cannot hold what is
    asked for are not opened. `project` is a directory, with all beneath it, or its name; `since` and `until` are days
    or times ("2026-10" is its first day), in UTC or in `tz`, and `until` is not included. `roots` are other home
    directories to look in, or folders by agent: ``{"claude": "/backup/.claude"}``. With `text` the frames have what was
    said, and tools' inputs and outputs. `prices` come before the list's, see `cnb.reprice`. With `keep`, the files are
    copied, compressed, to the folder `history` beside the store, so that what agents delete after a while is still
    there the next time, with or without it. Raises `UnknownAgent` or `InvalidOption`, and `MissingExtra` where `keep`
    has nothing to compress them by.
    """
    sought = Sought(
        text=text,
        since=_millis(since, "since", tz),
        until=_millis(until, "until", tz),
        projects=() if project is None else _projects(project),
        sessions=frozenset(_several(session)),
    )
    readers = _chosen(_several(agent))
    return History(sought, readers, roots, columns, dtype_backend=dtype_backend, prices=prices, keep=keep)


def _chosen(names: Sequence[str]) -> list[Reader]:
    known = readers()
    for name in names:
        if name not in known:
            raise UnknownAgent(f"There is no history of {name!r}: there is that of {', '.join(known)}.")
    usual = [name for name, reader in known.items() if not getattr(reader, "on_request", False)]
    return [known[name] for name in names or usual]


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
