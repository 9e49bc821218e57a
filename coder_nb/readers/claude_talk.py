"""Claude Code, all of a file: what was said, the tools, and the session's own facts; the usage is that of `claude`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from sys import intern

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from coder_nb.core.rows import AnyRow, Message, MessageKind, Role, Session, ToolUse
from coder_nb.readers.base import Note, Source, Start
from coder_nb.readers.claude import Answer, Line, Responses
from coder_nb.readers.edits import told
from coder_nb.readers.lines import Lines, millis, shared, stem

_NOT_SAID = ("<system-reminder>", "<task-notification>", "<local-command-", "[Request interrupted by user")
"""How what Claude writes in the user's name begins."""
_EXIT = re.compile(r"\s*(?:Error: )?Exit code (\d+)")


class Inner(Struct, gc=False):
    type: str = ""
    text: str | None = None


class Block(Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    tool_use_id: str | None = None
    is_error: bool | None = None
    content: str | list[Inner | str] | Inner | None = None


class Said(Answer, gc=False):
    content: str | list[Block] = ""


class FullLine(Line, gc=False):
    """As much of a line as tells anything; what `Line` leaves out is most of a file."""

    isMeta: bool = False
    isCompactSummary: bool = False
    summary: str | None = None
    customTitle: str | None = None
    aiTitle: str | None = None
    message: Said | None = None


class Named(Struct, gc=False):
    """What a tool's input may call a file."""

    file_path: str | None = None
    notebook_path: str | None = None
    path: str | None = None


_full_line = msgspec.json.Decoder(FullLine).decode
_line = msgspec.json.Decoder(Line).decode
_named = msgspec.json.Decoder(Named).decode


def _usage_alone(data: bytes) -> FullLine:
    """A line that says something in a way that is not known, and yet tells what was used."""
    line = _line(data)
    known = {name: getattr(line, name) for name in Line.__struct_fields__}
    answer = line.message
    said = None if answer is None else Said(answer.id, answer.model, answer.stop_reason, answer.usage)
    return FullLine(**known | {"message": said})


class Talk:
    """What a file has told so far."""

    def __init__(self, source: Source, text: bool, note: Note) -> None:
        self._source, self._text = source, text
        self._lines = Lines("claude", _full_line, note, lean=_usage_alone)
        self._responses = Responses(source)
        self._messages: list[Message] = []
        self._calls: dict[str, ToolUse] = {}
        self._seen: set[object] = set()
        self._titles = {"custom": "", "ai": "", "summary": "", "prompt": ""}
        self._first: FullLine | None = None
        self._last: str | None = None

    def feed(self, source: Source, start: Start) -> Start:
        for number, line in self._lines.of(source, start):
            self.take(number, line)
        return self._lines.end

    def rows(self) -> Iterator[AnyRow]:
        yield from self._responses.rows()
        yield from self._messages
        yield from self._calls.values()
        if self._first is not None:
            yield self._session(self._first)

    def take(self, number: int, line: FullLine) -> None:
        said = line.message
        if said is None:
            self._entitle(line)
            return
        if self._responses.project is None:
            self._responses.project = line.cwd
        self._first = self._first or line
        self._last = line.timestamp or self._last
        if said.usage is not None:
            self._responses.add(number, line)
        elif line.toolUseResult:
            self._responses.searched(line)
        content, said.content = said.content, ""  # of a line that is kept for its usage no text is kept
        if line.uuid is not None:
            if line.uuid in self._seen:
                return
            self._seen.add(line.uuid)
        if isinstance(content, str):
            self._say(number, line, content)
            return
        for block in content:
            self._block(number, line, block)

    def _entitle(self, line: FullLine) -> None:
        for kind, title in (("custom", line.customTitle), ("ai", line.aiTitle), ("summary", line.summary)):
            if title:
                self._titles[kind] = title

    def _block(self, number: int, line: FullLine, block: Block) -> None:
        if block.type == "text":
            self._say(number, line, block.text)
        elif block.type == "thinking":
            self._say(number, line, block.thinking, "reasoning")
        elif block.type == "tool_use" and block.id and block.id not in self._calls:
            self._calls[block.id] = self._call(number, line, block, block.id)
        elif block.type == "tool_result" and block.tool_use_id in self._calls:
            self._calls[block.tool_use_id] = self._ended(line, block, self._calls[block.tool_use_id])

    def _say(self, number: int, line: FullLine, text: str | None, kind: MessageKind = "text") -> None:
        if not text or line.isMeta:
            return
        role: Role = "assistant" if line.type == "assistant" else "user"
        if line.isCompactSummary:
            role, kind = "system", "compaction"
        elif role == "user" and text.lstrip().startswith(_NOT_SAID):
            role = "system"
        elif role == "user" and not self._titles["prompt"]:
            self._titles["prompt"] = text[:80]
        said = line.message
        row = Message(
            agent="claude",
            session_id=intern(line.sessionId or stem(self._source.path)),
            file=str(self._source.path),
            line=number,
            ts=millis(line.timestamp),
            project=self._responses.project,
            branch=shared(line.gitBranch) or None,
            version=shared(line.version),
            subagent=shared(line.agentId),
            message_id=line.uuid,
            role=role,
            kind=kind,
            text=text if self._text else None,
            chars=len(text),
            model=shared(said.model) if said else None,
            sidechain=line.isSidechain,
        )
        self._messages.append(row)

    def _call(self, number: int, line: FullLine, block: Block, call_id: str) -> ToolUse:
        return ToolUse(
            agent="claude",
            session_id=intern(line.sessionId or stem(self._source.path)),
            file=str(self._source.path),
            line=number,
            ts=millis(line.timestamp),
            project=self._responses.project,
            branch=shared(line.gitBranch) or None,
            version=shared(line.version),
            subagent=shared(line.agentId),
            call_id=call_id,
            key=call_id,
            original_name=intern(block.name or ""),
            input=bytes(block.input).decode("utf-8", "replace") if self._text else None,
            path=_path(block.input),
            message_id=line.uuid,
            **told(block.input),
            model=shared(line.message.model) if line.message else None,
        )

    def _ended(self, line: FullLine, block: Block, call: ToolUse) -> ToolUse:
        output = _output(block.content)
        ended, failed = millis(line.timestamp), bool(block.is_error)
        exit_code = _EXIT.match(output) if failed else None
        return replace(
            call,
            status="failed" if failed else "completed",
            output=output if self._text else None,
            output_chars=len(output),
            exit_code=int(exit_code[1]) if exit_code else None,
            ended=ended,
            duration_ms=None if ended is None or call.ts is None else ended - call.ts,
        )

    def _session(self, first: FullLine) -> Session:
        return Session(
            agent="claude",
            session_id=first.sessionId or stem(self._source.path),
            file=str(self._source.path),
            line=1,
            ts=millis(first.timestamp),
            project=self._responses.project,
            branch=first.gitBranch or None,
            version=first.version,
            subagent=first.agentId,
            title=None if first.agentId else next(filter(None, self._titles.values()), None),
            ended=millis(self._last),
        )


def _output(content: str | list[Inner | str] | Inner | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    return "\n".join(part if isinstance(part, str) else part.text or "" for part in parts)


def _path(given: Raw) -> str | None:
    try:
        named = _named(given)
    except msgspec.MsgspecError:
        return None
    return named.file_path or named.notebook_path or named.path
