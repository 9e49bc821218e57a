"""A chat as one file: JSON Lines, version 1, which can be read back, replayed and analysed. Pure.

* First ``{"format": "coder-nb.chat", "version": 1, "chat": {..}, "session": {..}, "origin": ".."}``; `origin` says in a
  sentence where it comes from. Nothing of the run state is in it.
* ``{"entry": Entry}``, in the order of the transcript. An entry that comes again is the same one, later.
* ``{"turn": TurnInfo}`` and ``{"change": Change}``, each.

Lines and fields that are not known are passed over; entries of an unknown kind are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from coder_nb.core import codec
from coder_nb.core.changes import Change
from coder_nb.core.entries import (
    AnyBody,
    Checkpoint,
    Entry,
    Permission,
    TurnEnded,
    TurnStarted,
    Unknown,
    Usage,
    Value,
)
from coder_nb.core.redaction import Redactor
from coder_nb.core.sessions import ChatInfo, SessionInfo, TurnInfo
from coder_nb.errors import Conflict, NotFound

FORMAT = "coder-nb.chat"


class BadExport(ValueError):
    """A file is no export of a chat; the text says which line, and why."""


class Header(Value):
    """The first line."""

    format: str
    version: int
    origin: str = ""
    chat: dict[str, Any] = {}
    session: dict[str, Any] = {}


class Exported(Value):
    """The durable part of a chat, whole."""

    chat: ChatInfo
    session: SessionInfo
    entries: tuple[Entry, ...] = ()
    turns: tuple[TurnInfo, ...] = ()
    changes: tuple[Change, ...] = ()
    origin: str = ""


def durable(exported: Exported) -> Exported:
    """Without the run state and without what is true on this machine only: the owner, the host, the whole path."""
    chat, session = exported.chat, exported.session
    folder = session.path.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return replace(
        exported,
        chat=ChatInfo(
            id=chat.id, session_id=chat.session_id, name=chat.name, title=chat.title, created_at=chat.created_at
        ),
        session=SessionInfo(
            id=session.id,
            owner="",
            path=folder,
            name=session.name,
            title=session.title,
            created_at=session.created_at,
            base_commit=session.base_commit,
        ),
    )


def redacted(exported: Exported, redactor: Redactor) -> Exported:
    """With every secret hidden, wherever it stands."""
    return replace(
        exported,
        chat=redactor.value(exported.chat),
        session=redactor.value(exported.session),
        entries=tuple(map(redactor.entry, exported.entries)),
        turns=tuple(map(redactor.value, exported.turns)),
        changes=tuple(map(redactor.value, exported.changes)),
    )


def to_lines(exported: Exported) -> Iterator[bytes]:
    """The lines of the file, each with its end."""
    header = Header(
        format=FORMAT,
        version=codec.FORMAT,
        origin=exported.origin,
        chat=msgspec.to_builtins(exported.chat),
        session=msgspec.to_builtins(exported.session),
    )
    yield codec.encode(header) + b"\n"
    for name, values in (("entry", exported.entries), ("turn", exported.turns), ("change", exported.changes)):
        for value in values:
            yield b'{"%s":%s}\n' % (name.encode(), codec.encode(value))


def read_header(row: bytes) -> Header:
    """The first line; raises `BadExport`."""
    try:
        header = codec.decode(row, Header)
    except msgspec.MsgspecError as error:
        raise BadExport(f"its first line is no header of a chat: {error}") from error
    if header.format != FORMAT:
        raise BadExport(f"its format is {header.format!r} and not {FORMAT!r}")
    if header.version > codec.FORMAT:
        raise BadExport(f"its version is {header.version}, and this coder-nb reads up to {codec.FORMAT}: upgrade it")
    return header


def from_lines(data: bytes) -> Exported:
    """Reads a file back; raises `BadExport`."""
    rows = [(number, row) for number, row in enumerate(data.split(b"\n"), 1) if row.strip()]
    if not rows:
        raise BadExport("it is empty")
    header = read_header(rows[0][1])
    entries: dict[str, Entry] = {}
    turns: dict[str, TurnInfo] = {}
    changes: dict[str, Change] = {}
    for number, row in rows[1:]:
        try:
            line = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
            if "entry" in line:
                entry = codec.decode(bytes(line["entry"]), Entry)
                entries[entry.id] = entry
            if "turn" in line:
                turn = codec.decode(bytes(line["turn"]), TurnInfo)
                turns[turn.id] = turn
            if "change" in line:
                change = codec.decode(bytes(line["change"]), Change)
                changes[change.id] = change
        except msgspec.MsgspecError as error:
            raise BadExport(f"line {number} is not understood: {error}") from error
    try:
        chat, session = msgspec.convert(header.chat, ChatInfo), msgspec.convert(header.session, SessionInfo)
    except msgspec.ValidationError as error:
        raise BadExport(f"its first line is no header of a chat: {error}") from error
    ordered = tuple(sorted(entries.values(), key=lambda entry: entry.pos))
    return Exported(
        chat=chat,
        session=session,
        entries=ordered,
        turns=tuple(turns.values()) or tuple(turns_of(ordered)),
        changes=tuple(changes.values()),
        origin=header.origin,
    )


def turns_of(entries: tuple[Entry, ...]) -> Iterator[TurnInfo]:
    """The turns that a transcript tells of, for a file that does not list them."""
    ends = {entry.turn_id: entry for entry in entries if isinstance(entry.body, TurnEnded)}
    for entry in entries:
        if not isinstance(entry.body, TurnStarted) or entry.turn_id is None:
            continue
        last = ends.get(entry.turn_id)
        ended = last.body if last is not None and isinstance(last.body, TurnEnded) else TurnEnded("interrupted")
        yield TurnInfo(
            id=entry.turn_id,
            chat_id=entry.chat_id,
            prompt_id=entry.body.prompt_id,
            agent=entry.body.agent,
            state=ended.end,
            started_at=entry.ts,
            ended_at=entry.ts if last is None else last.ts,
            end=ended.end,
            reason=ended.reason,
            message=ended.message,
            code=ended.code,
        )


# Copies --------------------------------------------------------------------------------------------------------------


def kept_turns(turns: Sequence[TurnInfo], turn_id: str | None) -> list[TurnInfo]:
    """The turns up to the one that is forked at; a turn that still runs would be half a message."""
    ended = [turn for turn in turns if turn.end]
    if turn_id is None:
        return ended
    place = next((place for place, turn in enumerate(ended) if turn.id == turn_id), None)
    if place is not None:
        return ended[: place + 1]
    if any(turn.id == turn_id for turn in turns):
        raise Conflict("That turn still runs: wait for it or stop it, or fork at an earlier one.")
    raise NotFound("This chat has no such turn: `chat.turns()` lists those it has.")


def up_to(entries: Sequence[Entry], turn_id: str | None) -> tuple[Entry, ...]:
    """The entries up to the end of a turn."""
    for place, entry in enumerate(entries):
        if entry.turn_id == turn_id and isinstance(entry.body, TurnEnded):
            return tuple(entries[: place + 1])
    return ()


def copied(
    exported: Exported, chat_id: str, id_of: Callable[[str, str], str]
) -> tuple[tuple[Entry, ...], tuple[TurnInfo, ...]]:
    """The transcript as that of another chat: nothing in it counts, runs or can still be answered.

    Entries keep their ids and order, and stand at 1, 2, 3 and so on; turns get the ids that `id_of`
    makes of the chat's and theirs.
    """
    turns = {turn.id: id_of(chat_id, turn.id) for turn in exported.turns}
    places = {entry.pos: place for place, entry in enumerate(exported.entries, 1)}
    entries = tuple(
        replace(
            entry,
            chat_id=chat_id,
            turn_id=turns.get(entry.turn_id or ""),
            pos=place,
            rev=0,
            open=False,
            body=_copied_body(entry.body, places),
        )
        for place, entry in enumerate(exported.entries, 1)
    )
    return entries, tuple(_copied_turn(turn, turns[turn.id], chat_id) for turn in exported.turns)


def _copied_body(body: AnyBody | Unknown, places: Mapping[int, int]) -> AnyBody | Unknown:
    if isinstance(body, Usage | Permission):
        return replace(body, counted=False)
    if isinstance(body, Checkpoint) and body.hides_from is not None:
        hides_to = body.hides_to if body.hides_to is None else places.get(body.hides_to, body.hides_to)
        return replace(body, hides_from=places.get(body.hides_from, body.hides_from), hides_to=hides_to)
    return body


def _copied_turn(turn: TurnInfo, turn_id: str, chat_id: str) -> TurnInfo:
    copy = replace(turn, id=turn_id, chat_id=chat_id)
    return copy if turn.end else replace(copy, state="interrupted", end="interrupted", ended_at=turn.started_at)
