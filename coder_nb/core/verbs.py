"""What can be asked of a runtime: the same calls in process, in the kernel and over REST.

`runtime.Runtime` is the reference; `client.remote.Remote` sends each over the wire to a server's runtime, and the
extension's handlers call it. Every call raises `coder_nb.errors` only, and `NotFound` where it is about a chat or a
session that does not exist.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from coder_nb.core.agents import AgentCommands, AgentInfo, AgentOffer, AgentSessionInfo, NativeSession
from coder_nb.core.attention import ChatAttention
from coder_nb.core.audit import AuditRow
from coder_nb.core.changes import Change, FileContent, Preview
from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.copies import Files, Share
from coder_nb.core.entries import Page
from coder_nb.core.export import Exported
from coder_nb.core.health import AgentLog, Health, LiveAgent
from coder_nb.core.prompts import Prompt
from coder_nb.core.risk import Risk, WorktreeInfo
from coder_nb.core.rules import Always, AnyCovers, Does, Rule, Scope
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo
from coder_nb.core.stream import Frame
from coder_nb.core.usage import UsageRow


class Verbs(Protocol):
    """A runtime, wherever it is."""

    async def health(self) -> Health: ...

    async def agents(self) -> tuple[AgentInfo, ...]:
        """Every agent known here, the usable ones first; probes programs, so it may take a second."""

    async def open_session(
        self,
        path: str,
        *,
        name: str = "main",
        new: bool = False,
        isolation: Isolation | None = None,
        base: str | None = None,
    ) -> SessionInfo:
        """The session of this owner, real path and name, made if there is none; with `new`, always another one.

        With `isolation` ``none`` its agents work in the checkout itself; with a `base`, its worktree begins with that
        commit or branch instead of the checkout as it is. Raises `Conflict` where the one there is was begun otherwise.
        """

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """All sessions of the store, the latest first."""

    async def get_session(self, session_id: str) -> SessionInfo: ...

    async def open_chat(self, session_id: str, *, name: str = "main", new: bool = False) -> ChatInfo:
        """The session's chat of that name, made if there is none."""

    async def get_chat(self, chat_id: str) -> ChatInfo: ...

    async def prompt(self, chat_id: str, prompt: Prompt) -> ChatInfo:
        """Accepts a prompt into the inbox and returns at once; the same id again is the same prompt (law 3).

        Raises `EmptyPrompt`, `PromptTooLong`, `UnknownAgent`, `AgentUnavailable`, `QueueFull`, or `RunElsewhere`; what
        is refused leaves no trace.
        """

    async def stop(self, chat_id: str) -> bool:
        """Stops the running turn and holds what waits, also where none runs yet; False where there was neither.

        Returns when the stop is under way.
        """

    async def steer(self, chat_id: str, text: str) -> bool:
        """Hands the running turn another message of the user.

        False where nothing runs, or where its agent cannot take it now: it is then prompted like anything else.
        """

    async def commands(self, chat_id: str) -> tuple[AgentCommands, ...]:
        """The commands of each agent as they are known here; a prompt runs one by its name: ``/name arguments``."""

    async def go_on(self, chat_id: str) -> ChatInfo:
        """Lets a held queue run again."""

    async def withdraw(self, chat_id: str, prompt_id: str) -> bool:
        """Takes a prompt that still waits out of the inbox; False where it is not waiting (any more)."""

    async def answer(
        self,
        chat_id: str,
        request_id: str,
        option_id: str | None,
        *,
        by: str | None = None,
        always: Always | None = None,
    ) -> bool:
        """Answers a pending permission by one of its options, None to refuse; False where it is no longer pending.

        `by` is the person who gave it, or ``callback`` or ``stdin``, by which the caller asked; None is the caller as
        whoever is asked here knows them, and so it is in all that is done in somebody's name. With `always`, one of the
        rules that were offered is made with it, which allows or forbids as the answer does. Raises `InvalidOption` for
        an answer or a rule that was not offered.
        """

    async def reply(
        self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str | None = None
    ) -> bool:
        """Answers a pending question by ids of its choices or in own words, None to decline; False as in `answer`.

        Raises `InvalidOption` for an answer that the question does not take.
        """

    async def attend(self, chat_id: str, *, who: str, prompt_id: str | None = None) -> None:
        """Says that a browser, or another place where the agent's requests can be answered, is there and watching.

        With `prompt_id`, that the caller who waits for this prompt is: it is asked only for as long as it says so.
        """

    async def rules(self, session_id: str | None = None) -> tuple[Rule, ...]:
        """The user's rules, revoked ones too, the oldest first; of a session, those that are in force there."""

    async def make_rule(
        self, covers: AnyCovers, *, does: Does, scope: Scope, session_id: str | None = None, by: str | None = None
    ) -> Rule:
        """Makes a rule, or gives the one that says the same; a session is needed but for one that holds everywhere.

        Raises `InvalidOption` for a rule that would allow what it does not say, or reach further than it may.
        """

    async def revoke(self, rule_id: str, *, by: str | None = None) -> bool:
        """Ends a rule at once; False where it had ended."""

    async def audit(self, chat_id: str | None = None) -> tuple[AuditRow, ...]:
        """The permissions of a chat or of all: what was asked, who or which rule answered; the oldest first."""

    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        """The chat's turns, the first first."""

    async def read(self, chat_id: str, *, after: int = 0, before: int | None = None, limit: int = 500) -> Page:
        """A page of the log: what has a revision above `after`; with `before`, the newest entries below a position."""

    def stream(self, chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        """Follows a chat: `Hello`, then pages, live text and state as they come, until the iterator is closed.

        With `after`, from that revision on; without, from the newest `tail` entries on.
        """

    async def changes(self, chat_id: str) -> tuple[Change, ...]:
        """The changes of the chat's turns, superseded ones left out, the oldest first."""

    async def apply(
        self,
        chat_id: str,
        change_ids: Sequence[str],
        *,
        hunks: Mapping[str, Sequence[str]] | None = None,
        to: str = "",
        commit: str = "",
    ) -> tuple[Change, ...]:
        """Writes changes into the checkout, each file wholly or not; returns all that it touched, as it is now.

        `hunks` names, by a change's id, the ids of those of its hunks that are meant; the change itself keeps what is
        left to decide, and a new one holds what was decided. One that cannot land has the status ``conflict`` and a
        note that says why; nothing of it was written. What was applied before is left as it is.

        With `commit`, a message, they become one commit of the checkout's HEAD as well; with `to`, ``branch:<name>``,
        one commit of that branch instead, and the checkout is left alone: all of them or none. Raises `StaleChange`
        where something is not what it was when it was shown.
        """

    async def reject(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Change, ...]:
        """Takes changes back in the worktree, so that the agent goes on without them; `hunks` and answer as `apply`."""

    async def revert(self, chat_id: str, change_ids: Sequence[str]) -> tuple[Change, ...]:
        """Takes applied changes out of the checkout again, to the byte where nobody wrote there since; then they pend.

        One that cannot be taken back stays applied, with a note that says why. Answers as `apply`.
        """

    async def preview(self, chat_id: str) -> tuple[Preview, ...]:
        """What applying each pending change would do to the checkout as it is now; writes nothing."""

    async def content(self, chat_id: str, change_id: str, *, old: bool = False) -> FileContent:
        """A changed file, as it is after the change, or before."""

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        """One row a report of an agent; of one chat, or of all."""

    async def pool(self) -> tuple[LiveAgent, ...]:
        """What is warm here, starts, or waits to be started again, as it was when it was looked at last."""

    async def evict(self, key: str) -> bool:
        """Ends a warm agent by its key in `pool`; its next prompt resumes it. False where it is busy, or not there."""

    async def restart(self, key: str) -> bool:
        """Ends a warm agent and starts it anew, also one that is not started any more by itself; False as in `evict`.

        Raises what keeps it from starting.
        """

    async def agent_log(self, key: str) -> AgentLog:
        """What happened to an agent of the pool, and its last words; empty where nothing is known."""

    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]: ...

    async def offers(self, chat_id: str) -> tuple[AgentOffer, ...]:
        """What the next prompt of a chat may ask of each agent, and what it would do with the agent's memory."""

    async def attention(self) -> tuple[ChatAttention, ...]:
        """What each chat that was not put away is doing; those that want their user most come first."""

    async def seen(self, chat_id: str, rev: int) -> bool:
        """Somebody has looked at a chat up to a revision: what ended until then is not news. False where nothing was.

        Whoever shows a chat says so, and only while it can be seen.
        """

    async def native_sessions(self, session_id: str, agent: str) -> tuple[NativeSession, ...]:
        """What an agent keeps by itself for the session's directory, the latest first; empty where it cannot tell."""

    async def adopt(self, session_id: str, agent: str, native_id: str, *, name: str | None = None) -> ChatInfo:
        """A chat that goes on with a native session, with what its agent tells of it; the same one each time."""

    async def fork(
        self, chat_id: str, *, turn_id: str | None = None, files: Files = "shared", name: str | None = None
    ) -> ChatInfo:
        """A new chat that begins with what this one held at the end of a turn, by default of the last that ended.

        It is made whole or not at all. Nothing in it counts twice. With `files` other than ``shared`` it is the chat
        of a new session on the same directory.
        """

    async def export(self, chat_id: str, *, redact: bool = True) -> Exported:
        """The durable part of a chat, whole; secrets hidden unless told otherwise."""

    async def import_chat(self, session_id: str, exported: Exported, *, name: str | None = None) -> ChatInfo:
        """The chat that an exported one becomes in a session; the same one each time. Nothing in it counts."""

    async def keep(self, session_id: str, *, days: int | None = None, mib: int | None = None) -> None:
        """For how many days without use, and up to how much, a session's chats are kept; 0 is for ever and any.

        None is what the settings say. Whatever may hold work that was not applied stays.
        """

    async def share(self, chat_id: str, *, by: str | None = None) -> Share:
        """A new link by which anyone on this database may look at the chat; its `link` is given this once."""

    async def shares(self, chat_id: str) -> tuple[Share, ...]: ...

    async def unshare(self, chat_id: str, share_id: str) -> bool:
        """Ends a link, at once also for those who are looking; False where it had ended."""

    def shared(self, link: str, *, tail: int = 200) -> AsyncIterator[Frame]:
        """As `stream`, of the chat that a link leads to: secrets hidden, text whole, and nothing that may be done.

        Raises `NotFound` where the link leads nowhere, and ends when it is revoked.
        """

    async def checkpoints(self, chat_id: str) -> tuple[CheckpointInfo, ...]:
        """What the chat can be restored to, the oldest first: the state before each turn, and before each restore."""

    async def restore(self, chat_id: str, turn_id: str, *, files: bool = True, conversation: bool = True) -> str:
        """Brings files, conversation, or both back to before a turn, or before a restore; gives the id to undo it by.

        The files are those of the session, also what other chats of it have done since. Raises `Conflict` while an
        agent works.
        """

    async def risk(self, session_id: str) -> Risk:
        """What would be lost with the session's worktree."""

    async def stash(self, session_id: str) -> Risk:
        """Puts the worktree's uncommitted work into the repository's stash; gives what is still at risk."""

    async def keep_branch(self, session_id: str, name: str) -> Risk:
        """Commits the worktree's work to a new branch; gives what is still at risk."""

    async def close_session(self, session_id: str, *, force: bool = False) -> None:
        """Ends its agents, removes its worktree and puts it away; `AtRisk`, with a report, where work would be lost."""

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        """As `close_session`, and the session is removed with all its chats."""

    async def close_chat(self, chat_id: str, *, force: bool = False) -> None:
        """Ends its agents and puts it away; a session's last chat takes the worktree with it, as `close_session`."""

    async def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        """As `close_chat`, and the chat is removed."""

    async def worktrees(self) -> tuple[WorktreeInfo, ...]:
        """All worktrees on this machine, and which of them may go."""

    async def reap(self, *, dry_run: bool = False) -> tuple[WorktreeInfo, ...]:
        """Removes the worktrees of sessions that are gone, where nothing is lost; says which, and why not others."""

    async def close(self) -> None: ...
