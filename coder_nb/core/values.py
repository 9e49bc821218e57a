"""What a caller of the runtime gives and gets: the same values in process, over REST and in the database."""

from __future__ import annotations

from typing import Literal

from coder_nb.core.attention import Asks, Attention, AttentionState, Why
from coder_nb.core.entries import Attachment, Cell, Choice, Command, CostSource, Delta, End, Page, Tokens, Value
from coder_nb.core.lifecycle import AgentStatus, RunStatus
from coder_nb.core.permissions import Answerer, PermissionMode

PROTOCOL = 1
"""The version of the wire: within a major it only grows."""

Isolation = Literal["worktree", "none"]
"""Where agents work: in a worktree of the session's, or in the checkout itself."""
Operation = Literal["create", "edit", "delete", "rename"]
ChangeStatus = Literal["pending", "applied", "rejected", "reverted", "superseded", "conflict"]


class SessionInfo(Value):
    """A piece of work on one working directory."""

    id: str
    owner: str
    path: str
    """The real path of the working directory, as given by the user."""
    name: str = "main"
    title: str = ""
    created_at: int = 0
    worktree: str | None = None
    """Where the agents work; None before the first turn."""
    branch: str | None = None
    base_commit: str | None = None
    host: str | None = None
    chats: tuple[str, ...] = ()
    archived_at: int | None = None
    """When it was put away; None while it is in use."""
    isolation: Isolation = "worktree"
    base: str | None = None
    """The commit or branch that the worktree begins with, where it is not the checkout as it is."""


class ChatInfo(Value):
    """One conversation: the static part, its run state, and what it has used so far."""

    id: str
    session_id: str
    name: str = "main"
    title: str = ""
    created_at: int = 0
    rev: int = 0
    run_status: RunStatus = "initializing"
    inbox_cursor: str | None = None
    turn_id: str | None = None
    """The turn that is running."""
    held: bool = False
    """Whether the queue waits for the user to go on, after a Stop or an interruption."""
    error: str | None = None
    queued: tuple[Prompt, ...] = ()
    asking: Answerer | None = None
    """Who is asked for the permission that the running turn waits for; None where it waits for none."""
    runner: str | None = None
    """Who runs the session now, in words, where it is another process; None where it is this one or nobody."""
    archived_at: int | None = None
    """When it was put away; None while it is in use."""
    place: int | None = None
    """Its place, from 1, among the turns that wait for one of those that run to end; None where it waits for none."""
    starting: bool = False
    """Whether the agent of the turn that runs has still to be given its prompt."""
    asks: Asks | None = None
    """What the running turn waits to have answered."""
    unseen: bool = False
    """Whether a turn has ended since somebody looked at the chat."""
    attention: Attention | None = None
    """What it is doing, in a word, which follows from all that; None where the runtime has not said."""

    @property
    def resource(self) -> str:
        """The stable id of the chat's durable part."""
        return f"coder-session/{self.id}"


class ChatAttention(Value):
    """What one chat is doing, for whoever looks after many."""

    chat_id: str
    session_id: str
    path: str
    session: str
    """The session's name."""
    chat: str
    """The chat's name."""
    title: str = ""
    state: AttentionState = "idle"
    why: Why = ""
    place: int | None = None
    agent: str | None = None
    """Of the last turn."""
    turn_id: str | None = None
    """The turn that is running."""
    since: int | None = None
    """When that began: the request, the turn, or its end; milliseconds since the epoch."""
    error: str | None = None


class Prompt(Value):
    """A prompt in the inbox. The id is made by the client: the same id sent again is the same prompt (law 3)."""

    id: str
    text: str
    agent: str | None = None
    """None: the agent of the chat's last turn, or the default one."""
    model: str | None = None
    effort: str | None = None
    """How much the agent thinks, as it offers it; None for what it takes by itself."""
    mode: PermissionMode | None = None
    cell: Cell | None = None
    attachments: tuple[Attachment, ...] = ()
    """Files and images that go with it."""
    answers: tuple[Literal["callback", "on_question", "stdin"], ...] = ()
    """How the caller itself can answer while it waits for this turn: permissions by a callback, questions by one of
    their own, both at the terminal."""
    once: bool = False
    """Whether the agent is ended with the turn, as the caller wants nothing kept warm."""
    created_at: int = 0
    python: str = ""
    """The interpreter of the notebook it came from, which becomes the agents' own; empty for the runtime's."""


class TurnInfo(Value):
    """One turn, running or ended."""

    id: str
    chat_id: str
    prompt_id: str | None
    agent: str
    state: str
    started_at: int
    ended_at: int | None = None
    end: End | None = None
    reason: str = ""
    message: str = ""
    code: str = ""


class AgentInfo(Value):
    """Whether an agent can be used here, and if not, what to do."""

    name: str
    label: str
    backend: str
    available: bool
    version: str | None = None
    path: str | None = None
    reason: str = ""
    """Why it cannot be used; empty where it can."""
    cure: str = ""
    """What the user does about it: a command, or a setting."""
    icon: str = ""
    """The name of an icon that the front end has."""
    default: bool = False


