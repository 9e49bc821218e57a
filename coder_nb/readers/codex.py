"""Codex: `sessions/<year>/<month>/<day>/rollout-<time>-<id>.jsonl`, and those that were archived.

Current versions write a record with each response's id. Earlier ones write counters of the whole conversation, the same
ones again and again, so that a response is the difference of two. A fork, or a sub-agent that starts with its parent's
context, writes the parent's counters and records once more, at new times: they are told by what the parent's file has.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Message, MessageKind, Problem, Relation, Role, Session, ToolUse, Usage
from coder_nb.readers.base import Note, Places, Sought, Source, Start, files, fresh
from coder_nb.readers.edits import changed, told
from coder_nb.readers.lines import Lines, millis, whole


class Counts(Struct, frozen=True):
    """The input holds what was cached, the output what was reasoning."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    total_tokens: int = 0

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) - getattr(other, name) for name in Counts.__struct_fields__))

    @property
    def grown(self) -> bool:
        """As a difference: whether no counter went back."""
        return all(getattr(self, name) >= 0 for name in Counts.__struct_fields__)

    def tokens(self) -> Tokens:
        return Tokens(
            input=max(0, self.input_tokens - self.cached_input_tokens - self.cache_write_input_tokens),
            output=self.output_tokens,
            reasoning=self.reasoning_output_tokens,
            cache_read=self.cached_input_tokens,
            cache_write=self.cache_write_input_tokens,
        )


class Totals(Struct):
    total_token_usage: Counts | None = None
    last_token_usage: Counts | None = None


class Spawn(Struct):
    parent_thread_id: str | None = None
    agent_role: str | None = None


class SubAgent(Struct):
    thread_spawn: Spawn | None = None


class Origin(Struct):
    subagent: SubAgent | str | None = None


class Git(Struct):
    branch: str | None = None


class Part(Struct):
    type: str = ""
    text: str | None = None


_NULL = msgspec.Raw(b"null")


class Item(Struct):
    """What a finished command or patch says of itself."""

    id: str | None = None
    exit_code: int | None = None
    changes: msgspec.Raw = _NULL


class Payload(Struct):
    """Of all types of lines together."""

    type: str = ""
    id: str | None = None
    session_id: str | None = None
    cwd: str | None = None
    cli_version: str | None = None
    source: Origin | str | None = None
    forked_from_id: str | None = None
    model_provider: str | None = None
    git: Git | None = None
    model: str | None = None
    turn_id: str | None = None
    response_id: str | None = None
    usage: Counts | None = None
    thread_token_usage: Counts | None = None
    info: Totals | None = None
    role: str | None = None
    content: list[Part] | str | None = None
    summary: list[Part] | str | None = None
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: msgspec.Raw = _NULL
    changes: msgspec.Raw = _NULL
    success: bool | None = None
    item: Item | None = None
    time_to_first_token_ms: int | None = None


class Line(Payload):
    """The earliest versions wrote what is now the payload as the line itself."""

    timestamp: str | None = None
    payload: Payload | None = None


_line = msgspec.json.Decoder(Line).decode
_EXIT = re.compile(r"^(?:Process exited with code|Exit code:) (-?\d+)", re.MULTILINE)


class Codex:
    """Reads the history of Codex."""

    agent = "codex"

    def roots(self, places: Places) -> Iterable[Path]:
        return places.named("CODEX_HOME") or [places.home / ".codex"]

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        rollouts: dict[str, Source] = {}
        for folder in ("sessions", "archived_sessions"):
            for source in files(root / folder, self.agent, note, suffixes=(".jsonl", ".jsonl.zst")):
                if source.path.name.startswith("rollout-"):
                    rollouts.setdefault(source.path.name, source)  # an archived one may be there twice
        for source in rollouts.values():
            if not fresh(source, sought) or not _named(source.path, sought.sessions):
                continue
            yield source

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        yield from whole(self.parser(source, sought, note), source)

    def parser(self, source: Source, sought: Sought, note: Note) -> _Rollout:
        return _Rollout(source, sought, note)


def _named(path: Path, sessions: frozenset[str]) -> bool:
    return not sessions or any(path.name.removesuffix(".zst").endswith(f"{one}.jsonl") for one in sessions)


