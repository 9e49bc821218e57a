"""One turn, as the frames of its chat tell it: pure, so that any order of frames can be tried."""

from __future__ import annotations

from coder_nb.core.entries import Entry, Permission, Question, TurnEnded, TurnStarted
from coder_nb.core.sessions import ChatInfo
from coder_nb.core.stream import DeltaFrame, Frame, Hello, PageFrame, StateFrame
from coder_nb.core.transcript import Transcript


class Watch:
    """Folds a chat's frames and knows where the turn of one prompt is in them."""

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id
        self.turn_id: str | None = None
        self.ended: TurnEnded | None = None
        self.ended_rev = 0
        """At which revision of the chat that was."""
        self.chat: ChatInfo | None = None
        self._fold = Transcript()
        self._pending: dict[str, Permission | Question] = {}

    def take(self, frame: Frame) -> None:
        """Takes in the next frame; those of other turns change nothing."""
        if isinstance(frame, Hello | StateFrame):
            self.chat = frame.chat
        elif isinstance(frame, DeltaFrame):
            for delta in frame.deltas:
                self._fold.apply_delta(delta)
        elif isinstance(frame, PageFrame):
            self._fold.apply(frame.page)
            for entry in frame.page.entries:
                self._note(entry)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The turn's entries so far."""
        return tuple(e for e in self._fold if e.turn_id == self.turn_id) if self.turn_id else ()

    @property
    def pending(self) -> tuple[tuple[str, Permission | Question], ...]:
        """The permissions and questions that the turn waits for, each with the id of its entry."""
        return tuple(self._pending.items())

    @property
    def is_lost(self) -> bool:
        """Whether the prompt has left the queue and its turn was not seen: it was withdrawn, or its turn is coming."""
        if self.chat is None or self.turn_id is not None:
            return False
        return all(prompt.id != self.prompt_id for prompt in self.chat.queued)

    @property
    def may_be_cut_off(self) -> bool:
        """Whether the chat has failed and runs nothing, as it was told last, and the turn's end was not seen."""
        chat = self.chat
        return self.turn_id is not None and self.ended is None and bool(chat and not chat.turn_id and chat.error)

    def _note(self, entry: Entry) -> None:
        body = entry.body
        if isinstance(body, TurnStarted) and body.prompt_id == self.prompt_id:
            self.turn_id = entry.turn_id
        if entry.turn_id is None or entry.turn_id != self.turn_id:
            return
        if isinstance(body, TurnEnded):
            self.ended, self.ended_rev = body, entry.rev
        elif isinstance(body, Permission | Question):
            if body.status == "pending":
                self._pending[entry.id] = body
            else:
                self._pending.pop(entry.id, None)
