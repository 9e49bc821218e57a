"""What a store is: a few small protocols, told apart by noun, over one database.

Every call is one transaction: it happens whole or not at all, also when it is cancelled. Every call raises
`StoreError`s only (`StoreLocked`, `StoreFull`, `StoreDamaged`, `StoreTooNew`), and `NotFound` where an id is unknown.
Whatever writes as a runner carries its `Lease`, which is checked inside the transaction: `LeaseLost` where it is not
the current one any more, and then nothing was written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from coder_nb.backends.history import History
from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.attention import Asks
from coder_nb.core.audit import AuditRow
from coder_nb.core.changes import Change, ChangeStatus
from coder_nb.core.copies import Share
from coder_nb.core.entries import Chunk, Entry, Page, Value
from coder_nb.core.lifecycle import RunStatus
from coder_nb.core.prompts import Prompt
from coder_nb.core.retention import Weight
from coder_nb.core.rules import Rule
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo
from coder_nb.core.usage import UsageRow


class Owner(Value):
    """A process that may hold leases: who it is, so that another can see whether it is still alive."""

    runtime_id: str
    host: str
    boot_id: str
    pid: int
    pid_started: float
    """The process's start time as the system tells it: with the pid, an identity that is never used again."""
    label: str = ""
    """What a person is told: ``the Jupyter server at http://localhost:8888 (pid 12)``."""


class Lease(Value):
    """The right to run the sessions of one working directory, until it expires or is released."""

    path: str
    owner: Owner
    generation: int


class RunState(Value):
    """What changes in a chat's run state."""

    run_status: RunStatus | None = None
    """None: as it is."""
    turn_id: str | None = None
    clear_turn: bool = False
    inbox_cursor: str | None = None
    """The prompt that is processed now: it leaves the inbox."""
    held: bool | None = None
    error: str | None = None
    clear_error: bool = False
    title: str | None = None
    """Taken only where the chat (and its session) has none yet."""
    starting: bool | None = None
    """Whether the agent of the turn that runs has still to be given its prompt."""


class Batch(Value):
    """What one commit of a runner writes, all of it or nothing."""

    entries: tuple[Entry, ...] = ()
    """New ones (``pos`` 0) get their position, others replace the entry with their id; a closed one needs no chunks."""
    chunks: tuple[Chunk, ...] = ()
    turn: TurnInfo | None = None
    """Inserted or replaced by id. A turn that has its end never changes again (law 1)."""
    state: RunState | None = None


class Committed(Value):
    """What the log assigned."""

    rev: int
    positions: tuple[int, ...]
    """Of the batch's entries, in their order."""
    ids: tuple[str, ...] = ()
    """Under which they stand: their own, or where a native id came twice, that of the entry that had it first."""


ENCODED = (
    "chat_id",
    "id",
    "pos",
    "rev",
    "ts",
    "turn_id",
    "agent",
    "parent",
    "native_id",
    "open",
    "kind",
    "body",
)
"""What the rows of `Log.encoded` hold, in their order; `open` is 0 or 1, `body` the body's JSON."""


class Log(Protocol):
    """A chat's entries: one revision counter a chat; nothing is ever removed."""

    async def commit(self, lease: Lease, chat_id: str, batch: Batch) -> Committed:
        """Writes a batch under one new revision."""

    async def read(self, chat_id: str, *, after: int = 0, limit: int = 500) -> Page:
        """What has a revision above `after`, in revision order; a revision is never split over two pages.

        It ends where it has a megabyte as well, so that one who is slow costs no more than that. An entry that is
        still open comes with all its committed text.
        """

    async def before(self, chat_id: str, pos: int, *, limit: int = 500) -> Page:
        """The newest entries below a position, by position; `Page.rev` is the chat's current one."""

    async def tail(self, chat_id: str, count: int) -> Page:
        """The newest `count` entries, by position, as of `Page.rev`."""

    async def landmarks(self, chat_id: str) -> tuple[Entry, ...]:
        """The beginnings of turns, what the user said, and the checkpoints, by position: these tell what is hidden."""

    async def unclosed(self, chat_id: str) -> tuple[Entry, ...]:
        """The entries that have not ended, with all their committed text, by position."""

    async def encoded(self, chat_id: str) -> list[tuple[Any, ...]]:
        """All entries by position, as rows of `ENCODED`, for frames: only what still streams is decoded."""