class ForkedFrom(Value):
    """What an agent session branches off from when it is first opened, where its agent can do so."""

    native_id: str
    at: str | None = None
    """The native id of the last message of the user that is kept, where it is known; without, all of it or nothing."""
    chat_id: str = ""
    turns: int = 0
    """How many turns the agent had taken in that chat."""


Memory = Literal["resumed", "history", "new"]
"""What an agent brings to its next prompt in a chat: its own memory, which goes on; the conversation so far, as it is
told, where its own memory is lost; or, where it has not spoken in the chat yet, nothing of its own."""


class AgentSessionInfo(Value):
    """One agent's own context in one chat."""

    chat_id: str
    agent: str
    backend: str
    status: AgentStatus
    native_id: str | None = None
    model: str | None = None
    models: tuple[Choice, ...] = ()
    efforts: dict[str, tuple[str, ...]] = {}
    """How much it may be told to think, by the model's id; under the empty one what goes for all others."""
    images: bool | None = None
    """Whether it takes pictures; None where it has not said."""
    files: bool | None = None
    """Whether it takes files that are carried along with a prompt, not only their paths."""
    commands: tuple[Command, ...] = ()
    config_hash: str = ""
    forked_from: ForkedFrom | None = None
    earlier: tuple[str, ...] = ()
    """Native ids that it had before, and that were given up."""
    host: str | None = None
    pid: int | None = None
    last_active_at: int | None = None
    next: Memory | None = None
    """What the next prompt finds of its memory; None where the runtime has not said."""


class NativeSession(Value):
    """A session that an agent keeps by itself."""

    native_id: str
    title: str = ""
    cwd: str = ""
    updated_at: int | None = None
    """Milliseconds since the epoch."""


class Share(Value):
    """A link by which others may look at a chat, and do nothing else, until it is revoked."""

    id: str
    chat_id: str
    by: str = ""
    created_at: int = 0
    revoked_at: int | None = None
    link: str = ""
    """The secret part of the address; given once, when it is made."""


Files = Literal["shared", "cloned", "fresh"]
"""What a fork works on: the same worktree, a copy of it with its work that is not applied, or a new one."""


class AgentCommands(Value):
    """The slash commands and skills of an agent, as it told them last."""

    agent: str
    commands: tuple[Command, ...] = ()


class AgentOffer(Value):
    """What the next prompt of a chat may ask of an agent, and what it would find there."""

    agent: str
    memory: Memory
    told: bool = False
    """Whether it is told first what was said and done without it."""
    model: str | None = None
    """The model that it used last in the chat."""
    models: tuple[Choice, ...] = ()
    """Those that it can be given, as it said last; none where it has not said."""
    efforts: dict[str, tuple[str, ...]] = {}
    """How much it may be told to think, by the model's id; under the empty one what goes for all others."""
    modes: tuple[PermissionMode, ...] = ()
    """Those that the administrator allows, from the most careful to the least."""
    images: bool | None = None
    """Whether it takes pictures; None where it has not said, and they may be tried."""
    files: bool | None = None
    """Whether it takes files that are carried along; None where it has not said, and they may be tried."""
    carries: int = 0
    """How many bytes of both a prompt may carry."""


class Hunk(Value):
    """Lines of a unified diff; `lines` carry their leading ``' '``, ``'+'``, ``'-'`` and no line end, or ``'\\\\'``."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: tuple[str, ...]
    id: str = ""
    """Made of its lines, and kept while other hunks are decided: a decision names it, and a view that is out of date is
    refused. Empty in diffs that nobody decides about."""


class CellDelta(Value):
    """What a change did to one cell of a notebook."""

    operation: Literal["create", "edit", "delete"]
    cell_type: str
    number: int
    """The cell's place among the notebook's cells, from 1: among the new ones, or the old ones where it was deleted."""
    cell_id: str = ""
    hunks: tuple[Hunk, ...] = ()
    """What changed in its source."""
    note: str = ""
    """What else changed, in words: outputs, metadata, its kind, its place."""


class Change(Value):
    """What a turn did to one file, and what was decided about it."""

    id: str
    session_id: str
    chat_id: str
    turn_id: str
    path: str
    """Relative to the repository's root, with ``/``."""
    operation: Operation
    agent: str | None = None
    old_path: str | None = None
    status: ChangeStatus = "pending"
    additions: int | None = None
    deletions: int | None = None
    binary: bool = False
    old_mode: str | None = None
    new_mode: str | None = None
    old_blob: str | None = None
    new_blob: str | None = None
    hunks: tuple[Hunk, ...] = ()
    cells: tuple[CellDelta, ...] | None = None
    """The same by the cells of a notebook; None for what is none."""
    note: str = ""
    """What to know before applying: a conflict, a secret file, a checkout that moved on."""
    created_at: int = 0
    decided_at: int | None = None


