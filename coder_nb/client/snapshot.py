"""A chat, or one turn of it, at one moment: what an output is painted from when nothing else is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from coder_nb.core.changes import Change
from coder_nb.core.codec import encode
from coder_nb.core.entries import Entry, Permission, Raw, ToolCall, UserMessage, Value
from coder_nb.core.sessions import ChatInfo, SessionInfo
from coder_nb.core.usage import UsageRow
from coder_nb.core.verbs import Verbs

MOST_ENTRIES = 200
"""How many entries, the last ones, a snapshot carries."""
MOST_TEXT = 10_000
"""How much of a tool's output, and of what it was called with, a snapshot carries, in characters."""


class Snapshot(Value):
    """What `docs/protocol.md` calls by this name; it never holds an address or a token."""

    chat: ChatInfo
    session: SessionInfo
    version: int = 1
    turn_id: str | None = None
    entries: tuple[Entry, ...] = ()
    changes: tuple[Change, ...] = ()
    usage: tuple[UsageRow, ...] = ()

    def builtins(self) -> dict[str, Any]:
        """As JSON objects, for a trait or a mime bundle."""
        data: dict[str, Any] = msgspec.json.decode(encode(self))
        return {"version": self.version, "turn_id": None, "entries": [], "changes": [], "usage": [], **data}


def newest(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The last entries, with what is longest in them cut, so that a notebook stays small whatever an agent does."""
    return tuple(map(_cut, entries[-MOST_ENTRIES:]))


def _cut(entry: Entry) -> Entry:
    body = entry.body
    if isinstance(body, Permission) and body.status != "pending":
        return replace(entry, body=replace(body, input=_short(body.input), diffs=()))
    if isinstance(body, UserMessage) and any(one.data for one in body.attachments):
        return replace(
            entry, body=replace(body, attachments=tuple(replace(one, data=None) for one in body.attachments))
        )
    if isinstance(body, Raw):
        return replace(entry, body=replace(body, data=_short(body.data)))
    if not isinstance(body, ToolCall):
        return entry
    long_input = _short(body.input) is not body.input
    if len(body.content) <= MOST_TEXT and not long_input and not body.diffs:
        return entry
    left = len(body.content) - MOST_TEXT
    content = f"{body.content[:MOST_TEXT]}\n… {left:,} more characters" if left > 0 else body.content
    short = replace(body, content=content, input=None if long_input else body.input, diffs=())
    return replace(entry, body=short)


def _short(data: Any) -> Any:
    """Data as it is, or nothing where it is long."""
    return data if data is None or len(encode(data)) <= MOST_TEXT else None


async def opening(verbs: Verbs, chat_id: str) -> Snapshot:
    """A turn that is about to begin: nothing has been said in it."""
    chat = await verbs.get_chat(chat_id)
    return Snapshot(chat=chat, session=await verbs.get_session(chat.session_id), turn_id="")


async def take(verbs: Verbs, chat_id: str) -> Snapshot:
    """The chat as it is now, with its newest entries."""
    chat = await verbs.get_chat(chat_id)
    page = await verbs.read(chat_id, before=1 << 53, limit=MOST_ENTRIES)
    return Snapshot(
        chat=chat,
        session=await verbs.get_session(chat.session_id),
        entries=newest(sorted(page.entries, key=lambda entry: entry.pos)),
        changes=await verbs.changes(chat_id),
        usage=await verbs.usage(chat_id),
    )


async def take_turn(verbs: Verbs, chat_id: str, turn_id: str, entries: tuple[Entry, ...]) -> Snapshot:
    """One turn as it is now, given its entries."""
    chat = await verbs.get_chat(chat_id)
    return Snapshot(
        chat=chat,
        session=await verbs.get_session(chat.session_id),
        turn_id=turn_id,
        entries=newest(entries),
        changes=tuple(change for change in await verbs.changes(chat_id) if change.turn_id == turn_id),
        usage=tuple(row for row in await verbs.usage(chat_id) if row.turn_id == turn_id),
    )
