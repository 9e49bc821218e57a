"""Gemini CLI: `tmp/<project>/chats/session-*.json`, a document; in current versions `.jsonl`, a log of a document.

In the log a message is written again under its id when its tools have ended, the list of messages may be replaced, and
a rewind cuts it. The messages follow; what was used stays used, and the calls that were made stay made. Where a header
comes again the conversation was opened again, with an empty list: what was said before stays said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Message, MessageKind, Problem, Relation, Role, Session, ToolUse, Usage
from coder_nb.readers.base import Note, Places, Sought, Source, Start, files, fresh
from coder_nb.readers.edits import told
from coder_nb.readers.lines import Lines, millis, opened, stem, whole
from coder_nb.readers.qwen import answer_text, named_path


class Counts(Struct):
    """The input holds what was cached; the output is without the thoughts."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    thoughts: int | None = None

    def tokens(self) -> Tokens:
        given = None if self.input is None else max(0, self.input - (self.cached or 0))
        output = None if self.output is None else self.output + (self.thoughts or 0)
        return Tokens(input=given, output=output, reasoning=self.thoughts, cache_read=self.cached)


class Part(Struct):
    text: str = ""


class Thought(Struct):
    subject: str = ""
    description: str = ""


class Call(Struct):
    id: str | None = None
    name: str = ""
    args: Raw = Raw(b"{}")
    result: Raw = Raw(b"null")
    status: str | None = None
    timestamp: str | None = None


class Said(Struct):
    id: str | None = None
    type: str | None = None
    timestamp: str | None = None
    content: str | list[Part | str] | Part = ""
    thoughts: list[Thought] | None = None
    model: str | None = None
    tokens: Counts | None = None
    toolCalls: list[Call] | None = None


class Patch(Struct):
    messages: list[Said] | None = None
    summary: str | None = None
    lastUpdated: str | None = None


class Line(Said, rename={"patch": "$set", "rewind": "$rewindTo"}):
    """A header, a message, a patch or a rewind; the document of earlier versions is a header with its messages."""

    sessionId: str | None = None
    startTime: str | None = None
    lastUpdated: str | None = None
    kind: str | None = None
    summary: str | None = None
    directories: list[str] | None = None
    messages: list[Said] | None = None
    patch: Patch | None = None
    rewind: str | None = None


class Projects(Struct):
    projects: dict[str, str] = {}


_line = msgspec.json.Decoder(Line).decode
_ROLES: dict[str, Role] = {"user": "user", "gemini": "assistant"}
_STATUS = {"success": "completed", "error": "failed", "cancelled": "cancelled"}


class Gemini:
    """Reads the history of Gemini CLI."""

    agent = "gemini"

    def roots(self, places: Places) -> Iterable[Path]:
        return [*(home / ".gemini" for home in places.named("GEMINI_CLI_HOME")), places.home / ".gemini"]

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        for source in files(root / "tmp", self.agent, note, suffixes=(".json", ".jsonl", ".jsonl.zst", ".json.zst")):
            if "chats" in source.path.parts and fresh(source, sought):
                yield source

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        parser = self.parser(source, sought, note)
        if parser is not None:
            yield from whole(parser, source)
            return
        chat = _Chat(source, sought, Lines(self.agent, _line, note))
        self._document(source, chat, note)
        yield from chat.rows()

    def parser(self, source: Source, sought: Sought, note: Note) -> _Chat | None:
        is_log = ".jsonl" in source.path.suffixes
        return _Chat(source, sought, Lines(self.agent, _line, note)) if is_log else None

    def _document(self, source: Source, chat: _Chat, note: Note) -> None:
        try:
            with opened(source.path) as file:
                chat.take(1, _line(file.read()))
        except OSError as error:
            note(Problem(agent=self.agent, file=str(source.path), what="unreadable", detail=str(error)))
        except msgspec.MsgspecError as error:
            what = "unexpected shape" if isinstance(error, msgspec.ValidationError) else "broken line"
            note(Problem(agent=self.agent, file=str(source.path), line=1, what=what, detail=str(error)))


