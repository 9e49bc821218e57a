"""What a backend is: two small protocols, and what is told to an agent to open it and to prompt it.

A backend knows nothing of chats, entries or the store. It opens an agent session, and turns prompts into a stream of
events (`backends.events`); the runtime gives those ids, makes entries of them and commits them.

The contract that `coder_nb.testing.backend_conformance` checks:

1. `prompt` yields exactly one `Done`, as its last event, whatever happens: it never raises for what the agent did
   (a crash, garbage, a refusal), only for a wrong call of ours.
2. `cancel` makes a running prompt end with ``Done("cancelled")``, within the agent's grace; the session then takes the
   next prompt, unless `Done.alive` says that it is gone. Calling it when nothing runs does nothing.
3. Events of an earlier prompt never appear in a later one (law 1); what comes between two prompts goes to
   `idle_events`.
4. A pending `PermissionAsked` does not hold back other events, and is answered by `answer`, at most once; a prompt that
   ends takes its pending requests with it.
5. Text comes as deltas, each part of a message exactly once, in order (a final part that repeats deltas is dropped).
6. `close` is bounded in time and may be called at any moment, also twice.
7. What the agent says between two prompts goes to `idle_events`. Where it begins a turn by itself (as a background task
   has ended), that is a `SelfStarted`, the events of the turn, and one `Done`; `cancel` ends it as it ends a prompt.
8. A `QuestionAsked` is treated as a permission is: it holds back nothing, is answered by `reply` at most once, and goes
   with its prompt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from coder_nb.backends.events import AnyEvent
from coder_nb.core.agents import NativeSession
from coder_nb.core.entries import Attachment, Choice, Value
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import AgentUnavailable


class Capabilities(Value):
    """What an agent session can do; `None` where it has not been asked yet."""

    resume: bool | None = None
    """Goes on with a native session without telling its history again."""
    load: bool | None = None
    fork: bool | None = None
    list: bool | None = None
    close: bool | None = None
    images: bool | None = None
    files: bool | None = None
    """Takes files that are carried along with a prompt, not only their paths."""
    mcp: bool | None = None
    """Takes the user's MCP servers."""
    questions: bool | None = None
    rewind: bool | None = None
    steer: bool | None = None
    modes: tuple[Choice, ...] = ()
    models: tuple[Choice, ...] = ()
    efforts: Mapping[str, tuple[str, ...]] = {}
    """How much a model may be told to think, from the least to the most, by its id; under the empty one what goes for
    all that are not listed."""
    commands: bool | None = None
    cost: bool | None = None


class McpServer(Value):
    """A user's own MCP server: a command over stdio, or an address."""

    name: str
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    url: str = ""
    transport: Literal["http", "sse"] = "http"
    headers: dict[str, str] = {}


class ForkOf(Value):
    """The native session that a new one is to branch off from."""

    native_id: str
    at: str | None = None
    """The native id of the last message of the user that the fork keeps, answer included; None for all of it."""


class Opening(Value):
    """What is needed to open an agent session."""

    agent: str
    chat_id: str
    cwd: Path
    """The directory that the agent is given: the worktree, or the same subdirectory of it."""
    mode: PermissionMode = "ask"
    model: str | None = None
    effort: str | None = None
    """How much it thinks, of `Capabilities.efforts`; None for what the agent takes by itself."""
    native_id: str | None = None
    """The native session to go on with; None for a new one."""
    fork: ForkOf | None = None
    """With it, `native_id` is None: a new native session that begins with what another one holds."""
    mcp_servers: tuple[McpServer, ...] = ()
    env: dict[str, str] = {}
    """Variables that come with the working directory, such as those by which its Python is found."""
    turns: int = 0
    """How many turns this agent has taken in the chat (by which a replay knows its place)."""


class Asked(Value):
    """A prompt as an agent gets it: what others said since its last turn (law 13) is in `text` already."""

    text: str
    user_text: str
    """What the user wrote, and nothing else."""
    mode: PermissionMode = "ask"
    model: str | None = None
    effort: str | None = None
    attachments: tuple[Attachment, ...] = ()