class Clash(Value):
    """A place where the checkout and a change differ from what both began with; lines are without their ends."""

    line: int
    """Where it begins in the checkout's file, from 1."""
    yours: tuple[str, ...]
    base: tuple[str, ...]
    theirs: tuple[str, ...]


class Preview(Value):
    """What applying a change would do to the checkout as it is now."""

    change_id: str
    outcome: Literal["clean", "merges", "done", "conflict"]
    """``clean``: the file is as the agent found it. ``merges``: yours has changed, elsewhere. ``done``: it has the
    change already. ``conflict``: nothing would be written."""
    note: str = ""
    clashes: tuple[Clash, ...] = ()


class FileContent(Value):
    """A file of a change, before or after it."""

    media_type: str
    size: int
    text: str | None = None
    base64: str | None = None
    """The bytes of an image."""
    note: str = ""
    """Why neither is given."""


class CheckpointInfo(Value):
    """A state of the files and of the conversation to which a chat can be restored."""

    id: str
    """Of the turn that it is from before, or of the restore."""
    chat_id: str
    commit: str
    kind: Literal["turn", "restore"] = "turn"
    ts: int = 0
    agent: str | None = None
    prompt: str = ""
    """What the turn was asked, cut to 80 characters."""
    files: bool = True
    """Whether the files are still kept; older ones are forgotten, the conversation never is."""
    hidden: bool = False
    """Whether a restore has hidden what came after it, and with it this one."""


class UsageRow(Value):
    """Tokens and cost of one report of an agent."""

    entry_id: str
    chat_id: str
    session_id: str
    turn_id: str | None
    agent: str | None
    ts: int
    tokens: Tokens
    model: str | None = None
    cost_nanousd: int | None = None
    cost_source: CostSource = "unknown"
    counted: bool = True
    native_id: str | None = None
    """The agent's own id of the conversation; None where it was not written down."""


class Health(Value):
    """How the runtime is; `health` gives this to whoever may read, also where the runtime could not open."""

    protocol: int
    version: str
    runtime_id: str
    status: Literal["ok", "draining", "degraded"]
    agents_live: int = 0
    """How many agents are warm."""
    turns_running: int = 0
    readers: int = 0
    """How many pages and kernels follow chats."""
    detail: str = ""
    """Why it is ``degraded``, with the cure."""


class LiveAgent(Value):
    """A warm agent session, or a server that several of them share, as it was when it was looked at last."""

    key: str
    """Names it where it is evicted or started again."""
    agent: str
    state: Literal["starting", "idle", "busy", "deaf", "waiting", "broken"]
    """``deaf``: it lives and does not answer. ``waiting``: for its next start. ``broken``: it has ended by itself too
    often, and only a prompt starts it."""
    chat_id: str | None = None
    """None for a server."""
    chats: int = 1
    """How many chats use it."""
    pid: int | None = None
    """None where it has no process of its own."""
    started_at: int | None = None
    """Milliseconds since the epoch."""
    last_active_at: int | None = None
    memory: int | None = None
    """Bytes, with all that it has started; None where that is not known."""
    restarts: int = 0
    """How often it was started again."""
    why: str = ""
    """Why that was done last, or why it is not done any more."""
    retry_at: int | None = None
    """When it is started again."""
    session_id: str | None = None
    """The session of its chat."""
    title: str = ""
    """What its chat is about, or else the session's directory."""


class Happening(Value):
    """Something that happened to an agent session, in the words of `core.words`."""

    ts: int
    """Milliseconds since the epoch."""
    word: str
    text: str = ""
    """Its fields, as ``name=value``."""


class AgentLog(Value):
    """What there is to read about one agent of the pool, also when it is gone."""

    key: str
    happenings: tuple[Happening, ...] = ()
    """What happened to it here, the earliest first."""
    stderr: str = ""
    """The last 32 KiB of what its process wrote to its standard error, secrets blanked out."""


class Hello(Value, tag_field="type", tag="hello"):
    """The first frame of a stream."""

    protocol: int
    runtime_id: str
    epoch: str
    chat: ChatInfo
    session: SessionInfo
    may_execute: bool = True
    first_pos: int = 0
    """The position of the oldest entry that follows; older ones are asked for by REST, `before=`."""


class PageFrame(Value, tag_field="type", tag="page"):
    """What was committed since the last frame."""

    page: Page


class DeltaFrame(Value, tag_field="type", tag="delta"):
    """Live text; merged to one in 30 ms for each entry."""

    deltas: tuple[Delta, ...]


class StateFrame(Value, tag_field="type", tag="state"):
    """The chat's run state changed."""

    chat: ChatInfo


class ChangesFrame(Value, tag_field="type", tag="changes"):
    """The chat's changes, all of them, after something about them changed."""

    changes: tuple[Change, ...]


Frame = Hello | PageFrame | DeltaFrame | StateFrame | ChangesFrame
