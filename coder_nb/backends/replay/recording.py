"""What a recording says, as steps to play. Pure: bytes in, values out.

A recording is a chat in the export format (`core/export.py`), JSONL version 1, with one kind of line more:

* ``{"patch": {"entry": id, "files": [{"path", "content", "mode"}]}}`` after the tool call that wrote these files, as
  they were after it; `content` is null for a file that it deleted.

Lines and fields that are not known are passed over; entries of an unknown kind are played as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import msgspec

from coder_nb.backends.events import (
    AnyEvent,
    CommandsChanged,
    Failed,
    ModeChanged,
    Noticed,
    PermissionAsked,
    PlanUpdate,
    QuestionAsked,
    RawReceived,
    ToolUpdate,
    UsageReported,
)
from coder_nb.core import codec, export
from coder_nb.core.entries import (
    AnyBody,
    Checkpoint,
    Commands,
    Compaction,
    Entry,
    Error,
    FileChange,
    Mode,
    Notice,
    Permission,
    PermissionOption,
    Plan,
    Question,
    Raw,
    Reasoning,
    Text,
    ToolCall,
    TurnEnded,
    TurnStarted,
    Unknown,
    Usage,
    UserMessage,
    Value,
)

LONGEST, SILENCE = 15.0, 2.0
"""The longest, in seconds, that a text streams and that nothing is seen to happen: nobody waits for that again."""
ALLOW, REJECT = "allow", "reject"
OPTIONS = (
    PermissionOption(id=ALLOW, label="Allow", kind="allow_once"),
    PermissionOption(id=REJECT, label="Reject", kind="reject_once"),
)
"""What is offered where the recording does not say."""


class BadRecording(ValueError):
    """A recording cannot be understood; the text says which line, and why."""


class FilePatch(Value, frozen=True):
    """One file after a tool call."""

    path: str
    """Relative to the working directory, with ``/``."""
    content: str | None = None
    mode: str = "100644"


class Patch(Value, frozen=True):
    """What one tool call did to the files."""

    entry: str
    files: tuple[FilePatch, ...] = ()


class Recorded(Value, frozen=True):
    """One turn: the prompt, what followed it, and its end."""

    prompt: str
    began: int
    entries: tuple[Entry, ...] = ()
    ended: TurnEnded = TurnEnded("completed")
    ended_at: int | None = None


class Recording(Value, frozen=True):
    origin: str
    turns: tuple[Recorded, ...]
    patches: dict[str, Patch] = {}


# Steps: what is played, one after another ----------------------------------------------------------------------------


class Say(Value, frozen=True):
    """Text that streams."""

    text: str
    part: str
    seconds: float
    reasoning: bool = False
    parent: str | None = None


class Call(Value, frozen=True):
    """A tool call: it begins, may be asked for, writes its files, and ends."""

    began: ToolUpdate
    ended: ToolUpdate
    seconds: float
    asked: PermissionAsked | None = None
    recorded_answer: bool = True
    """Whether it was allowed when it was recorded, or nobody asked."""
    files: tuple[FilePatch, ...] = ()


class Tell(Value, frozen=True):
    """An event that is there at once, or nothing but time that passes."""

    event: AnyEvent | None
    seconds: float


Step = Say | Call | Tell


# Bytes to a recording ------------------------------------------------------------------------------------------------


def parse(data: bytes) -> Recording:
    """Reads a recording; raises `BadRecording`."""
    rows = [(number, row) for number, row in enumerate(data.splitlines(), 1) if row.strip()]
    if not rows:
        raise BadRecording("it is empty")
    try:
        header = export.read_header(rows[0][1])
    except export.BadExport as error:
        raise BadRecording(str(error)) from error
    entries: list[Entry] = []
    patches: dict[str, Patch] = {}
    for number, row in rows[1:]:
        try:
            line = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
            if "entry" in line:
                entries.append(codec.decode(bytes(line["entry"]), Entry))
            if "patch" in line:
                patch = codec.decode(bytes(line["patch"]), Patch)
                patches[patch.entry] = patch
        except msgspec.MsgspecError as error:
            raise BadRecording(f"line {number} is not understood: {error}") from error
    return Recording(origin=header.origin, turns=tuple(_turns(_latest(entries))), patches=patches)


def _latest(entries: list[Entry]) -> Iterator[Entry]:
    """The entries with the last word on each, in its first place; a plan is kept every time, as it shows progress."""
    last = {entry.id: entry for entry in entries}
    seen: set[str] = set()
    for entry in entries:
        if isinstance(entry.body, Plan):
            yield entry
        elif entry.id not in seen:
            seen.add(entry.id)
            yield last[entry.id]


def _turns(entries: Iterable[Entry]) -> Iterator[Recorded]:
    """The turns that a user's prompt began; what an agent began by itself belongs to the turn before."""
    turn: Recorded | None = None
    turn_id: str | None = None
    body: list[Entry] = []
    for entry in entries:
        if isinstance(entry.body, UserMessage) and (turn is None or entry.turn_id != turn_id):
            if turn is not None:
                yield msgspec.structs.replace(turn, entries=tuple(body))
            turn, turn_id, body = Recorded(prompt=entry.body.text, began=entry.ts), entry.turn_id, []
        elif turn is not None and isinstance(entry.body, TurnEnded):
            turn = msgspec.structs.replace(turn, ended=entry.body, ended_at=entry.ts)
        elif turn is not None:
            body.append(entry)
    if turn is not None:
        yield msgspec.structs.replace(turn, entries=tuple(body))


# A turn to steps -----------------------------------------------------------------------------------------------------


