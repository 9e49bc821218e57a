"""What was asked for and who answered, one row a permission; pure."""

from __future__ import annotations

from coder_nb.core import rules
from coder_nb.core.deeds import deed_of
from coder_nb.core.entries import Entry, Permission, PermissionStatus, ToolKind, Value

_IMMEDIATE = ("mode", "rule", "administrator")


class AuditRow(Value):
    """A permission: what was asked, when and where, and who or what answered it."""

    entry_id: str
    chat_id: str
    session_id: str
    path: str
    """The working directory of its session."""
    turn_id: str | None
    agent: str | None
    ts: int
    """When it was asked, milliseconds since the epoch."""
    tool: str
    tool_kind: ToolKind
    title: str = ""
    command: str | None = None
    """The command, or the files, where they can be told."""
    status: PermissionStatus = "pending"
    by: str | None = None
    answer: str | None = None
    """The answer as it was offered."""
    answered_at: int | None = None
    """None while it waits, and where it was never answered."""
    waited_ms: int | None = None
    rules: tuple[str, ...] = ()
    """The ids of the rules that answered it, or of the one that was made with the answer."""
    why: str = ""


def row(entry: Entry, asked: Permission, *, session_id: str, path: str) -> AuditRow:
    """The row of a permission's entry."""
    waited = 0 if asked.by in _IMMEDIATE else asked.waited_ms
    return AuditRow(
        entry_id=entry.id,
        chat_id=entry.chat_id,
        session_id=session_id,
        path=path,
        turn_id=entry.turn_id,
        agent=entry.agent,
        ts=entry.ts,
        tool=asked.tool,
        tool_kind=asked.tool_kind,
        title=asked.title,
        command=_command(asked),
        status=asked.status,
        by=asked.by,
        answer=next((option.label for option in asked.options if option.id == asked.option_id), None),
        answered_at=None if waited is None or asked.status in ("pending", "expired") else entry.ts + waited,
        waited_ms=waited,
        rules=asked.rules,
        why=asked.why,
    )


def _command(asked: Permission) -> str | None:
    deed = deed_of(asked)
    if deed.kind == "execute":
        return deed.line or (rules.shown(deed.argv) if deed.argv else None)
    return ", ".join(deed.paths) or None