class Standing(Value):
    """Where a chat stands, in a few words: what there is to know of it without reading it."""

    chat_id: str
    session_id: str
    path: str
    session: str
    """The session's name."""
    name: str
    title: str
    created_at: int
    turn_id: str | None = None
    starting: bool = False
    asks: Asks | None = None
    asked_at: int | None = None
    queued: int = 0
    held: bool = False
    failed: bool = False
    error: str | None = None
    unseen: bool = False
    agent: str | None = None
    """Of the last turn."""
    started_at: int | None = None
    ended_at: int | None = None


class Catalog(Protocol):
    """Sessions and their chats."""

    async def open_session(
        self,
        owner: str,
        path: str,
        *,
        name: str,
        new: bool,
        session_id: str,
        now: int,
        isolation: Isolation = "worktree",
        base: str | None = None,
    ) -> SessionInfo:
        """Get or create, by (owner, path, name); with `new`, ``name-2`` and so on where the name is taken."""

    async def get_session(self, session_id: str) -> SessionInfo: ...

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """All of them, archived ones too."""

    async def archive_session(self, lease: Lease, session_id: str, *, at: int | None) -> None:
        """Puts a session away as of a time, or with None takes it out again; opening it by its name does so as well."""

    async def delete_session(self, lease: Lease, session_id: str) -> None:
        """Removes a session with all its chats, whole or not at all; its worktree's row stays, without a session."""

    async def open_chat(self, session_id: str, *, name: str, new: bool, chat_id: str, now: int) -> ChatInfo: ...

    async def get_chat(self, chat_id: str) -> ChatInfo:
        """With its queued prompts; `runner` is filled in by the runtime."""

    async def chats(self, session_id: str) -> tuple[ChatInfo, ...]: ...

    async def archive_chat(self, lease: Lease, chat_id: str, *, at: int | None) -> None:
        """As `archive_session`, for one chat."""

    async def delete_chat(self, lease: Lease, chat_id: str) -> None:
        """Removes a chat with its log, inbox, turns and changes, and ends its agent sessions' rows."""


TreeStatus = Literal["active", "closing", "deleting", "removed"]
"""Of a worktree's row; the two in the middle say that its end was begun, and must be finished or taken back."""


class TreeRow(Value):
    """What is written down of a worktree."""

    session_id: str | None
    path: str
    checkout: str
    base_commit: str
    host: str
    status: TreeStatus


class Trees(Protocol):
    """Worktrees, also those of sessions that are gone."""

    async def rows(self) -> tuple[TreeRow, ...]: ...

    async def record(
        self, lease: Lease, session_id: str, *, path: str, branch: str, base_commit: str, checkout: str = ""
    ) -> None:
        """Records the session's worktree, or its new base; the row outlives the session's."""

    async def mark(self, lease: Lease, session_id: str, status: TreeStatus, *, was: Sequence[TreeStatus]) -> bool:
        """Gives a session's worktree another status, if it has one of those; False where it has not."""

    async def forget(self, path: str) -> None:
        """Marks as removed what was at a path, for a session that is gone."""


class Turns(Protocol):
    """Turns, and what they used."""

    async def of_chat(self, chat_id: str) -> tuple[TurnInfo, ...]: ...

    async def unfinished(self, path: str) -> tuple[TurnInfo, ...]:
        """Turns without an end in chats of sessions on a working directory: what a dead runner left behind."""

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        """From the entries of kind ``usage``: there is no second truth."""


class Agents(Protocol):
    """Agent sessions: what each agent has of a chat."""

    async def of_session(self, session_id: str) -> tuple[AgentSessionInfo, ...]: ...

    async def get(self, chat_id: str, agent: str) -> AgentSessionInfo | None: ...

    async def latest(self) -> tuple[AgentSessionInfo, ...]:
        """Of each agent the session that was active last, wherever in the store."""

    async def put(self, lease: Lease, info: AgentSessionInfo) -> None: ...


class Inbox(Protocol):
    """Prompts accepted and not yet processed."""

    async def accept(self, lease: Lease, chat_id: str, prompt: Prompt, *, limit: int) -> bool:
        """Puts a prompt at the end; False where its id was accepted before, now or long ago (law 3).

        Raises `QueueFull` past `limit`.
        """

    async def waiting(self, chat_id: str) -> tuple[Prompt, ...]: ...

    async def withdraw(self, lease: Lease, chat_id: str, prompt_id: str) -> bool: ...