class AgentSession(Protocol):
    """One agent's own context, alive."""

    @property
    def native_id(self) -> str | None:
        """The agent's id of it, by which it can be resumed."""

    @property
    def resumed(self) -> Literal["new", "resumed", "forked", "forgotten"]:
        """Whether it goes on with the `native_id` it was opened with; "forgotten" where the agent could not.

        "forked" where it branched off as `Opening.fork` says; where it could not, "forgotten" too.
        """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def pid(self) -> int | None:
        """The agent's process, where it has one of its own."""

    @property
    def alive(self) -> bool: ...

    def stderr_tail(self) -> str:
        """The end of what its process wrote to its standard error, secrets blanked out; empty where it has none."""

    def explain(self) -> str:
        """Why it has ended by itself, in sentences; empty where it has not, or that is not known."""

    async def healthy(self) -> bool:
        """Whether it answers; never asked while a prompt runs, and bounded. True where nobody can tell."""

    def fits(self, mode: PermissionMode) -> bool:
        """Whether it can be prompted in a mode as it is; otherwise it is closed, and opened again in that mode."""

    def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        """Takes a turn; see the contract above. One at a time."""

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission by one of its options; None is a refusal without a choice."""

    async def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        """Answers a question by ids of its choices or in the user's own words; None declines to answer."""

    async def steer(self, text: str) -> bool:
        """Hands the running prompt another message of the user; False where the agent cannot take it now."""

    async def rewind(self, to: str | None) -> bool:
        """Forgets what came after the message of the user with this native id, answer included; None: everything.

        False where the agent cannot; the session is then as it was. Only between prompts.
        """

    async def cancel(self) -> None:
        """Stops the running prompt; returns at once, the prompt then ends by itself."""

    async def close(self) -> None: ...


class Plain:
    """What a session that asks no questions, cannot be steered and cannot go back has from here."""

    def stderr_tail(self) -> str:
        return ""

    def explain(self) -> str:
        return ""

    async def healthy(self) -> bool:
        return True

    def fits(self, mode: PermissionMode) -> bool:
        return True

    async def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        """Nothing was asked."""

    async def steer(self, text: str) -> bool:
        return False

    async def rewind(self, to: str | None) -> bool:
        return False


class Backend(Protocol):
    """Opens agent sessions of one kind."""

    async def probe(self, agent: str) -> Probe:
        """Whether the agent can be used here, without starting a browser or changing the user's configuration."""

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> AgentSession:
        """Starts or connects; raises an `AgentUnavailable` or `AgentFailed`, never anything foreign.

        `idle_events` is called on the loop with what the agent says while no prompt runs.
        """

    async def native_sessions(self, agent: str, cwd: Path) -> tuple[NativeSession, ...]:
        """What the agent keeps for a directory, the latest first; empty where it cannot tell."""

    def told(self, agent: str, native_id: str, cwd: Path) -> AsyncIterator[AnyEvent]:
        """A native session's history, for an import: each turn is a `UserSaid` and what followed it.

        Usage in it is not counted. Raises `NotFound`, or `AgentUnavailable` where the agent does not tell histories.
        """

    async def close(self) -> None:
        """Ends what is shared between sessions; bounded."""


class Untold:
    """What a backend whose agents list no sessions and tell no histories has from here."""

    async def native_sessions(self, agent: str, cwd: Path) -> tuple[NativeSession, ...]:
        return ()

    async def told(self, agent: str, native_id: str, cwd: Path) -> AsyncIterator[AnyEvent]:
        raise AgentUnavailable(f"{agent} does not tell what its earlier sessions hold: prompt it to go on with one.")
        yield  # makes it a generator


class Probe(Value):
    available: bool
    version: str | None = None
    path: str | None = None
    logged_in: bool | None = None
    """None where it cannot be told before it is prompted; False is a good guess, and a prompt may still be tried."""
    reason: str = ""
    cure: str = ""
