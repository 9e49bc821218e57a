"""What an agent reports becomes entries: ids, places, open text, and an end for everything (law 8). No I/O."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from coder_nb.backends import events
from coder_nb.backends.events import AnyEvent
from coder_nb.core import limits, permissions, tools
from coder_nb.core.entries import (
    AnyBody,
    Chunk,
    Commands,
    Delta,
    Entry,
    Error,
    Mode,
    Notice,
    Permission,
    Plan,
    Question,
    Raw,
    Reasoning,
    Text,
    ToolCall,
    Usage,
    UserMessage,
)

_replace = msgspec.structs.replace
_CLOSED = ("completed", "failed", "cancelled")
_LOOKING = ("read", "search", "think", "fetch")
"""Kinds of tools that write no file."""
AHEAD = 1_000_000
"""How many characters of streamed text may wait to be written before their agent has to wait."""
MANY = 500
"""How many changed entries may do so."""


class Recorder:
    """The entries of one turn while it runs. `take` hands out what is to be committed, `placed` says where it went."""

    def __init__(
        self,
        *,
        chat_id: str,
        turn_id: str,
        agent: str,
        epoch: str,
        now: Callable[[], int],
        new_id: Callable[[], str],
        longest: int = 1_000_000,
    ) -> None:
        """`longest` is how many characters one text has at most."""
        self.chat_id, self.turn_id, self.agent, self._epoch = chat_id, turn_id, agent, epoch
        self._now, self._new_id, self._longest = now, new_id, longest
        self._known: dict[str, Entry] = {}
        self._puts: dict[str, Entry] = {}
        self._chunks: list[Chunk] = []
        self._by_native: dict[str, str] = {}
        self._streaming: tuple[str, str, list[str], int] | None = None
        self._plan: str | None = None
        self._unwritten = 0
        self.deltas: list[Delta] = []
        """Live text that came since somebody looked; the caller empties it."""

    # What the runtime itself has to say ------------------------------------------------------------------------------

    def add(
        self, body: AnyBody, *, open: bool = False, native_id: str | None = None, parent: str | None = None
    ) -> Entry:
        """A new entry of this turn."""
        entry = Entry(
            id=self._new_id(),
            chat_id=self.chat_id,
            body=limits.within(body, self._longest),
            turn_id=self.turn_id,
            ts=self._now(),
            agent=self.agent,
            parent=parent,
            native_id=native_id,
            open=open,
        )
        self._put(entry)
        return entry

    def update(self, entry_id: str, body: AnyBody, *, open: bool) -> Entry:
        """An entry of this turn has changed."""
        entry = _replace(self._known[entry_id], body=limits.within(body, self._longest), open=open)
        self._put(entry)
        return entry

    def __len__(self) -> int:
        """How many entries the turn has."""
        return len(self._known)

    def get(self, entry_id: str) -> Entry:
        return self._known[entry_id]

    # What the agent says ---------------------------------------------------------------------------------------------

    def on(self, event: AnyEvent) -> Entry | None:
        """Records an event; returns its entry where the caller may have to act on it (a permission, a question)."""
        if not isinstance(event, events.TextDelta | events.ReasoningDelta):
            if not isinstance(event, events.UsageReported | events.CommandsChanged | events.ModeChanged):
                self.close_text()
            return self._on_other(event)
        kind = "text" if isinstance(event, events.TextDelta) else "reasoning"
        for at in range(0, len(event.text), self._longest):
            self._stream(kind, event.part, event.text[at : at + self._longest], event.parent)
        return None

    def _on_other(self, event: AnyEvent) -> Entry | None:
        parent = self._by_native.get(event.parent) if event.parent else None
        match event:
            case events.ToolUpdate():
                return self._tool(event, parent)
            case events.PlanUpdate():
                body = Plan(items=event.items)
                if self._plan:
                    return self.update(self._plan, body, open=True)
                entry = self.add(body, open=True)
                self._plan = entry.id
                return entry
            case events.PermissionAsked():
                return self._permission(event, parent)
            case events.QuestionAsked():
                return self.add(question_body(event), open=True, parent=parent)
            case events.UserSaid():
                self._prompt_is(event.native_id)
                return None
            case events.CommandsChanged():
                return self.add(Commands(commands=event.commands))
            case events.ModeChanged():
                return self.add(Mode(current=event.current, available=event.available))
            case events.UsageReported():
                return self.add(usage_body(event), parent=parent)
            case events.Noticed():
                return self.add(Notice(text=event.text, code=event.code, level=event.level), parent=parent)
            case events.Failed():
                return self.add(Error(message=event.message, code=event.code, retryable=event.retryable), parent=parent)
            case events.RawReceived():
                return self.add(Raw(source=event.source, type=event.type, data=event.data), parent=parent)
            case _:
                return None

    def _prompt_is(self, native_id: str | None) -> None:
        """The agent has said under which id it keeps the prompt, by which it can fork or go back there."""
        for entry in self._known.values():
            if isinstance(entry.body, UserMessage) and native_id and entry.native_id != native_id:
                self._put(_replace(entry, native_id=native_id))
                return

    def _tool(self, event: events.ToolUpdate, parent: str | None) -> Entry:
        known = self._by_native.get(event.call_id)
        before = self._known[known].body if known else None
        body = tool_body(before if isinstance(before, ToolCall) else None, event)
        still_open = body.status not in _CLOSED
        if known:
            return self.update(known, body, open=still_open)
        # The native id is kept per turn: agents may count their calls from one again in each.
        entry = self.add(body, open=still_open, native_id=f"{self.turn_id}:{event.call_id}", parent=parent)
        self._by_native[event.call_id] = entry.id
        return entry

    def _permission(self, event: events.PermissionAsked, parent: str | None) -> Entry:
        name = tools.normal_name(event.tool, event.tool_kind)
        kind = event.tool_kind if event.tool_kind != "other" else tools.kind_of(name)
        body = Permission(
            request_id=event.request_id,
            title=event.title,
            tool=name,
            tool_kind=kind,
            tool_entry=self._by_native.get(event.call_id or ""),
            input=event.input,
            diffs=event.diffs,
            options=permissions.for_now(event.options),
            original_name=event.tool,
        )
        return self.add(body, open=True, parent=parent)

    # Streaming text --------------------------------------------------------------------------------------------------

    def _stream(self, kind: str, part: str, text: str, parent: str | None) -> None:
        key = f"{kind}:{part}:{parent or ''}"
        streaming = self._streaming
        if streaming is not None and (streaming[0] != key or streaming[3] + len(text) > self._longest):
            self.close_text()
        if self._streaming is None:
            entry = self.add(
                Text() if kind == "text" else Reasoning(), open=True, parent=self._by_native.get(parent or "")
            )
            self._streaming = (key, entry.id, [], 0)
        _, entry_id, parts, length = self._streaming
        parts.append(text)
        self._streaming = (key, entry_id, parts, length + len(text))
        self._unwritten += len(text)
        self._chunks.append(Chunk(entry_id=entry_id, offset=length, text=text))
        self.deltas.append(Delta(epoch=self._epoch, entry_id=entry_id, offset=length, text=text))

    def acted_on(self) -> str:
        """What the turn's tool calls that may write said of what they do."""
        calls = [entry.body for entry in self._known.values() if isinstance(entry.body, ToolCall)]
        return "\n".join(f"{c.input} {c.locations} {c.diffs}" for c in calls if c.tool_kind not in _LOOKING)

    def close_text(self) -> None:
        """Ends the text that streams now, if any: its entry is committed whole, and its chunks go."""
        if self._streaming is None:
            return
        _, entry_id, parts, _ = self._streaming
        self._streaming = None
        self._chunks = [chunk for chunk in self._chunks if chunk.entry_id != entry_id]
        whole = "".join(parts)
        self.update(
            entry_id, Text(whole) if isinstance(self._known[entry_id].body, Text) else Reasoning(whole), open=False
        )

    def close_all(self, *, tool_status: str) -> None:
        """Gives an end to all that is open, because the turn has one (law 8)."""
        self.close_text()
        for entry in list(self._known.values()):
            if entry.open:
                self.update(entry.id, closed_body(entry.body, tool_status), open=False)

    # To the log ------------------------------------------------------------------------------------------------------

    @property
    def urgent(self) -> bool:
        """Whether there is more than streamed text to commit."""
        return bool(self._puts)

    @property
    def ahead(self) -> bool:
        """Whether so much waits to be written that its agent should wait, too."""
        return self._unwritten > AHEAD or len(self._puts) > MANY

    @property
    def dirty(self) -> bool:
        return bool(self._puts or self._chunks)

    def take(self) -> tuple[tuple[Entry, ...], tuple[Chunk, ...]]:
        """What is to be committed now; streamed text comes as one chunk an entry."""
        entries, chunks = tuple(self._puts.values()), merged(self._chunks)
        self._puts, self._chunks, self._unwritten = {}, [], 0
        return entries, chunks

    def placed(self, entries: tuple[Entry, ...], positions: tuple[int, ...]) -> None:
        """The log has given entries their positions."""
        for entry, pos in zip(entries, positions, strict=True):
            self._known[entry.id] = _replace(self._known[entry.id], pos=pos)
            if entry.id in self._puts:
                self._puts[entry.id] = _replace(self._puts[entry.id], pos=pos)

    def _put(self, entry: Entry) -> None:
        self._known[entry.id] = entry
        self._puts[entry.id] = entry


