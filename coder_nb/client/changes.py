"""What turns did to files, to look at, to apply to the checkout or to reject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from coder_nb.client.text import diff_text
from coder_nb.core.values import Change
from coder_nb.errors import ApplyConflict, InvalidOption

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.client.chat import Chat


class Changes(Sequence[Change]):
    """The changes of a chat or a turn, as they were when they were asked for, and as `apply` and `reject` left them."""

    def __init__(self, chat: Chat, changes: tuple[Change, ...], *, turn_id: str | None = None) -> None:
        self._chat = chat
        self._changes = changes
        self._turn_id = turn_id

    @property
    def diff(self) -> str:
        """All of them as one unified diff."""
        return diff_text(self._changes)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a changed file."""
        from coder_nb.analysis.frames import changes_frame

        return changes_frame(self._changes)

    def apply(self, *paths: str) -> Changes:
        """Writes the changes of these files, or all that are pending, into the checkout; each file wholly or not.

        Applying twice is applying once. Raises `ApplyConflict` naming each file that could not be written, when the
        others have been; `InvalidOption` for a path without a change.
        """
        chosen = self._chosen(paths)
        link = self._chat._link
        self._take(link.run(link.verbs.apply, self._chat.id, chosen))
        stuck = [change for change in self._changes if change.id in chosen and change.status == "conflict"]
        if stuck:
            raise ApplyConflict("\n".join(f"{change.path}: {change.note or 'it does not fit.'}" for change in stuck))
        return self

    def reject(self, *paths: str) -> Changes:
        """Takes the changes of these files, or all that are pending, back in the worktree."""
        link = self._chat._link
        self._take(link.run(link.verbs.reject, self._chat.id, self._chosen(paths)))
        return self

    def _chosen(self, paths: tuple[str, ...]) -> list[str]:
        unknown = sorted(set(paths) - {change.path for change in self._changes})
        if unknown:
            there = ", ".join(sorted({change.path for change in self._changes})) or "none"
            raise InvalidOption(f"There is no change of {unknown[0]!r} here: the changed files are {there}.")
        if paths:
            return [change.id for change in self._changes if change.path in paths]
        return [change.id for change in self._changes if change.status in ("pending", "conflict")]

    def _take(self, decided: tuple[Change, ...]) -> None:
        now = {change.id: change for change in decided}
        self._changes = tuple(now.get(change.id, change) for change in self._changes)

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Change, ...]: ...
    def __getitem__(self, index: int | slice) -> Change | tuple[Change, ...]:
        return self._changes[index]

    def __repr__(self) -> str:
        return f"<{len(self)} changes of the chat {self._chat.name!r}>"

    def __str__(self) -> str:
        return self.diff

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._chat._bundle("diff", self._chat._snapshot(changes=self._changes, turn_id=self._turn_id))
