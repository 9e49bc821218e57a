"""Qwen Code: `projects/<folder>/chats/<session>.jsonl`.

An answer carries its counts, and so does the report of each response, which current versions write beside it and for
calls that are no part of the conversation too. The reports are taken, and of the answers those that no report is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Message, MessageKind, Role, Session, ToolUse, Usage
from coder_nb.readers.base import Note, Places, Sought, Source, Start, files, fresh
from coder_nb.readers.edits import told
from coder_nb.readers.lines import Lines, millis, stem, whole


class Counts(Struct):
    """The input holds what was cached; whether the output holds the thoughts, the total tells."""

    promptTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    totalTokenCount: int | None = None


class Report(Struct, rename={"name": "event.name", "timestamp": "event.timestamp"}):
    name: str = ""
    timestamp: str | None = None
    response_id: str | None = None
    model: str | None = None
    duration_ms: float | None = None
    ttft_ms: float | None = None
    input_token_count: int | None = None
    cached_content_token_count: int | None = None
    output_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    subagent_id: str | None = None
    subagent_type: str | None = None
    call_id: str | None = None
    status: str | None = None

    def counts(self) -> Counts:
        return Counts(
            self.input_token_count,
            self.cached_content_token_count,
            self.output_token_count,
            self.thoughts_token_count,
            self.total_token_count,
        )


class Payload(Struct):
    uiEvent: Report | None = None


class Call(Struct):
    id: str | None = None
    name: str = ""
    args: Raw = Raw(b"{}")


class Answered(Struct):
    id: str | None = None
    response: Raw = Raw(b"{}")


class Part(Struct):
    text: str = ""
    thought: bool = False
    functionCall: Call | None = None
    functionResponse: Answered | None = None


class Said(Struct):
    parts: list[Part] = []


class Result(Struct):
    callId: str | None = None
    status: str | None = None


class Named(Struct):
    file_path: str | None = None
    absolute_path: str | None = None
    path: str | None = None


class Line(Struct):
    type: str = ""
    subtype: str | None = None
    uuid: str | None = None
    sessionId: str | None = None
    timestamp: str | None = None
    cwd: str | None = None
    version: str | None = None
    gitBranch: str | None = None
    model: str | None = None
    usageMetadata: Counts | None = None
    systemPayload: Payload | None = None
    message: Said | None = None
    toolCallResult: Result | None = None


_line = msgspec.json.Decoder(Line).decode
_STATUS = {"success": "completed", "error": "failed", "cancelled": "cancelled"}


class Qwen:
    """Reads the history of Qwen Code."""

    agent = "qwen"

    def roots(self, places: Places) -> Iterable[Path]:
        named = [*places.named("QWEN_RUNTIME_DIR"), *places.named("QWEN_HOME")]
        return [*named, places.home / ".qwen"]

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        for source in files(root / "projects", self.agent, note, suffixes=(".jsonl", ".jsonl.zst")):
            if source.path.parent.name == "chats" and fresh(source, sought):
                yield source

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        yield from whole(self.parser(source, sought, note), source)

    def parser(self, source: Source, sought: Sought, note: Note) -> _Chat:
        return _Chat(source, sought, Lines(self.agent, _line, note))


class _Chat:
    """What a file has told so far."""

    def __init__(self, source: Source, sought: Sought, lines: Lines[Line]) -> None:
        self._source, self._sought, self._lines = source, sought, lines
        self._reports: list[Usage] = []
        self._answers: list[Usage] = []
        self._messages: list[Message] = []
        self._calls: dict[str, ToolUse] = {}
        self._first: Line | None = None
        self._last: str | None = None
        self._title: str | None = None

    def feed(self, source: Source, start: Start) -> Start:
        for number, line in self._lines.of(source, start):
            self.take(number, line)
        return self._lines.end

    def rows(self) -> Iterator[AnyRow]:
        yield from self._reports
        reported = Counter(row.tokens for row in self._reports)
        for answer in self._answers:
            if reported[answer.tokens] > 0:
                reported[answer.tokens] -= 1
            else:
                yield answer
        yield from self._messages
        yield from self._calls.values()
        if self._first is not None and self._sought.what != {"usage"}:
            yield Session(**self._row(1, self._first), title=self._title, ended=millis(self._last))

    def take(self, number: int, line: Line) -> None:
        self._first = self._first or line
        self._last = line.timestamp or self._last
        report = line.systemPayload.uiEvent if line.systemPayload else None
        if report is not None:
            self._report(number, line, report)
        elif line.usageMetadata is not None:
            tokens = _tokens(line.usageMetadata)
            name = line.uuid or f"{line.sessionId}/{number}"
            row = Usage(**self._row(number, line), response_id=name, tokens=tokens, model=line.model)
            self._answers.append(row)
        if line.message is not None and self._sought.what != {"usage"}:
            for part in line.message.parts:
                self._part(number, line, part)

    def _report(self, number: int, line: Line, report: Report) -> None:
        if report.name.endswith("tool_call") and report.call_id in self._calls:
            call = self._calls[report.call_id]
            took = None if report.duration_ms is None else round(report.duration_ms)
            self._calls[report.call_id] = replace(call, duration_ms=took)
        if not report.name.endswith("api_response"):
            return
        place = self._row(number, line) | {"ts": millis(report.timestamp) or millis(line.timestamp)}
        usage = Usage(
            **place | {"subagent": report.subagent_id},
            response_id=report.response_id or line.uuid or f"{line.sessionId}/{number}",
            tokens=_tokens(report.counts()),
            model=report.model,
            duration_ms=None if report.duration_ms is None else round(report.duration_ms),
            ttft_ms=None if report.ttft_ms is None else round(report.ttft_ms),
            subagent_type=report.subagent_type,
            hidden=(report.subagent_type or "").startswith("managed-"),
        )
        self._reports.append(usage)

    def _part(self, number: int, line: Line, part: Part) -> None:
        if part.text:
            self._say(number, line, part)
        call, answered = part.functionCall, part.functionResponse
        if call is not None and call.id:
            self._calls[call.id] = ToolUse(
                **self._row(number, line),
                call_id=call.id,
                key=f"{call.id} {line.uuid}",
                original_name=call.name,
                input=bytes(call.args).decode("utf-8", "replace") if self._sought.text else None,
                path=named_path(call.args),
                message_id=line.uuid,
                **told(call.args),
                model=line.model,
            )
        if answered is not None and answered.id in self._calls:
            self._end(line, answered, self._calls[answered.id])

    def _end(self, line: Line, answered: Answered, call: ToolUse) -> None:
        output, ended = answer_text(answered.response), millis(line.timestamp)
        status = line.toolCallResult.status if line.toolCallResult else None
        took = None if ended is None or call.ts is None else ended - call.ts
        self._calls[call.call_id] = replace(
            call,
            status=_STATUS.get(status or "success", "failed"),
            output=output if self._sought.text else None,
            output_chars=len(output),
            ended=ended,
            duration_ms=call.duration_ms if call.duration_ms is not None else took,
        )

    def _say(self, number: int, line: Line, part: Part) -> None:
        role: Role = "assistant" if line.type == "assistant" else "user"
        kind: MessageKind = "reasoning" if part.thought else "text"
        if role == "user" and self._title is None:
            self._title = part.text[:80]
        kept = part.text if self._sought.text else None
        row = Message(
            **self._row(number, line), message_id=line.uuid, role=role, kind=kind, text=kept, chars=len(part.text),
            model=line.model,
        )  # fmt: skip
        self._messages.append(row)

    def _row(self, number: int, line: Line) -> dict[str, Any]:
        return {
            "agent": "qwen",
            "session_id": line.sessionId or stem(self._source.path),
            "file": str(self._source.path),
            "line": number,
            "ts": millis(line.timestamp),
            "project": line.cwd,
            "branch": line.gitBranch,
            "version": line.version,
        }


def _tokens(counts: Counts) -> Tokens:
    fresh_input, cached = counts.promptTokenCount, counts.cachedContentTokenCount
    if fresh_input is not None:
        fresh_input = max(0, fresh_input - (cached or 0))
    output, thoughts = counts.candidatesTokenCount, counts.thoughtsTokenCount
    if output is not None and thoughts and counts.totalTokenCount == (counts.promptTokenCount or 0) + output + thoughts:
        output += thoughts
    return Tokens(input=fresh_input, output=output, reasoning=thoughts, cache_read=cached)


def named_path(args: Raw) -> str | None:
    """The file that a tool's arguments name."""
    try:
        named = msgspec.json.decode(args, type=Named)
    except msgspec.MsgspecError:
        return None
    return named.file_path or named.absolute_path or named.path


def answer_text(response: Raw) -> str:
    """What a tool answered: its output or its error, or all of it as JSON."""
    try:
        value = msgspec.json.decode(response)
    except msgspec.MsgspecError:
        return ""
    found = value.get("output", value.get("error")) if isinstance(value, dict) else value
    return found if isinstance(found, str) else bytes(response).decode("utf-8", "replace")