def usage_body(event: events.UsageReported) -> Usage:
    return Usage(
        tokens=event.tokens,
        model=event.model,
        cost_nanousd=event.cost_nanousd,
        cost_source=event.cost_source,
        context_used=event.context_used,
        context_size=event.context_size,
        counted=event.counted,
    )


def question_body(event: events.QuestionAsked) -> Question:
    return Question(
        request_id=event.request_id,
        text=event.text,
        choices=event.choices,
        multiple=event.multiple,
        custom=event.custom or not event.choices,
    )


def tool_body(before: ToolCall | None, event: events.ToolUpdate) -> ToolCall:
    """A tool call after an update; what the update leaves out stays as it was."""
    call = before or ToolCall(name="")
    original = event.original_name if event.original_name is not None else call.original_name
    kind = event.tool_kind or call.tool_kind
    name = tools.normal_name(original, kind)
    return ToolCall(
        name=name,
        original_name=original,
        tool_kind=kind if kind != "other" else tools.kind_of(name),
        title=event.title if event.title is not None else call.title,
        input=event.input if event.input is not None else call.input,
        status=event.status or call.status,
        content=event.content if event.content is not None else call.content,
        locations=event.locations if event.locations is not None else call.locations,
        diffs=event.diffs if event.diffs is not None else call.diffs,
        exit_code=event.exit_code if event.exit_code is not None else call.exit_code,
        meta={**call.meta, **event.meta} if call.meta and event.meta else event.meta or call.meta,
    )


def closed_body(body: object, tool_status: str) -> AnyBody:
    """An open body as it is once its turn has ended."""
    if isinstance(body, ToolCall):
        return _replace(body, status=tool_status)
    if isinstance(body, Permission | Question):
        return _replace(body, status="expired" if body.status == "pending" else body.status)
    return body  # type: ignore[return-value]  # a plan or a text closes as it is


def merged(chunks: list[Chunk]) -> tuple[Chunk, ...]:
    """Consecutive chunks of an entry as one."""
    out: list[tuple[str, int, list[str]]] = []
    for chunk in chunks:
        if out and out[-1][0] == chunk.entry_id:
            out[-1][2].append(chunk.text)
        else:
            out.append((chunk.entry_id, chunk.offset, [chunk.text]))
    return tuple(Chunk(entry_id=entry_id, offset=offset, text="".join(parts)) for entry_id, offset, parts in out)
