"""The table of routes, and what each of them asks of the runtime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from coder_nb.core.prompts import Prompt
from coder_nb.core.rules import Always, Commands
from coder_nb.ids import new_id
from coder_nb.store.owner import user
from jupyter_extension.routes import ROUTES, SHARED, STREAM

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_the_table_is_the_one_of_the_protocol() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \|.*\| (read|execute) \|$", PROTOCOL.read_text(), re.MULTILINE)
    documented = {(method, re.sub(r"{\w+}", "{}", path), may) for path, method, may in rows}
    ours = {(route.method, re.sub(r"{\w+}", "{}", route.path), route.may) for route in ROUTES}
    assert documented == ours | {("WebSocket", re.sub(r"{\w+}", "{}", path), "read") for path in (STREAM, SHARED)}


async def test_the_routes_ask_the_runtime_what_their_callers_ask(server: Any, runtime: Any) -> None:
    chat, session, prompt = runtime.chat.id, runtime.session.id, new_id()
    for method, path, body, status, asked in [
        ("GET", "agents", None, 200, ("agents",)),
        ("GET", "pool", None, 200, ("pool",)),
        ("POST", f"pool/{chat}.goose/evict", None, 200, ("evict", f"{chat}.goose")),
        ("POST", "pool/server.1/restart", None, 200, ("restart", "server.1")),
        ("GET", f"pool/{chat}.my-agent/log", None, 200, ("agent_log", f"{chat}.my-agent")),
        ("GET", "sessions", None, 200, ("sessions",)),
        ("POST", "sessions", {"path": "/work", "name": "two"}, 200, ("open_session", "/work", "two", False)),
        ("POST", "sessions", {"path": "~/work", "new": True}, 200, ("open_session", "~/work", "main", True)),
        ("GET", f"sessions/{session}", None, 200, ("get_session", session)),
        ("GET", f"sessions/{session}/agent-sessions", None, 200, ("agent_sessions", session)),
        ("GET", "attention", None, 200, ("attention",)),
        ("GET", f"chats/{chat}/offers", None, 200, ("offers", chat)),
        ("POST", f"chats/{chat}/seen", {"rev": 7}, 200, ("seen", chat, 7)),
        ("POST", f"sessions/{session}/chats", None, 200, ("open_chat", session, "main", False)),
        ("POST", f"sessions/{session}/chats", {"name": "fix"}, 200, ("open_chat", session, "fix", False)),
        (
            "POST",
            "sessions",
            {"path": "/work", "isolation": "none", "base": "main"},
            200,
            ("open_session", "/work", "main", False, "none", "main"),
        ),
        ("GET", f"sessions/{session}/risk", None, 200, ("risk", session)),
        ("POST", f"sessions/{session}/stash", None, 200, ("stash", session)),
        ("POST", f"sessions/{session}/branch", {"name": "idea"}, 200, ("keep_branch", session, "idea")),
        ("POST", f"sessions/{session}/close", {"force": True}, 204, ("close_session", session, True)),
        ("DELETE", f"sessions/{session}?force=true", None, 204, ("delete_session", session, True)),
        ("POST", f"chats/{chat}/close", None, 204, ("close_chat", chat, False)),
        ("DELETE", f"chats/{chat}", None, 204, ("delete_chat", chat, False)),
        ("GET", f"chats/{chat}/checkpoints", None, 200, ("checkpoints", chat)),
        ("POST", f"chats/{chat}/restore", {"turn_id": "t"}, 200, ("restore", chat, "t", True, True)),
        ("GET", "worktrees", None, 200, ("worktrees",)),
        ("POST", "worktrees/reap", {"dry_run": True}, 200, ("reap", True)),
        ("GET", "usage", None, 200, ("usage", None)),
        ("GET", f"chats/{chat}", None, 200, ("get_chat", chat)),
        (
            "POST",
            f"chats/{chat}/prompts",
            {"id": prompt, "text": "hi", "agent": "goose"},
            202,
            ("prompt", chat, Prompt(id=prompt, text="hi", agent="goose")),
        ),
        ("DELETE", f"chats/{chat}/prompts/{prompt}", None, 200, ("withdraw", chat, prompt)),
        ("POST", f"chats/{chat}/stop", None, 200, ("stop", chat)),
        ("POST", f"chats/{chat}/go-on", None, 200, ("go_on", chat)),
        ("POST", f"chats/{chat}/steer", {"text": "also"}, 200, ("steer", chat, "also")),
        ("GET", f"chats/{chat}/commands", None, 200, ("commands", chat)),
        ("GET", f"chats/{chat}/turns", None, 200, ("turns", chat)),
        ("GET", f"chats/{chat}/entries?after=3&limit=7", None, 200, ("read", chat, 3, None, 7)),
        ("GET", f"chats/{chat}/entries?before=9", None, 200, ("read", chat, 0, 9, 500)),
        ("GET", f"chats/{chat}/changes", None, 200, ("changes", chat)),
        ("POST", f"chats/{chat}/changes/apply", {"ids": ["a"]}, 200, ("apply", chat, ("a",), {}, "", "")),
        (
            "POST",
            f"chats/{chat}/changes/apply",
            {"ids": ["a"], "hunks": {"a": ["h"]}, "to": "branch:x", "commit": "m"},
            200,
            ("apply", chat, ("a",), {"a": ("h",)}, "branch:x", "m"),
        ),
        ("POST", f"chats/{chat}/changes/reject", {"ids": []}, 200, ("reject", chat, (), {})),
        ("POST", f"chats/{chat}/changes/revert", {"ids": ["a"]}, 200, ("revert", chat, ("a",))),
        ("GET", f"chats/{chat}/changes/preview", None, 200, ("preview", chat)),
        ("GET", f"chats/{chat}/changes/{prompt}/content?side=old", None, 200, ("content", chat, prompt, True)),
        ("GET", f"chats/{chat}/changes/{prompt}/content", None, 200, ("content", chat, prompt, False)),
        ("GET", f"chats/{chat}/usage", None, 200, ("usage", chat)),
        ("GET", f"sessions/{session}/native-sessions?agent=qwen", None, 200, ("native_sessions", session, "qwen")),
        (
            "POST",
            f"sessions/{session}/adopt",
            {"agent": "qwen", "native_id": "../x", "name": "n"},
            200,
            ("adopt", session, "qwen", "../x", "n"),
        ),
        ("POST", f"chats/{chat}/fork", None, 200, ("fork", chat, None, "shared", None)),
        ("POST", f"chats/{chat}/fork", {"turn_id": "t", "files": "fresh"}, 200, ("fork", chat, "t", "fresh", None)),
        ("GET", f"chats/{chat}/export", None, 200, ("export", chat, True)),
        ("GET", f"chats/{chat}/export?redact=false", None, 200, ("export", chat, False)),
        ("GET", f"chats/{chat}/shares", None, 200, ("shares", chat)),
        ("DELETE", f"chats/{chat}/shares/{prompt}", None, 200, ("unshare", chat, prompt)),
    ]:
        reply = await server.ask(method, path, body)
        assert (reply.status, runtime.asked[-1]) == (status, asked), path


async def test_values_come_as_the_json_of_their_structs(server: Any, runtime: Any) -> None:
    reply = await server.ask("GET", f"chats/{runtime.chat.id}")
    assert reply.body == {"id": runtime.chat.id, "session_id": runtime.session.id, "run_status": "idle"}
    assert reply.headers["Content-Type"] == "application/json"


async def test_an_answer_is_given_in_the_name_of_who_gave_it(server: Any, runtime: Any) -> None:
    path = f"chats/{runtime.chat.id}/permissions/toolu_01:a"
    await server.ask("POST", path, {"option_id": "yes", "by": "stdin"})
    name = runtime.asked[-1][-1]
    assert runtime.asked[-1] == ("answer", runtime.chat.id, "toolu_01:a", "yes", name)
    assert name.startswith("Anonymous")
    await server.ask("POST", path, {"option_id": None, "by": "stdin"}, headers=server.kernel)
    assert runtime.asked[-1] == ("answer", runtime.chat.id, "toolu_01:a", None, "stdin")
    for body in ({}, {"by": "somebody else"}):
        await server.ask("POST", path, body, headers=server.kernel)
        assert runtime.asked[-1][-1] == user()


async def test_an_answer_may_ask_for_a_rule(server: Any, runtime: Any) -> None:
    path = f"chats/{runtime.chat.id}/permissions/p"
    always = {"offer": "commands", "scope": "project"}
    assert (await server.ask("POST", path, {"option_id": "yes", "always": always})).body == {"done": True}
    assert runtime.asked[-1][-1] == Always("commands", "project")
    for wrong in ({"offer": "commands", "scope": "planet"}, {"scope": "session"}, "commands"):
        assert (await server.ask("POST", path, {"option_id": "yes", "always": wrong})).status == 400


async def test_a_rule_is_made_in_the_name_of_who_makes_it(server: Any, runtime: Any) -> None:
    body = {"covers": {"of": "commands", "words": ["pytest"]}, "does": "allow", "scope": "everywhere", "by": "ann"}
    assert (await server.ask("POST", "rules", body)).status == 200
    *asked, name = runtime.asked[-1]
    assert asked == ["make_rule", Commands(("pytest",)), "allow", "everywhere", None]
    assert name.startswith("Anonymous")
    await server.ask("POST", "rules", body, headers=server.kernel)
    assert runtime.asked[-1][-1] == user()
    await server.ask("DELETE", f"rules/{runtime.chat.id}")
    *asked, name = runtime.asked[-1]
    assert asked == ["revoke", runtime.chat.id]
    assert name.startswith("Anonymous")
    for wrong in ({"of": "planets"}, {"of": "commands"}, {"of": "commands", "words": "pytest"}):
        assert (await server.ask("POST", "rules", {**body, "covers": wrong})).status == 400
    assert (await server.ask("POST", "rules", {**body, "session_id": "../x"})).status == 400
    await server.ask("DELETE", f"rules/{runtime.chat.id}")
    assert runtime.asked[-1][:2] == ("revoke", runtime.chat.id)
    assert runtime.asked[-1][-1].startswith("Anonymous")


async def test_a_question_is_answered_in_the_name_of_who_answered_it(server: Any, runtime: Any) -> None:
    path = f"chats/{runtime.chat.id}/questions/q_01"
    await server.ask("POST", path, {"answer": ["a", "my own"], "by": "stdin"})
    assert runtime.asked[-1][:4] == ("reply", runtime.chat.id, "q_01", ("a", "my own"))
    assert runtime.asked[-1][-1].startswith("Anonymous")
    await server.ask("POST", path, {"answer": None, "by": "stdin"}, headers=server.kernel)
    assert runtime.asked[-1] == ("reply", runtime.chat.id, "q_01", None, "stdin")
    assert (await server.ask("POST", path, {"answer": "no list"})).status == 400


async def test_closing_what_is_at_risk_answers_409_with_the_report(server: Any, runtime: Any) -> None:
    reply = await server.ask("POST", f"sessions/{runtime.session.id}/close")
    assert reply.status == 409
    assert reply.body == {
        "code": "at_risk",
        "message": "Work would be lost.",
        "details": {"session_id": runtime.session.id, "at_risk": True, "dirty": ["a.txt"]},
    }


async def test_attending_answers_with_nothing(server: Any, runtime: Any) -> None:
    reply = await server.ask("POST", f"chats/{runtime.chat.id}/attend")
    assert (reply.status, reply.body) == (204, b"")
    assert runtime.asked[-1][:2] == ("attend", runtime.chat.id)


async def test_health_says_which_version_and_runtime_it_is(server: Any) -> None:
    reply = await server.ask("GET", "health")
    assert reply.body == {"protocol": 1, "version": "1.2.3", "runtime_id": "memory", "status": "ok"}


@pytest.mark.parametrize(("method", "path"), [("PUT", "sessions"), ("DELETE", "health"), ("HEAD", "health")])
async def test_a_method_that_a_route_does_not_take_is_refused(server: Any, method: str, path: str) -> None:
    assert (await server.ask(method, path)).status == 405
