"""A piece of work on one directory, as a notebook user holds it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from coder_nb.client import exporting
from coder_nb.client.changes import Changes
from coder_nb.client.chat import Chat
from coder_nb.client.checkpoints import Checkpoints
from coder_nb.client.follow import OnPermission, OnQuestion
from coder_nb.client.link import Link
from coder_nb.client.transcript import Entries
from coder_nb.client.turn import Turn
from coder_nb.core import offering
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.risk import Risk
from coder_nb.core.rules import Does, Scope
from coder_nb.core.sessions import SessionInfo

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.analysis.frames import Backend


class Session:
    """Work on one directory, in a git worktree of its own; what a session can do, its chat named ``main`` does."""

    def __init__(self, link: Link, info: SessionInfo) -> None:
        self._link = link
        self._static = info
        self._main: Chat | None = None

    @property
    def id(self) -> str:
        return self._static.id

    @property
    def path(self) -> str:
        """The real path of the working directory."""
        return self._static.path

    @property
    def name(self) -> str:
        return self._static.name

    @property
    def info(self) -> SessionInfo:
        """The session as it is now: its worktree, its branch, its base, its chats."""
        return self._link.run(self._link.verbs.get_session, self.id)

    def risk(self) -> Risk:
        """What would be lost with the session's worktree: work that was neither applied, committed to a branch, nor
        stashed. What could not be found out counts as at risk."""
        return self._link.run(self._link.verbs.risk, self.id)

    def stash(self) -> Risk:
        """Puts the worktree's uncommitted work, untracked files too, into the repository's stash (`git stash list`);
        gives what is still at risk."""
        return self._link.run(self._link.verbs.stash, self.id)

    def keep_branch(self, name: str) -> Risk:
        """Commits the worktree's work to a new branch of the repository; gives what is still at risk."""
        return self._link.run(self._link.verbs.keep_branch, self.id, name)

    def close(self, *, force: bool = False) -> None:
        """Ends the session's agents, removes its worktree and puts it away; its chats stay, to read and to go on with.

        Raises `AtRisk`, with a `report`, where work would be lost; with `force` it is lost.
        """
        self._link.run(self._link.verbs.close_session, self.id, force=force)

    def delete(self, *, force: bool = False) -> None:
        """As `close`, and the session is removed with all its chats."""
        self._link.run(self._link.verbs.delete_session, self.id, force=force)

    def chat(self, name: str = "main", *, new: bool = False) -> Chat:
        """The session's chat of that name, made if there is none; with `new`, always another one."""
        return Chat(self._link, self._link.run(self._link.verbs.open_chat, self.id, name=name, new=new))

    @property
    def main(self) -> Chat:
        """The chat named ``main``, to which the session's own calls go."""
        if self._main is None:
            self._main = self.chat()
        return self._main

    def prompt(
        self,
        text: str,
        *,
        agent: str | None = None,
        model: str | None = None,
        effort: str | None = None,
        mode: PermissionMode | None = None,
        files: Sequence[str | PathLike[str]] = (),
        on_permission: OnPermission | None = None,
        on_question: OnQuestion | None = None,
        display: bool = True,
        once: bool = False,
    ) -> Turn:
        """As `Chat.prompt`, in the main chat."""
        return self.main.prompt(
            text,
            agent=agent,
            model=model,
            effort=effort,
            mode=mode,
            files=files,
            on_permission=on_permission,
            on_question=on_question,
            display=display,
            once=once,
        )

    def run(
        self,
        text: str,
        *,
        agent: str | None = None,
        model: str | None = None,
        effort: str | None = None,
        mode: PermissionMode | None = None,
        files: Sequence[str | PathLike[str]] = (),
        on_permission: OnPermission | None = None,
        on_question: OnQuestion | None = None,
        display: bool = True,
        once: bool = False,
        timeout: float | None = None,
    ) -> Turn:
        """As `Chat.run`, in the main chat."""
        return self.main.run(
            text,
            agent=agent,
            model=model,
            effort=effort,
            mode=mode,
            files=files,
            on_permission=on_permission,
            on_question=on_question,
            display=display,
            once=once,
            timeout=timeout,
        )

    def retry(
        self,
        *,
        on_permission: OnPermission | None = None,
        on_question: OnQuestion | None = None,
        display: bool = True,
    ) -> Turn:
        """As `Chat.retry`, in the main chat."""
        return self.main.retry(on_permission=on_permission, on_question=on_question, display=display)

    @property
    def checkpoints(self) -> Checkpoints:
        """As `Chat.checkpoints`, of the main chat."""
        return self.main.checkpoints

    def restore(self, turn: Turn | str, *, files: bool = True, conversation: bool = True) -> str:
        """As `Chat.restore`, in the main chat."""
        return self.main.restore(turn, files=files, conversation=conversation)

    def stop(self) -> bool:
        """As `Chat.stop`, in the main chat."""
        return self.main.stop()

    def steer(self, text: str) -> bool:
        """As `Chat.steer`, in the main chat."""
        return self.main.steer(text)

    @property
    def commands(self) -> pd.DataFrame:
        """As `Chat.commands`, of the main chat."""
        return self.main.commands

    def go_on(self) -> Session:
        """As `Chat.go_on`, in the main chat."""
        self.main.go_on()
        return self

    @property
    def transcript(self) -> Entries:
        """What has happened in the main chat."""
        return self.main.transcript

    @property
    def changes(self) -> Changes:
        """What the main chat's turns did to files."""
        return self.main.changes

    def usage(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """As `Chat.usage`, of the main chat."""
        return self.main.usage(dtype_backend=dtype_backend)

    def turns(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """As `Chat.turns`, of the main chat."""
        return self.main.turns(dtype_backend=dtype_backend)

    def entries(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """As `Chat.entries`, of the main chat."""
        return self.main.entries(dtype_backend=dtype_backend)

    def messages(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """As `Chat.messages`, of the main chat."""
        return self.main.messages(dtype_backend=dtype_backend)

    def tool_calls(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """As `Chat.tool_calls`, of the main chat."""
        return self.main.tool_calls(dtype_backend=dtype_backend)

    def permissions(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """As `Chat.permissions`, of the main chat."""
        return self.main.permissions(dtype_backend=dtype_backend)

    def file_changes(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """As `Chat.file_changes`, of the main chat."""
        return self.main.file_changes(dtype_backend=dtype_backend)

    def agent_sessions(self) -> pd.DataFrame:
        """Each agent's own context in the session's chats: whether it is warm, and what the next prompt finds of it."""
        from coder_nb.analysis.frames import agent_sessions_frame

        return agent_sessions_frame(self._link.run(self._link.verbs.agent_sessions, self.id))

    def allow(self, command: str = "", *, edits: str | None = None, tool: str = "", scope: Scope = "session") -> str:
        """Lets agents do something without asking from now on; gives the rule's id, by which `cnb.revoke` ends it.

        `command` is the beginning of commands, such as ``"pytest"`` or ``"git status"``; `edits` a file, a folder
        (``"src/"``) or all files (``""``); `tool` the agent's own name of a tool. It holds in this ``session``, in the
        ``project``, or ``everywhere``, and covers what it says and nothing else. Raises `InvalidOption` for a rule that
        would cover more than it says, or more than the administrator allows.
        """
        return self._rule("allow", command, edits, tool, scope)

    def forbid(self, command: str = "", *, edits: str | None = None, tool: str = "", scope: Scope = "session") -> str:
        """Has agents refused something in every mode, as `allow` has it allowed; a guard against accidents."""
        return self._rule("deny", command, edits, tool, scope)

    def rules(self) -> pd.DataFrame:
        """The rules that are in force here, one row each; `cnb.rules()` has all."""
        from coder_nb.analysis.frames import rules_frame

        return rules_frame(self._link.run(self._link.verbs.rules, self.id))

    def _rule(self, does: Does, command: str, edits: str | None, tool: str, scope: Scope) -> str:
        covers = offering.covers_of(command, edits, tool)
        made = self._link.run(self._link.verbs.make_rule, covers, does=does, scope=scope, session_id=self.id)
        return made.id

    def keep(self, *, days: int | None = None, mib: int | None = None) -> None:
        """For how many days without use, and up to how many MiB, the session's chats are kept; 0 is for ever and any.

        What is not given is as the settings `keep_days` and `keep_mib` say. A chat that goes takes along what was said
        in it, the worktree where it was the session's last, and what was kept for its agents; one that may hold work
        which was not applied stays.
        """
        self._link.run(self._link.verbs.keep, self.id, days=days, mib=mib)

    def import_chat(self, path: str | PathLike[str], *, name: str | None = None) -> Chat:
        """The chat in a ``.jsonl`` file that `Chat.export` wrote, as one of this session; the same one each time.

        Nothing in it counts. It can be gone on with: its agents are told the conversation.
        """
        exported = exporting.read(path)
        return Chat(self._link, self._link.run(self._link.verbs.import_chat, self.id, exported, name=name))

    def native_sessions(self, agent: str) -> pd.DataFrame:
        """What an agent keeps by itself for this directory, the latest first; empty where it cannot tell."""
        from coder_nb.analysis.frames import native_sessions_frame

        return native_sessions_frame(self._link.run(self._link.verbs.native_sessions, self.id, agent))

    def adopt(self, agent: str, native_id: str, *, name: str | None = None) -> Chat:
        """A chat that goes on with a session of the agent's own, such as one begun in a terminal; the same each time.

        What the agent tells of it becomes its transcript. Nothing in it counts.
        """
        return Chat(self._link, self._link.run(self._link.verbs.adopt, self.id, agent, native_id, name=name))

    def widget(self) -> Any:
        """As `Chat.widget`, of the main chat."""
        return self.main.widget()

    def __repr__(self) -> str:
        return f"<Session {self.name!r} on {self.path}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.main._repr_mimebundle_(include, exclude)
