"""Frozen settings with defaults; each is a trait of the extension and a ``CODER_NB_*`` variable of the kernel."""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from pathlib import Path

import msgspec

from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import InvalidOption

Positive = typing.Annotated[float, msgspec.Meta(gt=0)]
"""A time that cannot be nothing, as what is done again after it would be done without end."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set, in one value. Times are seconds, sizes bytes."""

    database: str = ""
    """The store: a path, ``postgresql://...``, or empty for `coder-nb/store.sqlite` in Jupyter's data directory."""
    worktrees: str = ""
    """Where worktrees are made; empty for `coder-nb/worktrees` beside the store."""
    default_agent: str = ""
    """The agent of a chat's first prompt where none is named; empty for the first one that is available."""
    most_permissive_mode: PermissionMode = "bypass"
    """The administrator's limit: modes less careful than this one are lowered to it."""
    most_lasting_rule: typing.Literal["none", "session", "project", "everywhere"] = "everywhere"
    """The administrator's limit on rules: the widest place in which a user's rule may allow something unasked."""
    forbidden_commands: tuple[str, ...] = ()
    """Beginnings of commands, such as ``git push``, that no mode, rule or answer allows. A guard against accidents:
    who means harm can write a program and run that."""
    permission_mode: PermissionMode = "ask"
    """The mode of a prompt that names none."""
    agents: dict[str, dict[str, typing.Any]] = {}
    """Agents to add or change, by name: the fields of `backends.registry.AgentSpec`."""
    agent_variables: tuple[str, ...] = ()
    """Names of variables of yours that every agent may see, beside those that its registry entry names."""
    mcp_servers: dict[str, dict[str, typing.Any]] = {}
    """Your own MCP servers, by name, for all agents that take them: `command`, `args`, `env`, or `url`, `headers`."""
    copy_ignored: tuple[str, ...] = ()
    """Folders that git ignores and that the worktree gets a copy of, such as ``data``."""
    link_ignored: tuple[str, ...] = ()
    """Folders and files that git ignores or that are left out for their size, and that the worktree gets a link to,
    such as ``data`` or ``*.parquet``; agents write through it."""
    large_file: int = 104_857_600
    """Files beyond this size that git does not track are left out of worktrees and checkpoints."""
    shadow_files: int = 20_000
    """How many files a folder without a git repository may have to be worked on."""
    isolation: typing.Literal["worktree", "none"] = "worktree"
    """Where the agents of a new session work: in a worktree of their own, or with ``none`` in the checkout itself."""
    checkpoint_days: float = 30.0
    """How long the state before a turn can be restored."""
    checkpoint_limit: int = 200
    """How many such states are kept for one session."""
    orphan_grace: float = 3600.0
    """How long the worktree of a session that is gone is left alone before it may be removed."""
    replay_recording: str = ""
    """The recording that the replay agent plays; empty for the one that is shipped."""
    replay_pace: float = 1.0
    """How fast the replay agent plays: 2 is twice as fast, 0 is without any wait."""
    idle_eviction: float = 1800.0
    """How long an agent is kept warm without a prompt; it resumes at the next one."""
    max_live: int = 10
    """How many agents are kept warm; beyond that the one that was idle longest is ended, never a busy one."""
    max_running: int = 10
    """How many turns run at the same time; further ones wait, first come first served."""
    max_queued: int = 100
    """How many prompts may wait in one chat."""
    max_entries: int = 10_000
    """How many entries one turn may make; one that makes more is stopped, and the next prompt goes on."""
    entry_limit: typing.Annotated[int, msgspec.Meta(ge=1)] = 1_000_000
    """The longest text of an entry, in characters: what is said goes on in another entry, and of what a tool gave the
    middle is left out."""
    max_readers: int = 500
    """How many pages and kernels may follow chats at the same time."""
    reader_patience: float = 30.0
    """How long a reader may take nothing of what it is sent before it is sent away; it may come back and read on."""
    sweep: Positive = 60.0
    """How often it is looked which working directories nobody uses, and how long a server is kept without a chat."""
    agent_memory: int = 0
    """How many bytes of memory an agent may take, with all that it has started, before it is started again as soon as
    it has no turn; at twice as many it is ended in its turn. A server may take that for each of its chats. 0 is any."""
    restarts: int = 4
    """How often an agent that ends by itself is started again by itself in ten minutes; after that only by a prompt."""
    start_timeout: float = 30.0
    """How long an agent may take to start."""
    start_tries: int = 2
    """How often it is tried to start an agent before the turn fails."""
    cancel_grace: float = 10.0
    """How long an agent that was told to stop has to end its turn before it is killed."""
    stop_grace: float = 5.0
    """How long a process has to end by itself before it is killed."""
    drain_grace: float = 1.0
    """How long turns that run have to end by themselves when the server stops, before they are interrupted."""
    health_interval: float = 15.0
    """How often it is looked how agents are, and a server that several chats share is asked."""
    health_timeout: float = 5.0
    """How long they have to answer."""
    stale_busy: float = 120.0
    """How long they may be busy and deaf before they are ended and started again."""
    permission_grace: float = 2.0
    """How long a permission waits for somebody to appear before it is denied because nobody is there."""
    lease_ttl: Positive = 30.0
    """How long a process that runs a session counts as alive without giving a sign of it."""
    keep_days: int = 0
    """After how many days without use a chat is deleted; 0 is never. What may hold work of yours stays."""
    keep_mib: int = 0
    """How many MiB of chats are kept of one session, beyond which the longest unused go; 0 is any."""
    budget_chat: float = 0.0
    """What a chat may cost, in US dollars, before it is warned; 0 is any amount."""
    budget_user: float = 0.0
    """What all chats of one user may cost together, in US dollars, before it is warned; 0 is any amount."""
    budget_day: float = 0.0
    """What all chats of the store may cost in one day, in US dollars, before it is warned; 0 is any amount."""
    budget_stops: bool = False
    """Whether a turn is stopped where it reaches a budget, and none begins beyond one."""
    prompt_limit: int = 900_000
    """The longest prompt, in bytes of UTF-8."""
    attachment_limit: int = 5_000_000
    """How many bytes of files and pictures a prompt may carry."""
    commit_interval: float = 0.1
    """The longest time from a text's being shown to its being stored."""
    delta_interval: float = 0.03
    """How long live text is gathered before it is sent on."""
    poll_interval: Positive = 0.05
    """How often it is looked for what other processes have stored."""
    git_timeout: Positive = 60.0
    """How long one call of git may take."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings that ``CODER_NB_<NAME>`` variables give; JSON for lists and tables.

        Raises `InvalidOption` naming the variable where a value cannot be understood.
        """
        env = os.environ if environ is None else environ
        hints = typing.get_type_hints(cls, include_extras=True)
        given: dict[str, typing.Any] = {}
        for field in cls.__struct_fields__:
            raw = env.get(f"CODER_NB_{field.upper()}")
            if raw is None:
                continue
            try:
                structured = raw.lstrip()[:1] in ("[", "{")
                value = msgspec.json.decode(raw) if structured else raw
                given[field] = msgspec.convert(value, hints[field], strict=False)
            except msgspec.MsgspecError as error:
                raise InvalidOption(
                    f"CODER_NB_{field.upper()} is {raw!r}, which is not understood: {error}."
                ) from error
        return cls(**given)

    def database_url(self) -> str | None:
        """The address of the PostgreSQL database; None where the store is a file."""
        return self.database if self.database.startswith(("postgresql://", "postgres://")) else None

    def database_path(self) -> Path:
        """The file of the store, or where it would be if it were one."""
        if self.database and self.database_url() is None:
            return Path(self.database).expanduser()
        from jupyter_core.paths import jupyter_data_dir

        return Path(jupyter_data_dir()) / "coder-nb" / "store.sqlite"

    def worktrees_path(self) -> Path:
        """The folder under which worktrees are made."""
        return Path(self.worktrees).expanduser() if self.worktrees else self.database_path().parent / "worktrees"

    def registers_path(self) -> Path:
        """The folder in which it is written down which processes run for us, for the start after a crash."""
        return self.database_path().parent / "processes"

    def spool_path(self) -> Path:
        """The folder in which what the store does not take in time waits for it."""
        return self.database_path().parent / "spool"
