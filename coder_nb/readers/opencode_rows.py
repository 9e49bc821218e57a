"""What opencode's messages and sessions tell, as rows: the same for its databases and for its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Message, MessageKind, Problem, Relation, Role, Session, ToolUse, Usage
from coder_nb.readers.base import Note, Sought
from coder_nb.readers.edits import told


class Cache(Struct):
    read: int | None = None
    write: int | None = None


class Counts(Struct):
    """The input holds nothing of the cache, the output nothing of the reasoning."""

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cache: Cache = msgspec.field(default_factory=Cache)

    def tokens(self) -> Tokens:
        output = None if self.output is None else self.output + (self.reasoning or 0)
        return Tokens(self.input, output, self.reasoning, self.cache.read, self.cache.write)

    @property
    def any(self) -> bool:
        return any((self.input, self.output, self.reasoning, self.cache.read, self.cache.write))


class Span(Struct):
    created: float | None = None
    completed: float | None = None
    updated: float | None = None
    start: float | None = None
    end: float | None = None


class Where(Struct):
    cwd: str | None = None


class Said(Struct):
    """A message."""

    id: str = ""
    sessionID: str = ""
    role: str = ""
    modelID: str | None = None
    providerID: str | None = None
    cost: float | None = None
    tokens: Counts | None = None
    time: Span = msgspec.field(default_factory=Span)
    path: Where | None = None
    finish: str | None = None
    summary: Raw = Raw(b"null")


class State(Struct):
    status: str = "pending"
    input: Raw = Raw(b"{}")
    output: str | None = None
    error: str | None = None
    metadata: Raw = Raw(b"{}")
    time: Span | None = None


class Part(Struct):
    id: str = ""
    messageID: str = ""
    type: str = ""
    text: str = ""
    synthetic: bool = False
    tool: str = ""
    callID: str = ""
    state: State = msgspec.field(default_factory=State)
    tokens: Counts | None = None
    cost: float | None = None


class Exit(Struct):
    exit: int | None = None


class Named(Struct):
    filePath: str | None = None
    path: str | None = None


class Talk(Struct):
    """A session."""

    id: str = ""
    projectID: str | None = None
    parentID: str | None = None
    forkedFrom: str | None = None
    directory: str | None = None
    title: str | None = None
    version: str | None = None
    time: Span = msgspec.field(default_factory=Span)


class Place(NamedTuple):
    """Where a message or a session stands."""

    file: str
    line: int
    talk: Talk


_ROLES: dict[str, Role] = {"assistant": "assistant", "compaction": "system"}
_TOOL_STATUS = {"streaming": "in_progress", "running": "in_progress", "completed": "completed", "error": "failed"}


def decoded(decode: Callable[[Any], Any], data: bytes | str, place: Place, note: Note) -> Any:
    """A value as it was written; None, with a note, where it is another."""
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        what = ("unexpected shape", str(error))
    except msgspec.MsgspecError as error:
        what = ("broken line", str(error))
    note(Problem(agent="opencode", file=place.file, line=place.line, what=what[0], detail=what[1]))
    return None


def message_rows(said: Said, parts: list[Part], place: Place, sought: Sought) -> Iterator[AnyRow]:
    """What a message tells: its responses, and of its parts what was said and done."""
    if said.role == "assistant" or said.tokens is not None:
        yield from _usage(said, parts, place)
    if sought.what == {"usage"}:
        return
    for part in parts:
        if part.type in ("text", "reasoning") and part.text and not part.synthetic:
            yield _text(said, part, place, sought)
        elif part.type == "tool":
            yield _call(said, part, place, sought)


def _usage(said: Said, parts: list[Part], place: Place) -> Iterator[Usage]:
    """A row a response; where none was finished, the message's own count, which is unknown while it is all noughts."""
    span = said.time
    steps = [(part.tokens, part.cost) for part in parts if part.type == "step-finish" and part.tokens is not None]
    alone = len(steps) < 2
    for number, (counts, cost) in enumerate(steps or [(said.tokens or Counts(), said.cost)]):
        known = counts.any or said.finish is not None
        tokens = counts.tokens() if known else Tokens()
        key = (
            place.talk.projectID,
            said.providerID,
            said.modelID,
            span.created,
            span.completed,
            number,
            *_plain(tokens),
        )
        yield Usage(
            **_row(said, place),
            response_id=json.dumps(key) if span.completed else f"{said.id}/{number}",
            tokens=tokens,
            model=said.modelID,
            provider=said.providerID,
            cost_nanousd=round(cost * 1e9) if cost else None,
            duration_ms=_between(span.created, span.completed) if alone and said.role == "assistant" else None,
            complete=bool(steps) or (known and (said.finish is not None or said.role == "compaction")),
            hidden=said.role == "compaction" or said.summary == Raw(b"true"),
            parent_id=place.talk.parentID,
        )


def _plain(tokens: Tokens) -> Iterable[int | None]:
    return (tokens.input, tokens.output, tokens.reasoning, tokens.cache_read, tokens.cache_write)


def _text(said: Said, part: Part, place: Place, sought: Sought) -> Message:
    role = _ROLES.get(said.role, "user")
    kind: MessageKind = "reasoning" if part.type == "reasoning" else "compaction" if role == "system" else "text"
    kept = part.text if sought.text else None
    return Message(
        **_row(said, place),
        message_id=said.id,
        role=role,
        kind=kind,
        text=kept,
        chars=len(part.text),
        model=said.modelID,
    )


def _call(said: Said, part: Part, place: Place, sought: Sought) -> ToolUse:
    state, span = part.state, part.state.time or Span()
    row = _row(said, place)
    if span.start is not None:
        row["ts"] = int(span.start)
    output = state.output if state.output is not None else state.error
    return ToolUse(
        **row,
        call_id=part.callID,
        key=json.dumps((part.callID, part.tool, span.start, span.end)),
        original_name=part.tool,
        input=bytes(state.input).decode("utf-8", "replace") if sought.text else None,
        path=_picked(state.input, Named, "filePath", "path"),
        message_id=said.id,
        **told(state.input),
        status=_TOOL_STATUS.get(state.status, state.status),
        output=output if sought.text else None,
        output_chars=None if output is None else len(output),
        exit_code=_picked(state.metadata, Exit, "exit"),
        ended=None if span.end is None else int(span.end),
        duration_ms=_between(span.start, span.end),
        model=said.modelID,
    )


def _picked(raw: Raw, kind: type[Struct], *names: str) -> Any:
    try:
        value = msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError:
        return None
    return next((found for name in names if (found := getattr(value, name)) is not None), None)


def session_row(place: Place) -> Session:
    """A session's own facts."""
    talk = place.talk
    row = _row(Said(sessionID=talk.id, time=talk.time), place)
    relation: Relation | None = "fork" if talk.forkedFrom else "subagent" if talk.parentID else None
    ended = talk.time.updated
    return Session(
        **row,
        title=talk.title,
        parent_id=talk.forkedFrom or talk.parentID,
        ended=None if ended is None else int(ended),
        relation=relation,
    )


def _between(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else round(end - start)


def _row(said: Said, place: Place) -> dict[str, Any]:
    talk = place.talk
    return {
        "agent": "opencode",
        "session_id": said.sessionID or talk.id,
        "file": place.file,
        "line": place.line,
        "ts": None if said.time.created is None else int(said.time.created),
        "project": talk.directory or (said.path.cwd if said.path else None),
        "version": talk.version,
    }
