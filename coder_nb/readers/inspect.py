"""Inspect: logs of evaluations, `*.eval`, each an archive of JSON with a file for each sample.

Asked for by name, as an evaluation is no session of one's own. A sample is a session; each call of a model that its
events tell is a response.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Message, Problem, Role, Session, ToolUse, Usage
from coder_nb.readers.base import Note, Places, Sought, Source, files, fresh
from coder_nb.readers.lines import millis

BROKEN = (OSError, zipfile.BadZipFile, NotImplementedError, msgspec.MsgspecError, ValueError)
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant"}


class Counts(Struct):
    """The input holds nothing of the cache; the output holds the reasoning."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_cache_read: int | None = None
    input_tokens_cache_write: int | None = None
    reasoning_tokens: int | None = None

    def tokens(self) -> Tokens:
        return Tokens(
            input=self.input_tokens,
            output=self.output_tokens,
            reasoning=self.reasoning_tokens,
            cache_read=self.input_tokens_cache_read,
            cache_write=self.input_tokens_cache_write,
        )


class Output(Struct):
    model: str | None = None
    usage: Counts | None = None


class Failure(Struct):
    message: str = ""


class Event(Struct):
    event: str = ""
    uuid: str | None = None
    timestamp: str | None = None
    completed: str | None = None
    model: str | None = None
    output: Output | None = None
    cache: str | None = None
    id: str | None = None
    function: str = ""
    arguments: Raw = Raw(b"{}")
    result: Raw = Raw(b"null")
    error: Failure | None = None


class Part(Struct):
    type: str = ""
    text: str | None = None
    reasoning: str | None = None


class Said(Struct):
    id: str | None = None
    role: str = ""
    content: str | list[Part] = ""
    model: str | None = None


class Sample(Struct):
    id: str | int = ""
    epoch: int = 1
    uuid: str | None = None
    messages: list[Said] = []
    events: list[Raw] = []
    started_at: str | None = None
    completed_at: str | None = None


class Eval(Struct):
    eval_id: str = ""
    run_id: str = ""
    created: str | None = None
    task: str = ""
    model: str | None = None


class Header(Struct):
    eval: Eval = msgspec.field(default_factory=Eval)
    samples: list[Sample] | None = None


_event = msgspec.json.Decoder(Event).decode


class Inspect:
    """Reads logs of Inspect."""

    agent = "inspect"
    on_request = True

    def roots(self, places: Places) -> Iterable[Path]:
        return places.named("INSPECT_LOG_DIR") or [Path.cwd() / "logs"]

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        return (source for source in files(root, self.agent, note, suffixes=(".eval",)) if fresh(source, sought))

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        try:
            with zipfile.ZipFile(source.path) as archive:
                names = sorted(name for name in archive.namelist() if name.startswith("samples/"))
                start = "header.json" if "header.json" in archive.namelist() else "_journal/start.json"
                header = msgspec.json.decode(archive.read(start), type=Header)
                for number, name in enumerate(names, 1):
                    try:
                        sample = msgspec.json.decode(archive.read(name), type=Sample)
                    except BROKEN as error:
                        note(_problem(source, number, f"{name}: {error}"))
                        continue
                    yield from _Told(source, sought, header.eval, sample, number).rows()
        except (*BROKEN, KeyError) as error:
            note(_problem(source, None, str(error)))


def _problem(source: Source, line: int | None, detail: str) -> Problem:
    return Problem(agent="inspect", file=str(source.path), line=line, what="broken line", detail=detail)


class _Told:
    """What one sample tells."""

    def __init__(self, source: Source, sought: Sought, run: Eval, sample: Sample, number: int) -> None:
        self._source, self._sought, self._run, self._sample, self._number = source, sought, run, sample, number
        self._id = sample.uuid or f"{run.eval_id or run.run_id}/{sample.id}/{sample.epoch}"

    def rows(self) -> Iterator[AnyRow]:
        for number, raw in enumerate(self._sample.events):
            try:
                event = _event(raw)
            except msgspec.MsgspecError:
                continue
            if event.event == "model" and event.output is not None and event.cache != "read":
                yield self._usage(event, event.output, number)
            elif event.event == "tool" and self._sought.what != {"usage"}:
                yield self._call(event, number)
        if self._sought.what != {"usage"}:
            yield from self._messages()
            title = f"{self._run.task}: {self._sample.id}"
            at = self._sample.started_at or self._run.created
            yield Session(**self._row(at), title=title, ended=millis(self._sample.completed_at))

    def _usage(self, event: Event, output: Output, number: int) -> Usage:
        start, end = millis(event.timestamp), millis(event.completed)
        provider, _, model = (event.model or output.model or self._run.model or "").rpartition("/")
        return Usage(
            **self._row(event.timestamp),
            response_id=event.uuid or f"{self._id}/{number}",
            tokens=output.usage.tokens() if output.usage else Tokens(),
            model=model or None,
            provider=provider or None,
            duration_ms=None if start is None or end is None else end - start,
            complete=output.usage is not None,
        )

    def _call(self, event: Event, number: int) -> ToolUse:
        text, (start, end) = self._sought.text, (millis(event.timestamp), millis(event.completed))
        result = bytes(event.result).decode("utf-8", "replace")
        return ToolUse(
            **self._row(event.timestamp),
            call_id=event.id or str(number),
            key=f"{self._id}/{event.id or number}",
            original_name=event.function,
            input=bytes(event.arguments).decode("utf-8", "replace") if text else None,
            status="failed" if event.error else "completed",
            output=result if text else None,
            output_chars=len(result),
            ended=end,
            duration_ms=None if start is None or end is None else end - start,
        )

    def _messages(self) -> Iterator[Message]:
        for said in self._sample.messages:
            parts = said.content if isinstance(said.content, list) else [Part(text=said.content)]
            for part in parts:
                text = part.text or part.reasoning or ""
                if text and said.role != "tool":
                    yield Message(
                        **self._row(None),
                        message_id=said.id,
                        role=_ROLES.get(said.role, "system"),
                        kind="reasoning" if part.reasoning else "text",
                        text=text if self._sought.text else None,
                        chars=len(text),
                        model=said.model,
                    )

    def _row(self, at: str | None) -> dict[str, Any]:
        return {
            "agent": "inspect",
            "session_id": self._id,
            "file": str(self._source.path),
            "line": self._number,
            "ts": millis(at or self._sample.started_at or self._run.created),
            "project": self._run.task or None,
        }
