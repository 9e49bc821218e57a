"""What the store tells, as the rows that all frames are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from coder_nb.analysis.columns import as_json
from coder_nb.core import entries as core
from coder_nb.core.changes import Change
from coder_nb.core.entries import Entry
from coder_nb.core.rows import Asked, FileChange, Message, MessageKind, Session, ToolUse, Turn, Usage
from coder_nb.core.sessions import SessionInfo, TurnInfo
from coder_nb.core.tools import first_word
from coder_nb.core.usage import UsageRow

_KINDS: dict[type, MessageKind] = {core.Reasoning: "reasoning", core.Compaction: "compaction"}


class Teller:
    """Rows of one session."""

    def __init__(self, session: SessionInfo, natives: Mapping[tuple[str, str], str | None] | None = None) -> None:
        """`natives` are the agents' own ids of the conversations, by chat and agent."""
        self._session, self._natives = session, natives or {}
        self.about = (session, self._natives)
        """What every row says."""

    def usage(self, row: UsageRow) -> Usage:
        known = self._row(row.chat_id, row.agent, row.ts, row.turn_id, None)
        return Usage(
            **known | {"native_id": row.native_id or known["native_id"]},
            response_id=row.entry_id,
            tokens=row.tokens,
            model=row.model,
            cost_nanousd=row.cost_nanousd,
            cost_source=row.cost_source,
            counted=row.counted,
            per="report",
        )

    def call(self, entry: Entry) -> ToolUse:
        body = entry.body
        assert isinstance(body, core.ToolCall)
        return ToolUse(
            **self._of(entry),
            subagent=entry.parent,
            call_id=entry.id,
            key=entry.id,
            original_name=body.original_name or body.name,
            name=body.name,
            input=as_json(body.input),
            path=body.locations[0].path if body.locations else body.diffs[0].path if body.diffs else None,
            command=first_word(body.input.get("command")) if isinstance(body.input, dict) else None,
            status=body.status,
            output=body.content or None,
            output_chars=len(body.content),
            exit_code=body.exit_code,
        )

    def message(self, entry: Entry) -> Message:
        body = entry.body
        text = (body.summary if isinstance(body, core.Compaction) else getattr(body, "text", "")) or ""
        is_user = isinstance(body, core.UserMessage)
        return Message(
            **self._of(entry),
            subagent=entry.parent,
            message_id=entry.id,
            role="user" if is_user else "system" if isinstance(body, core.Compaction) else "assistant",
            kind=_KINDS.get(type(body), "text"),
            text=text,
            chars=len(text),
            sidechain=entry.parent is not None,
        )

    def asked(self, entry: Entry) -> Asked:
        body = entry.body
        assert isinstance(body, core.Permission)
        return Asked(
            **self._of(entry),
            subagent=entry.parent,
            entry_id=entry.id,
            tool=body.tool or None,
            title=body.title or None,
            call_id=body.tool_entry,
            status=body.status,
            by=body.by,
            waited_ms=body.waited_ms,
        )

    def change(self, change: Change) -> FileChange:
        return FileChange(
            **self._row(change.chat_id, change.agent, change.created_at or None, change.turn_id, None),
            change_id=change.id,
            path=change.path,
            operation=change.operation,
            old_path=change.old_path,
            status=change.status,
            additions=change.additions,
            deletions=change.deletions,
            binary=change.binary,
            decided=change.decided_at,
        )

    def turns(self, turns: Iterable[TurnInfo], entries: Iterable[Entry] = ()) -> list[Turn]:
        """Turns with what was asked in each."""
        prompts = {one.turn_id: one.body.text for one in entries if isinstance(one.body, core.UserMessage)}
        return [
            Turn(
                **self._row(turn.chat_id, turn.agent, turn.started_at, turn.id, None),
                number=number,
                prompt=prompts.get(turn.id),
                prompt_id=turn.prompt_id,
                state=turn.state,
                ended=turn.ended_at,
                reason=turn.reason or None,
                message=turn.message or None,
                code=turn.code or None,
            )
            for number, turn in enumerate(turns, 1)
        ]

    def session(self, agent: str | None, ended: int | None) -> Session:
        """The session, with one of the agents that worked in it."""
        one = self._session
        chat = one.chats[0] if len(one.chats) == 1 else None
        return Session(
            **self._row(chat, agent, one.created_at or None, None, None), title=one.title or None, ended=ended
        )

    def _of(self, entry: Entry) -> dict[str, Any]:
        return self._row(entry.chat_id, entry.agent, entry.ts or None, entry.turn_id, entry.pos)

    def _row(
        self, chat_id: str | None, agent: str | None, ts: int | None, turn: str | None, line: int | None
    ) -> dict[str, Any]:
        return {
            "agent": agent or "",
            "session_id": self._session.id,
            "chat_id": chat_id,
            "native_id": self._natives.get((chat_id or "", agent or "")) or "",
            "turn_id": turn,
            "line": line,
            "ts": ts,
            "project": self._session.path,
            "branch": self._session.branch,
            "source": "pool",
        }