class _Chat:
    """What a file has told so far."""

    def __init__(self, source: Source, sought: Sought, lines: Lines[Line]) -> None:
        self._source, self._sought, self._lines = source, sought, lines
        self._head = Line()
        self._used: dict[str, tuple[int, Said]] = {}
        self._said: dict[str, tuple[int, Said]] = {}
        self._made: dict[str, tuple[int, Said, Call]] = {}
        self._before: list[tuple[str, int, Said]] = []
        self._last: str | None = None
        self._project = _project(source.path)

    def take(self, number: int, line: Line) -> None:
        if line.sessionId is not None:
            if self._head.sessionId is not None:  # it was opened again, and begins with an empty list
                self._before += ((name, *told) for name, told in self._said.items() if not _is_context(told[1]))
                self._said.clear()
                line.summary, line.startTime = line.summary or self._head.summary, self._head.startTime
            self._head = line
        self._last = line.lastUpdated or line.timestamp or self._last
        if line.rewind is not None:
            self._rewind(line.rewind)
        listed = line.messages
        if line.patch is not None:
            self._last = line.patch.lastUpdated or self._last
            self._head.summary = line.patch.summary or self._head.summary
            listed = line.patch.messages
        if listed is not None:
            self._said.clear()
        for said in listed or ():
            self._add(number, said)
        if line.type is not None:
            self._add(number, line)

    def _add(self, number: int, said: Said) -> None:
        name = said.id or f"line {number}"
        self._said[name] = (number, said)
        for call in said.toolCalls or ():
            self._made[call.id or f"{name} {call.name}"] = (number, said, call)
        if said.tokens is not None:
            self._used[name] = (self._used[name][0] if name in self._used else number, said)

    def _rewind(self, name: str) -> None:
        """Cuts the messages from this one on."""
        names = list(self._said)
        for gone in names[names.index(name) :] if name in names else ():
            del self._said[gone]

    def feed(self, source: Source, start: Start) -> Start:
        for number, line in self._lines.of(source, start):
            self.take(number, line)
        return self._lines.end

    def rows(self) -> Iterator[AnyRow]:
        for name, (number, said) in self._used.items():
            row = self._row(number, said)
            yield Usage(
                **row,
                response_id=f"{row['session_id']}/{name}",
                tokens=said.tokens.tokens() if said.tokens else Tokens(),
                model=said.model,
                subagent_type=self._head.kind if self._head.kind not in ("main", None) else None,
                parent_id=self._parent,
            )
        if self._sought.what == {"usage"}:
            return
        for name, number, said in self._talk():
            yield from self._messages(name, number, said)
        for number, said, call in self._made.values():
            yield self._call(number, said, call)
        yield self._session()

    def _talk(self) -> list[tuple[str, int, Said]]:
        return [*self._before, *((name, *told) for name, told in self._said.items())]

    def _messages(self, name: str, number: int, said: Said) -> Iterator[Message]:
        role: Role = "system" if _is_context(said) else _ROLES.get(said.type or "", "system")
        thoughts = "\n".join(f"{one.subject}\n{one.description}".strip() for one in said.thoughts or ())
        texts: list[tuple[MessageKind, str]] = [("reasoning", thoughts), ("text", _text(said.content))]
        for kind, text in texts:
            if text:
                kept, row = text if self._sought.text else None, self._row(number, said)
                model = said.model if role == "assistant" else None
                yield Message(**row, message_id=name, role=role, kind=kind, text=kept, chars=len(text), model=model)

    def _call(self, number: int, said: Said, call: Call) -> ToolUse:
        row = self._row(number, said)
        started, ended = millis(said.timestamp), millis(call.timestamp)
        output = _output(call.result)
        return ToolUse(
            **row,
            call_id=call.id or "",
            key=f"{row['session_id']}/{said.id}/{call.id}",
            original_name=call.name,
            input=bytes(call.args).decode("utf-8", "replace") if self._sought.text else None,
            path=named_path(call.args),
            message_id=said.id,
            **told(call.args),
            status=_STATUS.get(call.status or "", call.status or "pending"),
            output=output if self._sought.text else None,
            output_chars=len(output),
            ended=ended,
            duration_ms=None if started is None or ended is None else max(0, ended - started),
            model=said.model,
        )

    def _session(self) -> Session:
        prompts = (_text(one.content) for _, _, one in self._talk() if one.type == "user" and not _is_context(one))
        title = self._head.summary or next((text[:80] for text in prompts if text), None)
        row = self._row(1, Said(timestamp=self._head.startTime))
        relation: Relation | None = "subagent" if self._parent else None
        return Session(**row, title=title, ended=millis(self._last), parent_id=self._parent, relation=relation)

    @property
    def _parent(self) -> str | None:
        """The conversation in whose service it was: a sub-agent's file lies in a folder of that name."""
        return self._source.path.parent.name if self._head.kind == "subagent" else None

    def _row(self, number: int, said: Said) -> dict[str, Any]:
        return {
            "agent": "gemini",
            "session_id": self._head.sessionId or stem(self._source.path),
            "file": str(self._source.path),
            "line": number,
            "ts": millis(said.timestamp),
            "project": self._project,
        }


def _is_context(said: Said) -> bool:
    """Whether it is what the agent tells the model in the user's name before the user says anything."""
    return said.type == "user" and _text(said.content).startswith("<session_context>")


def _text(content: str | list[Part | str] | Part) -> str:
    parts = content if isinstance(content, list) else [content]
    return "".join(part if isinstance(part, str) else part.text for part in parts)


def _output(result: Raw) -> str:
    """The texts of a call's result, which is a list of function responses."""
    if bytes(result) == b"null":
        return ""
    found = msgspec.json.decode(result)
    inner = [part["functionResponse"].get("response", {}) for part in found or () if "functionResponse" in part]
    return "\n".join(answer_text(Raw(msgspec.json.encode(one))) for one in inner)


def _project(path: Path) -> str | None:
    """The project's directory: written in its folder, or in the list of all; not known where there is only a hash."""
    folder = next((one for one in path.parents if one.parent.name == "tmp"), path.parent)
    try:
        return (folder / ".project_root").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        pass
    try:
        listed = msgspec.json.decode((folder.parent.parent / "projects.json").read_bytes(), type=Projects)
    except (OSError, msgspec.MsgspecError):
        return None
    return next((path for path, name in listed.projects.items() if name == folder.name), None)