class _Rollout:
    """What a file has told so far."""

    def __init__(self, source: Source, sought: Sought, note: Note) -> None:
        self._source, self._sought, self._note = source, sought, note
        self._lines = Lines("codex", _line, note)
        self._id: str | None = None
        self._head = Payload()
        self._model: str | None = None
        self._turn: str | None = None
        self._start: int | None = None
        self._last: int | None = None
        self._title: str | None = None
        self._before: Counts | None = None
        self._replayed: frozenset[Counts] | None = None
        self._responses: list[tuple[str | None, Counts | None, Usage]] = []
        self._recorded: set[object] = set()
        self._messages: list[Message] = []
        self._calls: dict[str, ToolUse] = {}

    def feed(self, source: Source, start: Start) -> Start:
        for number, line in self._lines.of(source, start):
            self.take(number, line)
        return self._lines.end

    def rows(self) -> Iterator[AnyRow]:
        for turn, total, row in self._responses:
            if turn not in self._recorded and (total is None or total not in self._recorded):
                yield row
        yield from self._messages
        yield from self._calls.values()
        if self._sought.what != {"usage"}:
            yield self._session()

    def take(self, number: int, line: Line) -> None:
        payload = line.payload or line
        kind = line.type if line.payload is not None else "session_meta" if line.type == "" else "response_item"
        ts = millis(line.timestamp)
        self._last = ts or self._last
        if kind == "session_meta":
            self._begin(ts, payload)
        elif kind == "turn_context":
            self._model, self._turn = payload.model or self._model, payload.turn_id or str(number)
        elif kind == "token_usage_record":
            self._record(number, ts, payload)
        elif kind == "event_msg":
            self._event(number, ts, payload)
        elif kind == "response_item" and self._sought.what != {"usage"}:
            self._item(number, ts, payload)

    def _begin(self, ts: int | None, payload: Payload) -> None:
        """The first one counts: a fork repeats its parent's."""
        if self._id is None and payload.id is not None:
            self._id, self._head, self._start = payload.id, payload, ts

    @property
    def _parent(self) -> str | None:
        spawned = self._spawned
        return self._head.forked_from_id or (spawned.parent_thread_id if spawned else None)

    @property
    def _spawned(self) -> Spawn | None:
        source = self._head.source
        subagent = source.subagent if isinstance(source, Origin) else None
        return subagent.thread_spawn if isinstance(subagent, SubAgent) else None

    # Usage

    def _record(self, number: int, ts: int | None, payload: Payload) -> None:
        if payload.usage is None or payload.response_id is None:
            return
        self._recorded |= {payload.turn_id or self._turn, payload.thread_token_usage} - {None}
        row = self._usage(number, ts, payload.usage, payload.response_id, complete=True)
        self._responses.append((f"{payload.response_id} is a record", None, row))

    def _event(self, number: int, ts: int | None, payload: Payload) -> None:
        if payload.type == "thread_settings_applied":
            self._model = payload.model or self._model
        elif payload.type == "token_count" and payload.info is not None:
            self._count(number, ts, payload.info)
        elif payload.type == "item_completed" and payload.item is not None and payload.item.id in self._calls:
            call = self._calls[payload.item.id]
            code = payload.item.exit_code
            status = "failed" if code else call.status
            known = changed(payload.item.changes)
            self._calls[payload.item.id] = msgspec.structs.replace(call, exit_code=code, status=status, **known)
        elif payload.type == "patch_apply_end" and payload.call_id in self._calls:
            call = self._calls[payload.call_id]
            known = {"status": "failed"} if payload.success is False else changed(payload.changes)
            self._calls[payload.call_id] = msgspec.structs.replace(call, **known)

    def _count(self, number: int, ts: int | None, info: Totals) -> None:
        total, last, before = info.total_token_usage, info.last_token_usage, self._before
        if total is None or total == before:
            return
        self._before = total
        if total in self._of_parent():
            return
        self._replayed = frozenset()  # from here on it is its own
        grown = total - (before or Counts())
        if before is None and self._parent and last is not None:
            grown = last  # the counters go on from those of the parent
        elif not grown.grown:
            grown = last or total  # they began anew
        if not any((grown.input_tokens, grown.output_tokens, grown.total_tokens)):
            return
        name = f"{self._id}/{number}"
        row = self._usage(number, ts, grown, name, complete=last is None or last == grown)
        self._responses.append((self._turn, total, row))

    def _of_parent(self) -> frozenset[Counts]:
        """The counters that the parent's file has, for as long as only they are met."""
        if self._replayed is None:
            self._replayed = frozenset()
            if self._parent is not None:
                self._replayed = self._counters_of(self._parent)
        return self._replayed

    def _counters_of(self, session: str) -> frozenset[Counts]:
        root = next((folder.parent for folder in self._source.path.parents if folder.name.endswith("sessions")), None)
        path = next((root or self._source.path.parent).rglob(f"rollout-*{session}.jsonl*"), None)
        if path is None:
            what = {"what": "unknown parent", "detail": f"{session}: what was copied from it counts as its own"}
            self._note(Problem(agent="codex", file=str(self._source.path), line=1, **what))
            return frozenset()
        found = Lines("codex", _line, lambda _: None).of(Source(path, 0, 0))
        infos = (line.payload.info for _, line in found if line.payload is not None and line.payload.info is not None)
        return frozenset(info.total_token_usage for info in infos if info.total_token_usage is not None)

    def _usage(self, number: int, ts: int | None, counts: Counts, name: str, *, complete: bool) -> Usage:
        spawned = self._spawned
        return Usage(
            **self._row(number, ts),
            response_id=name,
            tokens=counts.tokens(),
            model=self._model,
            provider=self._head.model_provider,
            subagent_type=spawned.agent_role if spawned else None,
            parent_id=spawned.parent_thread_id if spawned else None,
            complete=complete,
        )

    # What was said and done

    def _item(self, number: int, ts: int | None, payload: Payload) -> None:
        if payload.type == "message" and payload.role in ("user", "assistant"):
            self._say(number, ts, payload, "assistant" if payload.role == "assistant" else "user", "text")
        elif payload.type == "reasoning":
            self._say(number, ts, payload, "assistant", "reasoning")
        elif payload.call_id and payload.type in ("function_call", "custom_tool_call"):
            given = payload.arguments or payload.input or ""
            digest = zlib.crc32(given.encode("utf-8", "replace"))
            self._calls[payload.call_id] = ToolUse(
                **self._row(number, ts),
                call_id=payload.call_id,
                key=f"{payload.call_id} {payload.name} {digest}",
                original_name=payload.name or "",
                input=given if self._sought.text else None,
                model=self._model,
                **told(given),
            )
        elif payload.call_id in self._calls and payload.type.endswith("_output"):
            self._end(ts, payload, self._calls[payload.call_id or ""])

    def _end(self, ts: int | None, payload: Payload, call: ToolUse) -> None:
        output = _output(payload.output)
        said = _EXIT.search(output[:500])
        exit_code = call.exit_code if call.exit_code is not None or said is None else int(said[1])
        self._calls[call.call_id] = msgspec.structs.replace(
            call,
            status="failed" if exit_code or call.status == "failed" else "completed",
            exit_code=exit_code,
            output=output if self._sought.text else None,
            output_chars=len(output),
            ended=ts,
            duration_ms=None if ts is None or call.ts is None else ts - call.ts,
        )

    def _say(self, number: int, ts: int | None, payload: Payload, role: Role, kind: MessageKind) -> None:
        parts = payload.content if payload.content is not None else payload.summary
        text = parts if isinstance(parts, str) else "".join(part.text or "" for part in parts or ())
        if not text:
            return
        if role == "user" and text.startswith("<"):  # what begins so the agent says in the user's name
            role = "system"
        if role == "user" and self._title is None:
            self._title = text[:80]
        kept = text if self._sought.text else None
        row = Message(
            **self._row(number, ts), message_id=payload.id, role=role, kind=kind, text=kept, chars=len(text),
            model=self._model if role == "assistant" else None,
        )  # fmt: skip
        self._messages.append(row)

    def _session(self) -> Session:
        relation: Relation | None = None if not self._parent else "subagent" if self._spawned else "fork"
        return Session(
            **self._row(1, self._start), title=self._title, ended=self._last, parent_id=self._parent, relation=relation
        )

    def _row(self, number: int, ts: int | None) -> dict[str, Any]:
        head = self._head
        return {
            "agent": "codex",
            "session_id": self._id or self._source.path.name.partition(".jsonl")[0][-36:],
            "file": str(self._source.path),
            "line": number,
            "ts": ts,
            "project": head.cwd,
            "branch": head.git.branch if head.git else None,
            "version": head.cli_version,
        }


def _output(raw: msgspec.Raw) -> str:
    """What a tool gave: a text, or a structure that has it."""
    value = msgspec.json.decode(raw)
    if isinstance(value, dict):
        value = value.get("content", value)
    if isinstance(value, list):
        value = "\n".join(str(part.get("text", "")) for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else "" if value is None else str(value)
