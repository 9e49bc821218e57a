"""One conversation, as a notebook user holds it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coder_nb.client import exporting
from coder_nb.client.attaching import attachments
from coder_nb.client.changes import Changes
from coder_nb.client.checkpoints import Checkpoints
from coder_nb.client.exporting import Format
from coder_nb.client.follow import OnPermission, OnQuestion
from coder_nb.client.link import Link
from coder_nb.client.live import ChatFrames, Live
from coder_nb.client.prompting import again, begin
from coder_nb.client.resource import Resource
from coder_nb.client.sharing import ChatShare
from coder_nb.client.snapshot import Snapshot, take
from coder_nb.client.transcript import Entries
from coder_nb.client.turn import Turn
from coder_nb.core.attention import Attention
from coder_nb.core.changes import Change
from coder_nb.core.copies import Files
from coder_nb.core.entries import Entry
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo
from coder_nb.errors import Conflict
from coder_nb.ids import new_id

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.client.screen import Bundle, Display, Screen, View


class Chat(ChatFrames):
    """A conversation with one or more agents; `await chat.prompt(text)` takes a turn in it."""

    def __init__(self, link: Link, info: ChatInfo) -> None:
        self._link = link
        self._static = info
        self._live = Live()

    @property
    def id(self) -> str:
        return self._static.id

    @property
    def name(self) -> str:
        return self._static.name

    @property
    def info(self) -> ChatInfo:
        """The chat as it is now: whether it runs, what waits, whether its queue is held."""
        return self._link.run(self._link.verbs.get_chat, self.id)

    @property
    def attention(self) -> Attention:
        """What the chat is doing: its `.state`, `.why` it waits, and its `.place` among those that wait for a slot."""
        return self.info.attention or Attention()

    def seen(self) -> bool:
        """Says that you have looked: what has ended is not news any more. False where it was not. Pages say it too."""
        return self._link.run(self._link.verbs.seen, self.id, self.info.rev)

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
        """Hands a prompt in at once and returns its turn, to `await` or `wait()` for; in a notebook it is shown live.

        Prompts of one chat run one after another. `agent` is by default the one of the last turn, `effort` how much it
        thinks; `mode` is ``ask``, ``accept_edits``, ``plan`` or ``bypass``; `files` go with it: text, PDFs, pictures.
        `on_permission` is called with each `Permission` and `on_question` with each `Question`, in a thread or, where
        it is asynchronous, beside the kernel's loop. What cannot be prompted raises here and leaves no trace.
        """
        prompt = Prompt(
            id=new_id(),
            text=text,
            agent=agent,
            model=model,
            effort=effort,
            mode=mode,
            attachments=attachments(files),
            once=once,
        )
        return begin(self, prompt, on_permission=on_permission, on_question=on_question, display=display)

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
        """Prompts and blocks until the turn has ended: `chat.prompt(...).wait(timeout)`."""
        turn = self.prompt(
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
        return turn.wait(timeout)

    def retry(
        self,
        *,
        on_permission: OnPermission | None = None,
        on_question: OnQuestion | None = None,
        display: bool = True,
    ) -> Turn:
        """Sends the prompt of the last turn again, where that failed, was interrupted, limited or stopped.

        Its text, files, agent, model, effort and mode are as they were; a queue that is held goes on. Returns the new
        turn, as `prompt` does. Raises `Conflict` where there is nothing to try again.
        """
        prompt = again(self._link.run(self._read))
        return begin(self, prompt, on_permission=on_permission, on_question=on_question, display=display, go_on=True)

    @property
    def checkpoints(self) -> Checkpoints:
        """What the chat can be restored to: the state before each turn, and before each restore."""
        return Checkpoints(self._link.run(self._link.verbs.checkpoints, self.id))

    def restore(self, turn: Turn | str, *, files: bool = True, conversation: bool = True) -> str:
        """Brings the worktree's files, the conversation, or both back to before a turn; nothing is removed.

        `turn` is a turn, or the id of one or of an earlier restore, as `checkpoints` lists them; what is returned is
        the id by which this is undone. The worktree is the session's: what other chats did in it since goes as well.
        Agents remember what is visible then, and no more. The checkout changes only where the agents work in it.
        """
        turn_id = turn if isinstance(turn, str) else turn.id
        if turn_id is None:
            raise Conflict("This turn has not begun yet: wait for it, or restore an earlier one.")
        return self._link.run(self._link.verbs.restore, self.id, turn_id, files=files, conversation=conversation)

    def close(self, *, force: bool = False) -> None:
        """Ends the chat's agents and puts it away; the session's last chat takes the worktree with it.

        Raises `AtRisk`, with a `report`, where work would be lost; with `force` it is lost.
        """
        self._link.run(self._link.verbs.close_chat, self.id, force=force)

    def delete(self, *, force: bool = False) -> None:
        """As `close`, and the chat is removed."""
        self._link.run(self._link.verbs.delete_chat, self.id, force=force)

    def stop(self) -> bool:
        """Stops the running turn; prompts that wait are held until `go_on`. False where nothing ran or waited."""
        return self._link.run(self._link.verbs.stop, self.id)

    def steer(self, text: str) -> bool:
        """Tells the running turn something more; False where nothing runs, or its agent cannot take it: prompt then."""
        return self._link.run(self._link.verbs.steer, self.id, text)

    @property
    def commands(self) -> pd.DataFrame:
        """The agents' own slash commands and skills, as far as they are known: ``/name arguments`` runs one."""
        from coder_nb.analysis.frames import commands_frame

        return commands_frame(self._link.run(self._link.verbs.commands, self.id))

    def go_on(self) -> Chat:
        """Lets a held queue run again."""
        self._link.run(self._link.verbs.go_on, self.id)
        return self

    @property
    def transcript(self) -> Entries:
        """What has happened in this chat so far; each look brings what is new."""
        return Entries(self, self._link.run(self._read))

    @property
    def changes(self) -> Changes:
        """What the chat's turns did to files, without what later turns undid."""
        return Changes(self, self._link.run(self._link.verbs.changes, self.id))

    @property
    def resource(self) -> Resource:
        """The durable part of the chat, by whose id anything may attach to it."""
        return Resource(self)

    def fork(self, turn: Turn | str | None = None, *, files: Files = "shared", name: str | None = None) -> Chat:
        """A new chat that begins with what this one held at the end of a turn, by default of the last that ended.

        `files` says what it works on: ``shared`` is the same worktree, ``cloned`` a copy of it with the work that is
        not applied, ``fresh`` a new one. Agents that can branch off their own memory do; the others are told the
        conversation, and an entry says so.
        """
        turn_id = turn if isinstance(turn, str) or turn is None else turn.id
        forked = self._link.run(self._link.verbs.fork, self.id, turn_id=turn_id, files=files, name=name)
        return Chat(self._link, forked)

    def export(
        self, path: str | PathLike[str], *, format: Format | None = None, redact: bool = True, overwrite: bool = False
    ) -> Path:
        """Writes the chat to a file: ``.jsonl`` is what `Session.import_chat` reads, ``.md`` and ``.html`` stand alone.

        Secrets are hidden: what looks like a key, what the environment and ``.env`` files hold. Look it over all the
        same before you give it away.
        """
        return exporting.write(self._link, self.id, path, format=format, redact=redact, overwrite=overwrite)

    def share(self) -> ChatShare:
        """A link by which others on the same database look at this chat, live, until it is revoked."""
        return ChatShare(self, self._link.run(self._link.verbs.share, self.id))

    def shares(self) -> list[ChatShare]:
        """The links there are."""
        return [ChatShare(self, share) for share in self._link.run(self._link.verbs.shares, self.id)]

    def widget(self) -> Any:
        """An ipywidgets box of transcript and composer, with the changes and the usage in tabs beside it."""
        return self._screen().widget(self)

    def __repr__(self) -> str:
        return f"<Chat {self.name!r} {self.id}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._bundle("transcript", self._snapshot())

    async def _read(self) -> tuple[Entry, ...]:
        await self._live.read(self._link.verbs, self.id)
        return tuple(self._live.fold)

    def _follow(self, prompt: Prompt) -> Display | None:
        if self._link.screen is None:
            return None
        return self._link.screen.follow(self, prompt)

    def _screen(self) -> Screen:
        if self._link.screen is None:
            raise RuntimeError("This link has no screen, so that nothing can be shown.")
        return self._link.screen

    def _bundle(self, view: View, snapshot: Snapshot) -> Bundle:
        return self._screen().bundle(self, view, snapshot)

    def _snapshot(
        self,
        entries: tuple[Entry, ...] | None = None,
        *,
        changes: tuple[Change, ...] | None = None,
        turn_id: str | None = None,
    ) -> Snapshot:
        """The chat as it is now, or with these entries and changes instead."""
        snapshot = self._link.run(take, self._link.verbs, self.id)
        return msgspec.structs.replace(
            snapshot,
            turn_id=turn_id,
            entries=snapshot.entries if entries is None else entries,
            changes=snapshot.changes if changes is None else changes,
        )
