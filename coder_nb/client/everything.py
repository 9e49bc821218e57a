"""The store and the agents' own files together, each response once.

What ran here is told twice: by what we saw, and by what the agent wrote down. Both are known to be the same by the
agent's own id of the conversation. Neither ever tells more than there was, and each may tell less: an agent's protocol
reports the last of several responses only, files are deleted after a while. So that of each conversation the one
counts that tells more tokens, ours where they are equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec.structs import replace

from coder_nb.analysis.frames import ARRAYS, with_backend
from coder_nb.analysis.summing import Told, changes_of, turns_of
from coder_nb.client.history import ALL, USAGE, History, history
from coder_nb.client.link import Link
from coder_nb.client.live import Live, rows_of, session_teller
from coder_nb.core.rows import Row, Session, Turn, Usage
from coder_nb.core.sessions import SessionInfo
from coder_nb.core.verbs import Verbs
from coder_nb.readers.base import Sought
from coder_nb.readers.collect import in_project, in_time

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R", bound=Row)
Conversation = tuple[str, str]
"""An agent, and its own id of a conversation."""


class Owner(NamedTuple):
    """What a conversation is in the store."""

    session_id: str
    chat_id: str | None


class Stored(NamedTuple):
    """What the store has, as far as it is sought."""

    told: Told
    turns: Sequence[Turn] = ()
    sessions: Sequence[Session] = ()


class Everything(History):
    """The frames of a `History`, over what ran here as well."""

    def __init__(self, link: Link, files: History, agents: Sequence[str]) -> None:
        self.__dict__.update(vars(files))
        self._link, self._agents = link, agents
        self._stored: Stored | None = None
        self._used: list[Usage] | None = None

    @property
    def usage(self) -> pd.DataFrame:
        """One row a response, or a report of several, with its tokens and cost; every row counts."""
        return self._usage_frame(self._counted())

    def coverage(self) -> pd.DataFrame:
        """What each agent's files hold; and of what ran here, the tokens that we saw and those that the files tell."""
        made, seen = self._coverage(), self._seen()
        both = Both(seen, self._found(USAGE).usage)
        for name, tokens in (("observed_tokens", both.seen), ("recorded_tokens", both.written)):
            of = {agent: sum(count for key, count in tokens.items() if key[0] == agent) for agent, _ in both.owners}
            made[name] = ARRAYS["int"]([of.get(agent) for agent in made["agent"]])
        return with_backend(made, self._backend)

    def refresh(self) -> Everything:
        super().refresh()
        self._stored = self._used = None
        return self

    def __repr__(self) -> str:
        return super().__repr__().replace("History of", "Everything of the store and of", 1)

    def _counted(self) -> list[Usage]:
        """Each response once."""
        if self._used is None:
            self._used = Both(self._seen(), self._found(USAGE).usage).counted()
        return self._used

    def _seen(self) -> list[Usage]:
        rows = self._link.run(usage_rows, self._link.verbs)
        return [row for row in rows if _is_sought(row, self._sought, self._agents)]

    def _store(self) -> Stored:
        if self._stored is None:
            self._stored = self._link.run(_stored, self._link.verbs, self._sought, self._agents)
        return self._stored

    def _told(self) -> Told:
        if self._sums is None:
            stored, found = self._store().told, self._found(ALL)
            both = Both(stored.usage, found.usage)
            calls = both.elsewhere(found.tool_calls)
            self._sums = Told(
                usage=self._counted(),
                calls=_by_time([*stored.calls, *calls]),
                messages=_by_time([*stored.messages, *both.elsewhere(found.messages)]),
                asked=stored.asked,
                changes=_by_time([*stored.changes, *changes_of(calls)]),
            )
        return self._sums

    def _turns(self) -> list[Turn]:
        both = Both(self._store().told.usage, self._found(ALL).usage)
        return [*self._store().turns, *turns_of(both.elsewhere(self._found(ALL).messages))]

    def _sessions(self) -> Sequence[Session]:
        found = self._found(ALL)
        both = Both(self._store().told.usage, found.usage)
        return [*self._store().sessions, *both.elsewhere(found.sessions)]


