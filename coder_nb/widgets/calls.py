"""The routes of `docs/protocol.md` as calls of the verbs, for a widget that has no server to ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from coder_nb.core.codec import decode, encode
from coder_nb.core.copies import Files
from coder_nb.core.export import Exported
from coder_nb.core.prompts import Prompt
from coder_nb.core.rules import Always, AnyCovers, Does, Scope
from coder_nb.core.verbs import Verbs
from coder_nb.errors import BadRequest, CoderError, Forbidden, NotFound

WHO = "browser"
"""Who is there, where a page that speaks with the kernel says so."""

Query = Mapping[str, str]
Route = Callable[[Verbs, "tuple[str, ...]", Query, Any], Awaitable[object]]


async def call(verbs: Verbs, method: str, route: str, body: Any) -> tuple[int, Any]:
    """Makes one call; returns a status as HTTP has it, and the answer or the error as JSON objects."""
    try:
        answer = await _find(method, route)(verbs, body)
    except CoderError as error:
        details = {} if error.details is None else {"details": msgspec.json.decode(encode(error.details))}
        return _status(error), {"code": error.code, "message": error.message, **details}
    except (msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
        return 400, {"code": BadRequest.code, "message": f"The request is not understood: {error}."}
    return (204, None) if answer is None else (200, msgspec.json.decode(encode(answer)))


def _find(method: str, route: str) -> Callable[[Verbs, Any], Awaitable[object]]:
    parts = urlsplit(route)
    words = tuple(parts.path.strip("/").split("/"))
    for (wanted, pattern), handler in ROUTES.items():
        shape = pattern.split("/")
        if (
            wanted == method
            and len(shape) == len(words)
            and all(s in ("*", w) for s, w in zip(shape, words, strict=True))
        ):
            ids = tuple(w for s, w in zip(shape, words, strict=True) if s == "*")
            return lambda verbs, body: handler(verbs, ids, dict(parse_qsl(parts.query)), body)
    raise NotFound(f"There is no {method} {route}: the page is of another version than the kernel, reload it.")


def _status(error: CoderError) -> int:
    return 404 if isinstance(error, NotFound) else 403 if isinstance(error, Forbidden) else 400


async def _done(answer: Awaitable[bool]) -> dict[str, bool]:
    return {"done": await answer}


def _entries(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    before = query.get("before")
    return verbs.read(
        ids[0],
        after=int(query.get("after", 0)),
        before=None if before is None else int(before),
        limit=int(query.get("limit", 500)),
    )


def _answer(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    option, always = body.get("option_id"), body.get("always")
    return _done(
        verbs.answer(
            ids[0],
            ids[1],
            None if option is None else str(option),
            always=None if always is None else msgspec.convert(always, Always),
        )
    )


def _make_rule(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    return verbs.make_rule(
        msgspec.convert(body["covers"], AnyCovers),
        does=msgspec.convert(body["does"], Does),
        scope=msgspec.convert(body["scope"], Scope),
        session_id=body.get("session_id"),
    )


def _reply(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    given = body.get("answer")
    return _done(verbs.reply(ids[0], ids[1], None if given is None else msgspec.convert(given, tuple[str, ...])))


def _open_session(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    return verbs.open_session(str(body["path"]), name=str(body.get("name") or "main"), new=bool(body.get("new")))


def _open_chat(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    given = body or {}
    return verbs.open_chat(ids[0], name=str(given.get("name") or "main"), new=bool(given.get("new")))


def _apply(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    to, commit = str(body.get("to") or ""), str(body.get("commit") or "")
    return verbs.apply(ids[0], _changed(body), hunks=body.get("hunks"), to=to, commit=commit)


def _restore(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    files, conversation = bool(body.get("files", True)), bool(body.get("conversation", True))
    return _undo(verbs.restore(ids[0], str(body["turn_id"]), files=files, conversation=conversation))


async def _undo(answer: Awaitable[str]) -> dict[str, str]:
    return {"undo": await answer}


def _fork(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    given = body or {}
    files = msgspec.convert(given.get("files", "shared"), Files)
    return verbs.fork(ids[0], turn_id=given.get("turn_id"), files=files, name=given.get("name"))


def _adopt(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    return verbs.adopt(ids[0], str(body["agent"]), str(body["native_id"]), name=body.get("name"))


def _import(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    return verbs.import_chat(ids[0], decode(msgspec.json.encode(body["exported"]), Exported), name=body.get("name"))


def _keep(verbs: Verbs, ids: tuple[str, ...], query: Query, body: Any) -> Awaitable[object]:
    given = body or {}
    return verbs.keep(ids[0], days=given.get("days"), mib=given.get("mib"))


def _forced(given: Mapping[str, Any] | None) -> bool:
    return str((given or {}).get("force", "")).lower() in ("true", "1")


def _changed(body: Any) -> list[str]:
    return [str(change_id) for change_id in body["ids"]]


ROUTES: Mapping[tuple[str, str], Route] = {
    ("GET", "health"): lambda v, ids, q, b: v.health(),
    ("GET", "agents"): lambda v, ids, q, b: v.agents(),
    ("GET", "pool"): lambda v, ids, q, b: v.pool(),
    ("POST", "pool/*/evict"): lambda v, ids, q, b: _done(v.evict(unquote(ids[0]))),
    ("POST", "pool/*/restart"): lambda v, ids, q, b: _done(v.restart(unquote(ids[0]))),
    ("GET", "pool/*/log"): lambda v, ids, q, b: v.agent_log(unquote(ids[0])),
    ("GET", "sessions"): lambda v, ids, q, b: v.sessions(),
    ("POST", "sessions"): _open_session,
    ("GET", "sessions/*"): lambda v, ids, q, b: v.get_session(ids[0]),
    ("GET", "sessions/*/agent-sessions"): lambda v, ids, q, b: v.agent_sessions(ids[0]),
    ("POST", "sessions/*/chats"): _open_chat,
    ("GET", "usage"): lambda v, ids, q, b: v.usage(),
    ("GET", "attention"): lambda v, ids, q, b: v.attention(),
    ("GET", "chats/*"): lambda v, ids, q, b: v.get_chat(ids[0]),
    ("POST", "chats/*/prompts"): lambda v, ids, q, b: v.prompt(ids[0], msgspec.convert(b, Prompt)),
    ("DELETE", "chats/*/prompts/*"): lambda v, ids, q, b: _done(v.withdraw(ids[0], ids[1])),
    ("POST", "chats/*/stop"): lambda v, ids, q, b: _done(v.stop(ids[0])),
    ("POST", "chats/*/steer"): lambda v, ids, q, b: _done(v.steer(ids[0], str(b["text"]))),
    ("GET", "chats/*/commands"): lambda v, ids, q, b: v.commands(ids[0]),
    ("POST", "chats/*/go-on"): lambda v, ids, q, b: v.go_on(ids[0]),
    ("POST", "chats/*/permissions/*"): _answer,
    ("POST", "chats/*/questions/*"): _reply,
    ("GET", "chats/*/offers"): lambda v, ids, q, b: v.offers(ids[0]),
    ("POST", "chats/*/seen"): lambda v, ids, q, b: _done(v.seen(ids[0], int(b["rev"]))),
    ("POST", "chats/*/attend"): lambda v, ids, q, b: v.attend(ids[0], who=WHO, prompt_id=(b or {}).get("prompt_id")),
    ("GET", "rules"): lambda v, ids, q, b: v.rules(),
    ("POST", "rules"): _make_rule,
    ("DELETE", "rules/*"): lambda v, ids, q, b: _done(v.revoke(ids[0])),
    ("GET", "sessions/*/rules"): lambda v, ids, q, b: v.rules(ids[0]),
    ("GET", "audit"): lambda v, ids, q, b: v.audit(),
    ("GET", "chats/*/audit"): lambda v, ids, q, b: v.audit(ids[0]),
    ("GET", "chats/*/turns"): lambda v, ids, q, b: v.turns(ids[0]),
    ("GET", "chats/*/entries"): _entries,
    ("GET", "chats/*/changes"): lambda v, ids, q, b: v.changes(ids[0]),
    ("POST", "chats/*/changes/apply"): _apply,
    ("POST", "chats/*/changes/reject"): lambda v, ids, q, b: v.reject(ids[0], _changed(b), hunks=b.get("hunks")),
    ("POST", "chats/*/changes/revert"): lambda v, ids, q, b: v.revert(ids[0], _changed(b)),
    ("GET", "chats/*/changes/preview"): lambda v, ids, q, b: v.preview(ids[0]),
    ("GET", "chats/*/changes/*/content"): lambda v, ids, q, b: v.content(ids[0], ids[1], old=q.get("side") == "old"),
    ("GET", "chats/*/usage"): lambda v, ids, q, b: v.usage(ids[0]),
    ("GET", "chats/*/checkpoints"): lambda v, ids, q, b: v.checkpoints(ids[0]),
    ("POST", "chats/*/restore"): _restore,
    ("POST", "chats/*/fork"): _fork,
    ("GET", "chats/*/export"): lambda v, ids, q, b: v.export(ids[0], redact=q.get("redact") != "false"),
    ("POST", "chats/*/shares"): lambda v, ids, q, b: v.share(ids[0]),
    ("GET", "chats/*/shares"): lambda v, ids, q, b: v.shares(ids[0]),
    ("DELETE", "chats/*/shares/*"): lambda v, ids, q, b: _done(v.unshare(ids[0], ids[1])),
    ("POST", "chats/*/close"): lambda v, ids, q, b: v.close_chat(ids[0], force=_forced(b)),
    ("DELETE", "chats/*"): lambda v, ids, q, b: v.delete_chat(ids[0], force=_forced(q)),
    ("GET", "sessions/*/risk"): lambda v, ids, q, b: v.risk(ids[0]),
    ("POST", "sessions/*/stash"): lambda v, ids, q, b: v.stash(ids[0]),
    ("POST", "sessions/*/branch"): lambda v, ids, q, b: v.keep_branch(ids[0], str(b["name"])),
    ("POST", "sessions/*/close"): lambda v, ids, q, b: v.close_session(ids[0], force=_forced(b)),
    ("DELETE", "sessions/*"): lambda v, ids, q, b: v.delete_session(ids[0], force=_forced(q)),
    ("POST", "sessions/*/keep"): _keep,
    ("GET", "sessions/*/native-sessions"): lambda v, ids, q, b: v.native_sessions(ids[0], q["agent"]),
    ("POST", "sessions/*/adopt"): _adopt,
    ("POST", "sessions/*/import"): _import,
    ("GET", "worktrees"): lambda v, ids, q, b: v.worktrees(),
    ("POST", "worktrees/reap"): lambda v, ids, q, b: v.reap(dry_run=bool((b or {}).get("dry_run"))),
}
"""Each route that has no stream; a test holds the table to the document."""
