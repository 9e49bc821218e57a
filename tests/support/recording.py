"""Recordings for the replay agent, written entry by entry."""

from __future__ import annotations

import msgspec

from coder_nb.core import codec
from coder_nb.core.entries import AnyBody, Entry, Permission, ToolCall, TurnStarted, UserMessage

HEADER = b'{"format": "coder-nb.chat", "version": 1, "chat": {}, "session": {}}'


class Writer:
    """Writes a recording entry by entry, a second apart."""

    def __init__(self) -> None:
        self.rows = [HEADER]
        self._now = 0
        self._turn = 0

    def add(self, body: AnyBody, entry_id: str = "", after: float = 1.0) -> str:
        self._now += int(after * 1000)
        entry_id = entry_id or f"e{len(self.rows)}"
        entry = Entry(id=entry_id, chat_id="c", body=body, turn_id=f"t{self._turn}", ts=self._now, pos=len(self.rows))
        self.rows.append(b'{"entry":%s}' % codec.encode(entry))
        return entry_id

    def turn(self, prompt: str, after: float = 1.0) -> None:
        self._turn += 1
        self.add(TurnStarted("opencode"), after=after)
        self.add(UserMessage(prompt), after=after)

    def patch(self, entry_id: str, **files: str | None) -> None:
        rows = [{"path": path, "content": content} for path, content in files.items()]
        self.rows.append(msgspec.json.encode({"patch": {"entry": entry_id, "files": rows}}))

    def bytes(self) -> bytes:
        return b"\n".join(self.rows) + b"\n"


def an_edit(writer: Writer, *, asked: bool = True, name: str = "a.txt", content: str | None = "new\n") -> None:
    call = writer.add(
        ToolCall(name="file_edit", original_name="edit", tool_kind="edit", status="completed", content="ok")
    )
    if asked:
        writer.add(Permission(request_id="p", tool="file_edit", tool_entry=call, status="allowed", waited_ms=500))
    writer.patch(call, **{name: content})
