from __future__ import annotations

import re
from pathlib import Path

import pytest

from coder_nb.testing.memory_runtime import MemoryRuntime
from coder_nb.widgets.calls import ROUTES, call

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_the_routes_are_those_of_the_document() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (GET|POST|DELETE) \|", PROTOCOL.read_text(), re.MULTILINE)
    documented = {(method, re.sub(r"\{\w+\}", "*", route)) for route, method in rows}
    assert set(ROUTES) == documented


@pytest.mark.anyio
async def test_a_route_is_a_call_of_the_verbs() -> None:
    runtime = MemoryRuntime()
    status, session = await call(runtime, "POST", "sessions", {"path": "/repo"})
    assert (status, session["path"]) == (200, "/repo")
    status, chat = await call(runtime, "POST", f"sessions/{session['id']}/chats", {})
    status, accepted = await call(runtime, "POST", f"chats/{chat['id']}/prompts", {"id": "p", "text": "hi"})
    assert (status, accepted["id"]) == (200, chat["id"])
    assert await call(runtime, "POST", f"chats/{chat['id']}/attend", None) == (204, None)
    assert runtime.attended == ["browser"]
    status, page = await call(runtime, "GET", f"chats/{chat['id']}/entries?before=9&limit=1", None)
    assert status == 200
    await runtime.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "route", "body", "status", "code"),
    [
        ("GET", "chats/none", None, 404, "not_found"),
        ("GET", "nowhere", None, 404, "not_found"),
        ("PUT", "health", None, 404, "not_found"),
        ("POST", "sessions", None, 400, "bad_request"),
        ("POST", "sessions", {}, 400, "bad_request"),
        ("POST", "chats/none/prompts", {"text": 1}, 400, "bad_request"),
        ("GET", "chats/none/entries?limit=x", None, 400, "bad_request"),
    ],
)
async def test_what_cannot_be_done_is_answered_with_a_code_and_a_sentence(
    method: str, route: str, body: object, status: int, code: str
) -> None:
    answered, error = await call(MemoryRuntime(), method, route, body)
    assert (answered, error["code"]) == (status, code)
    assert error["message"].endswith((".", "it."))
