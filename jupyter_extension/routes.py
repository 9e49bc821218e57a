"""Every address of the extension, what it does, and who may: read this first. `docs/protocol.md` says what for."""

from __future__ import annotations

from typing import Any

from jupyter_extension.base import RestHandler, Route, pattern
from jupyter_extension.rest import (
    answering,
    attention,
    copies,
    ends,
    insight,
    pooling,
    prompting,
    reading,
    reviewing,
    ruling,
    sessions,
)
from jupyter_extension.shared import PAGE, PageHandler, SharedHandler
from jupyter_extension.websocket import StreamHandler

ROUTES = (
    Route("GET", "health", insight.health, "read"),
    Route("GET", "agents", insight.agents, "read"),
    Route("GET", "pool", pooling.pool, "read"),
    Route("POST", "pool/{key}/evict", pooling.evict, "execute"),
    Route("POST", "pool/{key}/restart", pooling.restart, "execute"),
    Route("GET", "pool/{key}/log", pooling.agent_log, "execute"),
    Route("GET", "sessions", sessions.sessions, "read"),
    Route("POST", "sessions", sessions.open_session, "execute"),
    Route("GET", "sessions/{session_id}", sessions.session, "read"),
    Route("DELETE", "sessions/{session_id}", ends.delete_session, "execute", status=204),
    Route("POST", "sessions/{session_id}/close", ends.close_session, "execute", status=204),
    Route("GET", "sessions/{session_id}/risk", ends.risk, "read"),
    Route("POST", "sessions/{session_id}/stash", ends.stash, "execute"),
    Route("POST", "sessions/{session_id}/branch", ends.keep_branch, "execute"),
    Route("GET", "sessions/{session_id}/agent-sessions", insight.agent_sessions, "read"),
    Route("POST", "sessions/{session_id}/chats", sessions.open_chat, "execute"),
    Route("GET", "sessions/{session_id}/native-sessions", copies.native_sessions, "read"),
    Route("POST", "sessions/{session_id}/keep", copies.keep, "execute", status=204),
    Route("POST", "sessions/{session_id}/adopt", copies.adopt, "execute"),
    Route("POST", "sessions/{session_id}/import", copies.import_chat, "execute", body_limit=256_000_000),
    Route("GET", "worktrees", ends.worktrees, "read"),
    Route("POST", "worktrees/reap", ends.reap, "execute"),
    Route("GET", "usage", insight.all_usage, "read"),
    Route("GET", "attention", attention.attention, "read"),
    Route("GET", "chats/{chat_id}", sessions.chat, "read"),
    Route("DELETE", "chats/{chat_id}", ends.delete_chat, "execute", status=204),
    Route("POST", "chats/{chat_id}/close", ends.close_chat, "execute", status=204),
    Route("GET", "chats/{chat_id}/checkpoints", ends.checkpoints, "read"),
    Route("POST", "chats/{chat_id}/restore", ends.restore, "execute"),
    Route("POST", "chats/{chat_id}/prompts", prompting.prompt, "execute", status=202),
    Route("DELETE", "chats/{chat_id}/prompts/{prompt_id}", prompting.withdraw, "execute"),
    Route("POST", "chats/{chat_id}/stop", prompting.stop, "execute"),
    Route("POST", "chats/{chat_id}/steer", prompting.steer, "execute"),
    Route("GET", "chats/{chat_id}/commands", prompting.commands, "read"),
    Route("POST", "chats/{chat_id}/go-on", prompting.go_on, "execute"),
    Route("POST", "chats/{chat_id}/permissions/{request_id}", answering.answer, "execute"),
    Route("POST", "chats/{chat_id}/questions/{request_id}", answering.reply, "execute"),
    Route("POST", "chats/{chat_id}/attend", answering.attend, "execute", status=204),
    Route("GET", "rules", ruling.all_rules, "read"),
    Route("POST", "rules", ruling.make_rule, "execute"),
    Route("DELETE", "rules/{rule_id}", ruling.revoke, "execute"),
    Route("GET", "sessions/{session_id}/rules", ruling.rules, "read"),
    Route("GET", "audit", ruling.whole_audit, "read"),
    Route("GET", "chats/{chat_id}/audit", ruling.audit, "read"),
    Route("GET", "chats/{chat_id}/turns", sessions.turns, "read"),
    Route("GET", "chats/{chat_id}/entries", reading.entries, "read"),
    Route("GET", "chats/{chat_id}/changes", reviewing.changes, "read"),
    Route("POST", "chats/{chat_id}/changes/apply", reviewing.apply, "execute"),
    Route("POST", "chats/{chat_id}/changes/reject", reviewing.reject, "execute"),
    Route("POST", "chats/{chat_id}/changes/revert", reviewing.revert, "execute"),
    Route("GET", "chats/{chat_id}/changes/preview", reviewing.preview, "read"),
    Route("GET", "chats/{chat_id}/changes/{change_id}/content", reviewing.content, "read"),
    Route("GET", "chats/{chat_id}/offers", insight.offers, "read"),
    Route("POST", "chats/{chat_id}/seen", attention.seen, "execute"),
    Route("GET", "chats/{chat_id}/usage", insight.usage, "read"),
    Route("POST", "chats/{chat_id}/fork", copies.fork, "execute"),
    Route("GET", "chats/{chat_id}/export", copies.export, "read"),
    Route("POST", "chats/{chat_id}/shares", copies.share, "execute"),
    Route("GET", "chats/{chat_id}/shares", copies.shares, "execute"),
    Route("DELETE", "chats/{chat_id}/shares/{share_id}", copies.unshare, "execute"),
)

STREAM = "chats/{chat_id}/stream"
"""The WebSocket of a chat (`websocket.py`); it asks for `read`, and tells its reader whether they may execute."""
SHARED = "shared"
"""The WebSocket of a link (`shared.py`), which comes as the first message; it asks for `read`."""
SOCKETS = {STREAM: StreamHandler, SHARED: SharedHandler}


def handlers(**common: Any) -> list[tuple[str, type, dict[str, Any]]]:
    """The table as the server takes it: one handler for each address."""
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    rows: list[tuple[str, type, dict[str, Any]]] = [
        (pattern(path), RestHandler, {"routes": routes, **common}) for path, routes in by_path.items()
    ]
    sockets = [(pattern(path), handler, common) for path, handler in SOCKETS.items()]
    return [*rows, *sockets, (PAGE, PageHandler, common)]