class Both:
    """Conversations of which the store and the agents' files may both tell."""

    def __init__(self, ours: Sequence[Usage], theirs: Sequence[Usage]) -> None:
        self._ours, self._theirs = ours, theirs
        self._parents = {(row.agent, row.session_id): row.parent_id for row in theirs if row.parent_id}
        self.owners = {(row.agent, row.native_id): Owner(row.session_id, row.chat_id) for row in ours if row.native_id}
        self.seen = _tokens(((row.agent, row.native_id), row) for row in ours if row.native_id and row.counted)
        self.written = _tokens((key, row) for row in theirs if (key := self._root(row)) in self.owners)

    def counted(self) -> list[Usage]:
        """The rows that count: of a conversation that both tell, those of the one that tells more."""
        files = {key for key, tokens in self.written.items() if tokens > self.seen[key]}
        ours = [row for row in self._ours if row.counted and (row.agent, row.native_id) not in files]
        theirs = []
        for row in self._theirs:
            key = self._root(row)
            if key not in self.owners:
                theirs.append(row)
            elif key in files:
                owner = self.owners[key]
                known = {"session_id": owner.session_id, "chat_id": owner.chat_id, "native_id": row.session_id}
                theirs.append(replace(row, **known))
        return _by_time([*ours, *theirs])

    def elsewhere(self, rows: Iterable[R]) -> list[R]:
        """The rows of conversations that are not in the store."""
        return [row for row in rows if self._root(row) not in self.owners]

    def _root(self, row: Row) -> Conversation:
        """The conversation whose sub-agents' it is, or its own."""
        native = row.session_id
        for _ in range(len(self._parents)):
            parent = self._parents.get((row.agent, native))
            if parent is None:
                break
            native = parent
        return row.agent, native


def everything(link: Link, *, agent: str | Sequence[str] | None = None, **options: Any) -> Everything:
    """The store and the files, by the options of `history`; `agent` may be one that leaves no files."""
    from coder_nb.readers.base import readers

    names = () if agent is None else (agent,) if isinstance(agent, str) else tuple(agent)
    known = [name for name in names if name in readers()]
    files = history(agent=known if names else None, **options)
    if names and not known:
        files._readers = []
    return Everything(link, files, names)


async def usage_rows(verbs: Verbs) -> list[Usage]:
    """What all chats have used, the first first."""
    rows = await verbs.usage()
    sessions = {one.id: one for one in await verbs.sessions()}
    unnamed = {row.session_id for row in rows if row.native_id is None}
    tellers = {name: await session_teller(verbs, one, natives=name in unnamed) for name, one in sessions.items()}
    return _by_time([tellers[row.session_id].usage(row) for row in rows if row.session_id in tellers])


async def _stored(verbs: Verbs, sought: Sought, agents: Sequence[str]) -> Stored:
    """All of the store that is sought; the chats of sessions that cannot be are not read."""
    parts: list[Stored] = []
    for session in await verbs.sessions():
        if _may_hold(session, sought):
            parts.append(await _stored_session(verbs, session, sought, agents))

    if sought.sessions:  # by what an agent calls it: then by what we do
        used = [row for part in parts for row in part.told.usage if row.native_id in sought.sessions]
        sought = replace(sought, sessions=sought.sessions | {row.session_id for row in used})

    def only(rows: Iterable[R]) -> list[R]:
        return [row for row in rows if _is_sought(row, sought, agents)]

    told = Told._make(only(row for part in parts for row in getattr(part.told, name)) for name in Told._fields)
    turns = only(turn for part in parts for turn in part.turns)
    active = {row.session_id for rows in told for row in rows} | {turn.session_id for turn in turns}
    sessions = [one for part in parts for one in part.sessions if one.session_id in active]
    return Stored(told, turns, sessions)


async def _stored_session(verbs: Verbs, session: SessionInfo, sought: Sought, agents: Sequence[str]) -> Stored:
    teller = await session_teller(verbs, session)
    rows: list[list[Any]] = [[] for _ in Told._fields]
    turns: list[Turn] = []
    for chat_id in session.chats:
        live = Live()
        await live.read(verbs, chat_id)
        told, some = await rows_of(verbs, chat_id, teller, list(live.fold))
        turns += some
        for known, more in zip(rows, told, strict=True):
            known.extend(more)
    names = ", ".join(dict.fromkeys(turn.agent for turn in turns)) or None
    ended = max((turn.ended or turn.ts or 0 for turn in turns), default=None)
    return Stored(Told(*rows), turns, [teller.session(names, ended)])


def _may_hold(session: SessionInfo, sought: Sought) -> bool:
    if sought.until is not None and session.created_at >= sought.until:
        return False
    return not sought.projects or any(in_project(session.path, project) for project in sought.projects)


def _is_sought(row: Row, sought: Sought, agents: Sequence[str]) -> bool:
    if agents and row.agent not in agents:
        return False
    if sought.sessions and not sought.sessions & {row.session_id, row.chat_id, row.native_id}:
        return False
    if sought.projects and not any(in_project(row.project, project) for project in sought.projects):
        return False
    return in_time(row, sought)


def _tokens(rows: Iterable[tuple[Conversation, Usage]]) -> Mapping[Conversation, int]:
    found: Counter[Conversation] = Counter()
    for key, row in rows:
        found[key] += row.total
    return found


def _by_time(rows: list[R]) -> list[R]:
    return sorted(rows, key=lambda row: (row.ts is None, row.ts or 0))
