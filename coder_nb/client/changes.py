"""What turns did to files, to look at, to apply to the checkout, to reject, to take back and to comment on."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from coder_nb.client.text import diff_text
from coder_nb.core.changes import Change, ChangeStatus, Preview
from coder_nb.core.comments import Comment, comments_prompt, line_of
from coder_nb.core.hunks import Hunk
from coder_nb.errors import ApplyConflict, InvalidOption

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.client.chat import Chat
    from coder_nb.client.turn import Turn

_OPEN = ("pending", "conflict")
_said: dict[str, list[Comment]] = {}
"""Comments that are not sent yet, by chat: `chat.changes` is another object each time."""


def _drafts(chat_id: str) -> list[Comment]:
    return _said.setdefault(chat_id, [])


class ChangedFile:
    """What a turn did to one file, or the hunks of it that were decided together."""

    def __init__(self, changes: Changes, value: Change) -> None:
        self._changes = changes
        self.value = value
        """All that is known of it."""

    @property
    def id(self) -> str:
        return self.value.id

    @property
    def path(self) -> str:
        return self.value.path

    @property
    def status(self) -> ChangeStatus:
        return self.value.status

    @property
    def agent(self) -> str | None:
        return self.value.agent

    @property
    def note(self) -> str:
        """What to know before applying it, or why it could not be."""
        return self.value.note

    @property
    def hunks(self) -> tuple[Hunk, ...]:
        """The places that it changes; `hunks=` of `apply` and `reject` are numbers in this, from 0."""
        return self.value.hunks

    @property
    def diff(self) -> str:
        """It as a unified diff."""
        return diff_text([self.value])

    def apply(self, *, hunks: Sequence[int | str] | None = None, to: str = "", commit: str = "") -> ChangedFile:
        """Writes it, or some of its hunks, into the checkout; what is left stays pending, as this change.

        `commit` and `to` are those of `Changes.apply`. Raises `ApplyConflict` where it does not fit.
        """
        self._changes._apply([self.id], {} if hunks is None else {self.id: self._ids(hunks)}, to=to, commit=commit)
        return self

    def reject(self, *, hunks: Sequence[int | str] | None = None) -> ChangedFile:
        """Takes it, or some of its hunks, back in the worktree."""
        self._changes._reject([self.id], {} if hunks is None else {self.id: self._ids(hunks)})
        return self

    def revert(self) -> ChangedFile:
        """Takes what was applied of this file out of the checkout again, so that it is to be decided once more."""
        self._changes.revert(self.path)
        return self

    def preview(self) -> Preview:
        """What applying it would do to the checkout as it is now; writes nothing."""
        link = self._changes._chat._link
        seen = {one.change_id: one for one in link.run(link.verbs.preview, self._changes._chat.id)}
        if self.id not in seen:
            raise InvalidOption(f"{self.path} is {self.status}: only what is pending can be previewed.")
        return seen[self.id]

    def content(self, *, old: bool = False) -> str | bytes:
        """The file after the change, or before it: text, or the bytes of an image."""
        link = self._changes._chat._link
        found = link.run(link.verbs.content, self._changes._chat.id, self.id, old=old)
        if found.base64 is not None:
            return base64.b64decode(found.base64)
        if found.text is None:
            raise InvalidOption(f"{self.path} cannot be shown: {found.note} Look at it in the worktree.")
        return found.text

    def comment(self, line: int, text: str, *, old: bool = False) -> Comment:
        """Says something to a line; `chat.changes.send_comments()` sends it to the agent with all others.

        Lines count from 1 in the file as it is after the change, or as it was before it.
        """
        quoted = line_of(self.hunks, line, old=old)
        if quoted is None:
            content = self.content(old=old)
            lines = content.splitlines() if isinstance(content, str) else []
            if not 0 < line <= len(lines):
                raise InvalidOption(f"{self.path} has no line {line}: it has {len(lines)}.")
            quoted = lines[line - 1]
        said = Comment(path=self.path, line=line, text=text, quoted=quoted, old=old, agent=self.agent)
        _drafts(self._changes._chat.id).append(said)
        return said

    def _ids(self, hunks: Sequence[int | str]) -> list[str]:
        for hunk in hunks:
            if isinstance(hunk, int) and not -len(self.hunks) <= hunk < len(self.hunks):
                raise InvalidOption(f"{self.path} has {len(self.hunks)} hunks, numbered from 0: there is no {hunk}.")
        return [hunk if isinstance(hunk, str) else self.hunks[hunk].id for hunk in hunks]

    def __repr__(self) -> str:
        return f"<{self.path}: {self.status}, {len(self.hunks)} hunks>"

    def __str__(self) -> str:
        return self.diff


class Changes(Sequence[ChangedFile]):
    """The changes of a chat or a turn, as they were when they were asked for, and as what was decided left them."""

    def __init__(self, chat: Chat, changes: tuple[Change, ...], *, turn_id: str | None = None) -> None:
        self._chat = chat
        self._files = [ChangedFile(self, change) for change in changes]
        self._turn_id = turn_id

    @property
    def values(self) -> tuple[Change, ...]:
        """The bare values."""
        return tuple(file.value for file in self._files)

    @property
    def diff(self) -> str:
        """All of them as one unified diff."""
        return diff_text(self.values)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a changed file."""
        from coder_nb.analysis.frames import changes_frame

        return changes_frame(self.values)

    def apply(self, *paths: str, to: str = "", commit: str = "") -> Changes:
        """Writes the changes of these files, or all that are pending, into the checkout; each file wholly or not.

        Applying twice is applying once. With `commit`, a message, they become one commit on the checkout's branch as
        well, which has nothing else in it: what you have staged stays staged. With ``to="branch:name"`` they become
        one commit of that branch, and the checkout is left alone. Raises `ApplyConflict` naming each file that could
        not be written, when the others have been (of a commit, none is); `InvalidOption` for a path without a change.
        """
        self._apply(self._chosen(paths), {}, to=to, commit=commit)
        return self

    def reject(self, *paths: str) -> Changes:
        """Takes the changes of these files, or all that are pending, back in the worktree."""
        self._reject(self._chosen(paths), {})
        return self

    def revert(self, *paths: str) -> Changes:
        """Takes what was applied of these files, or of all, out of the checkout again.

        To the byte where nobody has written there since, else by a merge; raises `ApplyConflict` where neither can be.
        """
        link = self._chat._link
        self._chosen(paths)
        ids = [f.id for f in self._files if f.status == "applied" and (not paths or f.path in paths)]
        self._take(link.run(link.verbs.revert, self._chat.id, ids))
        stuck = [f for f in self._files if f.id in ids and f.status == "applied"]
        if stuck:
            raise ApplyConflict("\n".join(f"{f.path}: {f.note}" for f in stuck))
        return self

    @property
    def comments(self) -> tuple[Comment, ...]:
        """What was said to lines and is not sent yet."""
        return tuple(_drafts(self._chat.id))

    def discard_comments(self) -> None:
        """Forgets the comments that are not sent yet."""
        _drafts(self._chat.id).clear()

    def send_comments(self, *, agent: str | None = None, **options: Any) -> Turn:
        """Prompts with all comments, as `core.comments.comments_prompt` words them; `options` are those of `prompt`.

        They go to the agent whose changes they are about, where that is one.
        """
        comments = self.comments
        if not comments:
            raise InvalidOption("There are no comments to send: say some with `change.comment(line, text)`.")
        agents = {comment.agent for comment in comments if comment.agent}
        to = agent or (agents.pop() if len(agents) == 1 else None)
        turn = self._chat.prompt(comments_prompt(comments), agent=to, **options)
        self.discard_comments()
        return turn

    def _apply(self, ids: Sequence[str], hunks: dict[str, list[str]], *, to: str, commit: str) -> None:
        link = self._chat._link
        self._take(link.run(link.verbs.apply, self._chat.id, ids, hunks=hunks, to=to, commit=commit))
        stuck = [file for file in self._files if file.id in ids and file.status == "conflict"]
        if stuck:
            raise ApplyConflict("\n".join(f"{file.path}: {file.note or 'it does not fit.'}" for file in stuck))

    def _reject(self, ids: Sequence[str], hunks: dict[str, list[str]]) -> None:
        link = self._chat._link
        self._take(link.run(link.verbs.reject, self._chat.id, ids, hunks=hunks))

    def _chosen(self, paths: tuple[str, ...]) -> list[str]:
        unknown = sorted(set(paths) - {file.path for file in self._files})
        if unknown:
            there = ", ".join(sorted({file.path for file in self._files})) or "none"
            raise InvalidOption(f"There is no change of {unknown[0]!r} here: the changed files are {there}.")
        if paths:
            return [file.id for file in self._files if file.path in paths]
        return [file.id for file in self._files if file.status in _OPEN]

    def _take(self, decided: tuple[Change, ...]) -> None:
        now = {change.id: change for change in decided}
        for file in self._files:
            file.value = now.pop(file.id, file.value)
        self._files = [file for file in self._files if file.status != "superseded"]
        self._files += [ChangedFile(self, change) for change in now.values() if change.status != "superseded"]

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[ChangedFile]:
        return iter(self._files)

    @overload
    def __getitem__(self, index: int | str) -> ChangedFile: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ChangedFile, ...]: ...
    def __getitem__(self, index: int | str | slice) -> ChangedFile | tuple[ChangedFile, ...]:
        if isinstance(index, str):
            self._chosen((index,))
            found = [file for file in self._files if file.path == index]
            return next((file for file in found if file.status in _OPEN), found[-1])
        return tuple(self._files[index]) if isinstance(index, slice) else self._files[index]

    def __repr__(self) -> str:
        return f"<{len(self)} changes of the chat {self._chat.name!r}>"

    def __str__(self) -> str:
        return self.diff

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._chat._bundle("diff", self._chat._snapshot(changes=self.values, turn_id=self._turn_id))
