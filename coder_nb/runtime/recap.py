"""What happened since an agent's last turn, as text that is put before its next prompt (laws 12 and 13). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coder_nb.core.entries import Entry, Text, ToolCall, TurnEnded, TurnStarted, UserMessage

LIMIT = 50_000
"""At most so many characters of what happened; the latest are kept."""


def since_last_turn(entries: Iterable[Entry], agent: str) -> list[Entry]:
    """The entries of other agents' turns after the last turn that an agent took and ended."""
    kept: list[Entry] = []
    taken: set[str] = set()
    for entry in entries:
        if isinstance(entry.body, TurnStarted) and entry.body.agent == agent and entry.turn_id:
            taken.add(entry.turn_id)
            kept.clear()
        if entry.turn_id not in taken:
            kept.append(entry)
    return kept


def render(entries: Sequence[Entry], *, rebuilt: bool) -> str:
    """The turns as a text for an agent; empty where nothing was said. `rebuilt` says that its own memory is gone."""
    lines = [line for entry in entries for line in _lines(entry)]
    if not lines:
        return ""
    text = "\n".join(lines)
    if len(text) > LIMIT:
        text = "[earlier parts are left out]\n" + text[-LIMIT:]
    opening = (
        "You have lost your memory of this conversation. This is what was said and done in it so far:"
        if rebuilt
        else "Since your last turn in this conversation, others have spoken and worked in the same directory:"
    )
    return f"{opening}\n\n<conversation>\n{text}\n</conversation>\n\nThe prompt that is for you:\n\n"


def _lines(entry: Entry) -> list[str]:
    match entry.body:
        case UserMessage(text=text):
            return [f"user: {text}"]
        case Text(text=text) if text and entry.parent is None:
            return [f"{entry.agent or 'agent'}: {text}"]
        case ToolCall(name=name, title=title, status=status):
            return [f"{entry.agent or 'agent'} used {name}: {title} ({status})"]
        case TurnEnded(end=end) if end != "completed":
            return [f"[the turn of {entry.agent or 'the agent'} was {end}]"]
        case _:
            return []