def steps(turn: Recorded, patches: dict[str, Patch]) -> tuple[Step, ...]:
    """How a turn is played: with the times between its entries, a person's hesitation left out."""
    asked = {e.body.tool_entry: e for e in turn.entries if isinstance(e.body, Permission) and e.body.tool_entry}
    called = {e.id for e in turn.entries if isinstance(e.body, ToolCall)}
    played = [e for e in turn.entries if not isinstance(e.body, TurnStarted | FileChange | Checkpoint | UserMessage)]
    played = [e for e in played if not (isinstance(e.body, Permission) and e.body.tool_entry in called)]
    ends = [e.ts for e in played] + [turn.ended_at or (played[-1].ts if played else turn.began)]
    found: list[Step] = [Tell(event=None, seconds=min(_seconds(turn.began, ends[0]), SILENCE))]
    for entry, (start, end) in zip(played, pairwise(ends), strict=True):
        permission = asked.get(entry.id)
        found.append(_step(entry, permission, patches.get(entry.id), _seconds(start, end - _waited(permission, entry))))
    return tuple(found)


def _seconds(start: int, end: int) -> float:
    return min(max(end - start, 0) / 1000, LONGEST)


def _waited(permission: Entry | None, entry: Entry) -> int:
    body = permission.body if permission else entry.body
    return (body.waited_ms or 0) if isinstance(body, Permission | Question) else 0


def _step(entry: Entry, permission: Entry | None, patch: Patch | None, seconds: float) -> Step:
    body = entry.body
    if isinstance(body, Text | Reasoning):
        reasoning = isinstance(body, Reasoning)
        return Say(text=body.text, part=entry.id, seconds=seconds, reasoning=reasoning, parent=entry.parent)
    if isinstance(body, ToolCall):
        return _call(entry, body, permission, patch, min(seconds, SILENCE))
    return Tell(event=_event(body, entry.parent), seconds=min(seconds, SILENCE))


def _call(entry: Entry, body: ToolCall, permission: Entry | None, patch: Patch | None, seconds: float) -> Call:
    said = permission.body if permission else None
    began = ToolUpdate(
        call_id=entry.id,
        parent=entry.parent,
        original_name=body.original_name or body.name,
        tool_kind=body.tool_kind,
        title=body.title,
        input=body.input,
        status="in_progress",
        locations=body.locations,
        diffs=body.diffs,
    )
    ended = ToolUpdate(
        call_id=entry.id,
        parent=entry.parent,
        status=body.status if body.status in ("completed", "failed", "cancelled") else "failed",
        content=body.content,
        exit_code=body.exit_code,
    )
    return Call(
        began=began,
        ended=ended,
        seconds=seconds,
        asked=asking(began, said if isinstance(said, Permission) else None),
        recorded_answer=not isinstance(said, Permission) or said.status == "allowed",
        files=patch.files if patch else (),
    )


def asking(call: ToolUpdate, said: Permission | None) -> PermissionAsked | None:
    """The recorded question about a call."""
    if said is None:
        return None
    asked = _permission(said, call.parent)
    return msgspec.structs.replace(asked, tool=call.original_name or said.tool, call_id=call.call_id)


def _event(body: AnyBody | Unknown, parent: str | None) -> AnyEvent | None:
    """What an agent reports that leads to such an entry; None where it is the runtime's own."""
    match body:
        case Plan():
            return PlanUpdate(items=body.items, parent=parent)
        case Permission():  # about no call that was recorded
            return _permission(body, parent)
        case Commands():
            return CommandsChanged(commands=body.commands, parent=parent)
        case Mode():
            return ModeChanged(current=body.current, available=body.available, parent=parent)
        case Usage():
            return _usage(body, parent)
        case Notice():
            return Noticed(text=body.text, code=body.code, level=body.level, parent=parent)
        case Error():
            return Failed(message=body.message, code=body.code, retryable=body.retryable, parent=parent)
        case Raw():
            return RawReceived(source=body.source, type=body.type, data=body.data, parent=parent)
        case Question():
            return QuestionAsked(
                request_id=body.request_id,
                parent=parent,
                text=body.text,
                choices=body.choices,
                multiple=body.multiple,
                custom=body.custom,
            )
        case Compaction():
            return RawReceived(source="replay", type=_kind(body), data=_builtins(body), parent=parent)
        case Unknown():
            return RawReceived(source="replay", type=body.kind, data=msgspec.json.decode(body.data), parent=parent)
        case _:
            return None


def _permission(body: Permission, parent: str | None) -> PermissionAsked:
    return PermissionAsked(
        request_id=body.request_id,
        parent=parent,
        title=body.title,
        tool=body.tool,
        tool_kind=body.tool_kind,
        input=body.input,
        diffs=body.diffs,
        options=body.options or OPTIONS,
    )


def _usage(body: Usage, parent: str | None) -> UsageReported:
    return UsageReported(
        tokens=body.tokens,
        model=body.model,
        cost_nanousd=body.cost_nanousd,
        cost_source=body.cost_source,
        context_used=body.context_used,
        context_size=body.context_size,
        counted=False,
        parent=parent,
    )


def _kind(body: AnyBody) -> str:
    return str(body.__struct_config__.tag)


def _builtins(body: AnyBody) -> Any:
    return msgspec.to_builtins(body)


def pieces(text: str, seconds: float, *, smallest: float = 0.03) -> tuple[str, ...]:
    """The text in pieces of whole words, as many as fit into the time; together they are the text."""
    words = re.findall(r"\s*\S+\s*", text) or ([text] if text else [])
    count = max(1, min(len(words), int(seconds / smallest)))
    bounds = [len(words) * i // count for i in range(count + 1)]
    return tuple(piece for a, b in pairwise(bounds) if (piece := "".join(words[a:b])))