class Changes(Protocol):
    """What turns did to files, and what was decided."""

    async def record(self, lease: Lease, changes: Sequence[Change]) -> None:
        """Adds pending changes; those of the same session and path that were pending become superseded."""

    async def decide(self, lease: Lease, decisions: Mapping[str, tuple[ChangeStatus, str]], *, now: int) -> None:
        """Sets status and note by change id."""

    async def revise(self, lease: Lease, changes: Sequence[Change]) -> None:
        """Writes changes as they are now, new ones at the end, all or none: how one becomes a decided and a pending."""

    async def of_chat(self, chat_id: str) -> tuple[Change, ...]:
        """Superseded ones left out, the oldest first."""

    async def pending(self, session_id: str) -> tuple[Change, ...]:
        """Pending and conflicting ones of all chats of a session."""

    async def of_session(self, session_id: str) -> tuple[Change, ...]:
        """Of all its chats, superseded ones too, the oldest first."""

    async def get(self, change_id: str) -> Change: ...


class Leases(Protocol):
    """Who runs what."""

    async def acquire(self, path: str, owner: Owner, *, ttl: float) -> Lease:
        """Takes or keeps the lease. Raises `RunElsewhere`, naming the holder, where another living process has it.

        One that has expired by the database's clock, or whose process on this very host and boot is dead, is taken over
        at once with the next generation.
        """

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Raises `LeaseLost` where another has taken it."""

    async def release(self, lease: Lease) -> None: ...

    async def holder(self, path: str) -> Owner | None:
        """Who holds it now, alive and in time; None if nobody."""


class Copies(Protocol):
    """Chats that begin with a transcript."""

    async def plant(
        self,
        lease: Lease,
        chat: ChatInfo,
        *,
        entries: Sequence[Entry],
        turns: Sequence[TurnInfo],
        agents: Sequence[AgentSessionInfo] = (),
        changes: Sequence[Change] = (),
    ) -> bool:
        """Makes a chat with its log, turns, agent sessions and changes.

        False where there is one of its id, which stays as it is. Its name is made free with a number; entries stand at
        1, 2, 3 and so on, in their order.
        """


class Shares(Protocol):
    """Links by which a chat can be looked at; of the secret in a link only a hash is kept."""

    async def add(self, share: Share, secret_hash: str) -> None: ...

    async def of_chat(self, chat_id: str) -> tuple[Share, ...]:
        """All of them, revoked ones too, the oldest first."""

    async def find(self, secret_hash: str) -> Share:
        """Raises `NotFound` where no link has that secret, or where it was revoked."""

    async def revoke(self, share_id: str, *, at: int) -> bool:
        """False where it was revoked before; raises `NotFound` where there is none."""


class Rules(Protocol):
    """What each user has allowed and forbidden without being asked, and the permissions that were asked."""

    async def add(self, owner: str, rule: Rule) -> Rule:
        """Makes a rule; gives the one that is in force where the same was said of the same place before."""

    async def all(self, owner: str) -> tuple[Rule, ...]:
        """Revoked ones too, the oldest first; those of a session go with it."""

    async def holding(self, owner: str, *, session_id: str, path: str) -> tuple[Rule, ...]:
        """Those in force for a session on a working directory, the oldest first."""

    async def revoke(self, owner: str, rule_id: str, *, at: int, by: str) -> bool:
        """False where it was revoked before; raises `NotFound` where the owner has none of that id."""

    async def asked(self, chat_id: str | None = None) -> tuple[AuditRow, ...]:
        """The permissions of a chat or of all, the oldest first; of the entries: there is no second truth."""


class Keeping(Protocol):
    """How long, and how much, is kept."""

    async def weights(self) -> list[Weight]:
        """Every chat, with what is decided by."""

    async def keep(self, lease: Lease, session_id: str, *, days: int | None, mib: int | None) -> None:
        """What is said of one session; None for what the settings say."""


class Standings(Protocol):
    """Where chats stand."""

    async def every(self) -> tuple[Standing, ...]:
        """Of all chats that were not put away, the oldest first."""

    async def of(self, chat_id: str) -> Standing: ...

    async def seen(self, chat_id: str, rev: int) -> bool:
        """Somebody has looked at a chat up to a revision, whoever runs it; False where nothing had ended since."""


class Store(Protocol):
    """All of it, over one database."""

    log: Log
    catalog: Catalog
    turns: Turns
    agents: Agents
    trees: Trees
    inbox: Inbox
    changes: Changes
    leases: Leases
    history: History
    copies: Copies
    shares: Shares
    keeping: Keeping
    rules: Rules
    standings: Standings
    engine: Literal["sqlite", "postgresql"]

    def watch(self) -> AsyncIterator[frozenset[str] | None]:
        """Yields at once, and after each time that another process may have committed something.

        What comes is the ids of the chats that it was about, or None where it may be about anything. Ends when the
        store is closed. So a reader that reads whenever it is woken misses nothing.
        """

    async def close(self) -> None: ...
