"""What happened since an agent's last turn, as text that is put before its next prompt (laws 12 and 13). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from coder_nb.core.entries import (
    Checkpoint,
    Entry,
    FileChange,
    Notice,
    Plan,
    Question,
    Reasoning,
    Text,
    ToolCall,
    TurnEnded,
    TurnStarted,
    Usage,
    UserMessage,
)

LIMIT = 50_000
"""At most so many characters of what happened; the latest are kept."""
WAITS = "recap_waits"
"""The code of the notice in a turn whose prompt could have nothing put before it: it is told with the next one."""
ONE = 8_000
"""At most so many characters of one thing that was said."""
_SHORT = 200
_PRODUCTS = (Text, Reasoning, ToolCall, Plan, Usage)
"""By these an agent shows that it got the prompt of its turn, and so knows what was before."""


class Story:
    """Gathers entries from the latest backwards, and says when it needs no more.

    With `knows`, the agent remembers its own turns: the story goes back to the last of them that reached it. Without,
    its memory is gone, and the story goes back as far as there is room.
    """

    def __init__(self, agent: str, *, turn_id: str, knows: bool) -> None:
        self._agent, self._turn_id, self._knows = agent, turn_id, knows
        self._hidden: list[tuple[int, int]] = []
        self._told: list[str] = []
        self._of_own_turn: list[str] = []
        self._own_turn: str | None = None
        self._reached = self._waits = False
        self._size = 0
        self.full = False
        """Whether earlier entries would add nothing."""
        self._cut = False

    def add(self, newest_first: Iterable[Entry]) -> None:
        """Takes what lies before all that it has taken yet; what a restore has hidden is passed over."""
        for entry in newest_first:
            if self.full:
                return
            if entry.turn_id == self._turn_id or any(first <= entry.pos <= last for first, last in self._hidden):
                continue
            if isinstance(entry.body, Checkpoint) and entry.body.hides_from is not None:
                self._hidden.append((entry.body.hides_from, entry.body.hides_to or entry.pos - 1))
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        own = self._knows and entry.agent == self._agent and entry.turn_id is not None
        if not own or entry.turn_id != self._own_turn:
            self._end_own_turn()
            self._own_turn = entry.turn_id if own else None
        if self.full:
            return
        lines = _lines(entry, None if self._knows else self._agent)
        if not own:
            self._keep(reversed(lines))
            return
        self._reached |= isinstance(entry.body, _PRODUCTS)
        self._waits |= isinstance(entry.body, Notice) and entry.body.code == WAITS
        self._of_own_turn.extend(reversed(lines))
        if isinstance(entry.body, TurnStarted):
            if entry.body.origin == "agent":  # it was told nothing then
                self._of_own_turn, self._own_turn = [], None
                self._reached = self._waits = False
            self._end_own_turn()

    def _end_own_turn(self) -> None:
        """A turn of the agent's own: known to it, or told like those of others where it never reached it."""
        if self._reached and not self._waits:
            self.full = True
        elif not self._reached:
            self._keep(self._of_own_turn)
        self._of_own_turn, self._own_turn = [], None
        self._reached = self._waits = False

    def _keep(self, lines: Iterable[str]) -> None:
        for line in lines:
            if self._size + len(line) > LIMIT:
                self.full = self._cut = True
                return
            self._told.append(line)
            self._size += len(line) + 1

    def text(self, *, rebuilt: bool) -> str:
        """What is put before the agent's prompt, if anything was said; `rebuilt` says that its memory is gone."""
        self._end_own_turn()
        if not self._told:
            return ""
        told = [*(["[earlier parts are left out]"] if self._cut else []), *reversed(self._told)]
        opening = (
            "You have lost your memory of this conversation. This is what was said and done in it so far:"
            if rebuilt
            else "Since your last turn in this conversation, others have spoken and worked in the same directory:"
        )
        told_text = "\n".join(told)
        return f"{opening}\n\n<conversation>\n{told_text}\n</conversation>\n\nThe prompt that is for you:\n\n"


def _lines(entry: Entry, you: str | None) -> list[str]:
    """What an entry adds, in order; `you` is whom the story is told to, where its own words are in it."""
    who = "you" if entry.agent == you and you else entry.agent or "the agent"
    match entry.body:
        case UserMessage(text=text, attachments=attached):
            files = f" [with {', '.join(file.name for file in attached)}]" if attached else ""
            return [f"the user to {who}: {_plain(text)}{files}"]
        case Text(text=text) if text.strip() and entry.parent is None:
            return [f"{who}: {_plain(text)}"]
        case ToolCall(name=name, title=title, status=status) if entry.parent is None:
            about = f": {_short(title)}" if title and title != name else ""
            return [f"{who} used {name}{about}" + ("" if status == "completed" else f" ({status})")]
        case FileChange(path=path, operation=operation, old_path=old_path):
            return [f"{who}: {operation} {old_path} → {path}" if old_path else f"{who}: {operation} {path}"]
        case Question(text=text, status="answered", answer=answer):
            return [f"{who} asked: {_short(text)} The user answered: {_short('; '.join(answer))}"]
        case TurnEnded(end=end, message=message) if end != "completed":
            return [f"[the turn of {who} ended as {end}{': ' + _short(message) if message else ''}]"]
        case TurnStarted(origin="agent"):
            return [f"[{who} went on by itself]"]
        case _:
            return []


def _plain(text: str) -> str:
    """A text that cannot end the frame it is put into, its middle left out where it is very long."""
    text = text.replace("</conversation", "<\\/conversation").strip()
    if len(text) <= ONE:
        return text
    return f"{text[: ONE // 2]}\n[{len(text) - ONE:,} characters are left out]\n{text[-ONE // 2 :]}"


def _short(text: str) -> str:
    words = " ".join(_plain(text).split())
    return words if len(words) <= _SHORT else f"{words[: _SHORT - 1]}…"
