"""Law 18: every route and the socket ask who the caller is and what they may do."""

from __future__ import annotations

from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from coder_nb.ids import new_id
from jupyter_extension.routes import ROUTES, SHARED, STREAM, Route

BODIES: dict[str, Any] = {
    "sessions": {"path": "/work"},
    "sessions/{session_id}/chats": {},
    "chats/{chat_id}/prompts": {"id": new_id(), "text": "hi"},
    "chats/{chat_id}/stop": None,
    "chats/{chat_id}/go-on": None,
    "chats/{chat_id}/steer": {"text": "also this"},
    "chats/{chat_id}/permissions/{request_id}": {"option_id": "yes"},
    "chats/{chat_id}/questions/{request_id}": {"answer": ["yes"]},
    "chats/{chat_id}/attend": None,
    "chats/{chat_id}/changes/apply": {"ids": []},
    "chats/{chat_id}/changes/reject": {"ids": []},
    "chats/{chat_id}/changes/revert": {"ids": []},
    "sessions/{session_id}/adopt": {"agent": "replay", "native_id": "1"},
    "sessions/{session_id}/import": {
        "exported": {"chat": {"id": "1", "session_id": "2"}, "session": {"id": "2", "owner": "", "path": "work"}}
    },
    "chats/{chat_id}/fork": {},
    "sessions/{session_id}/close": {"force": True},
    "sessions/{session_id}/stash": None,
    "sessions/{session_id}/branch": {"name": "idea"},
    "worktrees/reap": {},
    "chats/{chat_id}/close": {},
    "chats/{chat_id}/restore": {"turn_id": "t"},
    "sessions/{session_id}/keep": {},
    "chats/{chat_id}/shares": None,
}
"""A body that each POST takes: a new route has to name its own here."""
QUERIES = {"sessions/{session_id}/native-sessions": "?agent=replay"}


def by_name(route: Route) -> str:
    return f"{route.method} {route.path}"


every_route = pytest.mark.parametrize("route", ROUTES, ids=by_name)


@pytest.fixture
def walk(server: Any, runtime: Any) -> Any:
    """Takes a route, as some caller."""

    async def ask(route: Route, headers: dict[str, str]) -> Any:
        ids = {"chat_id": runtime.chat.id, "session_id": runtime.session.id, "prompt_id": new_id(), "request_id": "r1"}
        ids |= {"change_id": new_id(), "share_id": new_id()}
        body = BODIES[route.path] if route.method == "POST" else None
        path = route.path.format(**ids) + QUERIES.get(route.path, "")
        return await server.ask(route.method, path, body, headers=headers)

    return ask


def refused(reply: Any, status: int = 403, code: str = "forbidden") -> bool:
    """Whether a reply is a refusal with a sentence, and with nothing else in it."""
    assert set(reply.body) == {"code", "message"}
    assert reply.body["message"].endswith(".")
    return (reply.status, reply.body["code"]) == (status, code)


async def granted(reply: Any, route: Route) -> bool:
    return bool(reply.status == route.status)


@every_route
async def test_an_anonymous_caller_is_refused(walk: Any, runtime: Any, route: Route) -> None:
    assert refused(await walk(route, {}))
    assert runtime.asked == [] or {asked[0] for asked in runtime.asked} == {"health"}


@every_route
async def test_a_wrong_token_is_refused(walk: Any, server: Any, route: Route) -> None:
    token = server.extension.token
    for wrong in ("Bearer x", f"Bearer {token}x", f"Bearer {token[:-1]}", "Bearer ", f"Basic {token}", "Bearer \xe9"):
        assert refused(await walk(route, {"Authorization": wrong})), wrong


@every_route
async def test_the_servers_own_token_is_accepted(walk: Any, server: Any, route: Route) -> None:
    assert await granted(await walk(route, server.token), route)


@every_route
async def test_a_kernels_token_is_accepted(walk: Any, server: Any, route: Route) -> None:
    assert await granted(await walk(route, server.kernel), route)
    assert await granted(await walk(route, server.kernel | {"Origin": "https://elsewhere.example"}), route)


@every_route
async def test_a_reader_may_look_and_not_touch(walk: Any, server: Any, runtime: Any, grants: Any, route: Route) -> None:
    grants(actions={"read"})
    reply = await walk(route, server.token)
    if route.may == "read":
        assert await granted(reply, route)
    else:
        assert refused(reply)
        assert {asked[0] for asked in runtime.asked} <= {"health"}


@every_route
async def test_another_user_is_refused(walk: Any, server: Any, grants: Any, route: Route) -> None:
    grants(users={"alice"})
    assert refused(await walk(route, {"X-User": "bob"}))
    assert refused(await walk(route, {}))
    assert await granted(await walk(route, {"X-User": "alice", "Cookie": "_xsrf=a", "X-XSRFToken": "a"}), route)


@every_route
async def test_a_page_of_another_origin_is_refused(walk: Any, server: Any, route: Route) -> None:
    cookies = await server.cookies()
    foreign = {"Cookie": cookies["Cookie"], "Origin": "https://elsewhere.example"}
    for headers in (foreign, foreign | {"X-XSRFToken": cookies["Xsrf"]}):
        assert refused(await walk(route, headers), 404, "not_found")


@every_route
async def test_a_browser_needs_the_xsrf_header_to_change_something(walk: Any, server: Any, route: Route) -> None:
    cookies = await server.cookies()
    browser = {"Cookie": cookies["Cookie"]}
    without = await walk(route, browser)
    if route.method == "GET":
        assert await granted(without, route)
    else:
        assert refused(without)
        assert refused(await walk(route, browser | {"X-XSRFToken": "x"}))
    assert await granted(await walk(route, browser | {"X-XSRFToken": cookies["Xsrf"]}), route)


@pytest.mark.parametrize("path", ["api/contents", "api/kernels", "api/status", "api/me", "lab", "files/x"])
async def test_a_kernels_token_opens_nothing_but_our_routes(server: Any, path: str) -> None:
    assert (await server.ask("GET", path, headers=server.kernel, at="")).status in (302, 403, 404)


async def test_the_token_is_taken_from_the_header_alone(server: Any) -> None:
    assert refused(await server.ask("GET", f"health?token={server.extension.token}", headers={}))
    assert refused(await server.ask("GET", "health", headers={"Cookie": f"token={server.extension.token}"}))


async def test_every_handler_is_marked_as_authenticated(server: Any, jp_serverapp: Any) -> None:
    from jupyter_extension.base import RestHandler
    from jupyter_extension.shared import PageHandler, SharedHandler
    from jupyter_extension.websocket import StreamHandler

    for handler in (RestHandler, StreamHandler, SharedHandler, PageHandler):
        assert jp_serverapp.web_app._check_handler_auth("", handler) == []


# The socket ----------------------------------------------------------------------------------------------------------


async def turned_away(server: Any, runtime: Any, headers: dict[str, str], path: str = STREAM) -> int:
    with pytest.raises(HTTPClientError) as caught:
        await server.connect(path.format(chat_id=runtime.chat.id), headers=headers)
    assert runtime.streams == 0
    return int(caught.value.code)


async def hello(server: Any, runtime: Any, headers: dict[str, str]) -> Any:
    socket = await server.connect(STREAM.format(chat_id=runtime.chat.id), headers=headers)
    said = await server.frame(socket)
    socket.close()
    await server.on_runtime(runtime.readers(0))
    return said


@pytest.mark.parametrize("path", [STREAM, SHARED])
async def test_the_sockets_refuse_whom_the_routes_refuse(server: Any, runtime: Any, grants: Any, path: str) -> None:
    cookies = await server.cookies()
    assert await turned_away(server, runtime, {}, path) == 403
    assert await turned_away(server, runtime, {"Authorization": "Bearer x"}, path) == 403
    foreign = {"Cookie": cookies["Cookie"], "Origin": "https://elsewhere.example"}
    assert await turned_away(server, runtime, foreign, path) == 403
    grants(users={"alice"})
    assert await turned_away(server, runtime, {"X-User": "bob"}, path) == 403
    grants(actions={"execute"}, users={"alice"})
    assert await turned_away(server, runtime, {"X-User": "alice"}, path) == 403


async def test_the_socket_says_what_its_reader_may(server: Any, runtime: Any, grants: Any) -> None:
    cookies = await server.cookies()
    for headers in (server.token, server.kernel, {"Cookie": cookies["Cookie"]}):
        assert (await hello(server, runtime, headers)).get("may_execute", True)
    grants(actions={"read"}, users={"alice"})
    assert (await hello(server, runtime, {"X-User": "alice"}))["may_execute"] is False


async def test_a_reader_who_may_not_execute_attends_nothing(server: Any, runtime: Any, grants: Any) -> None:
    grants(actions={"read"}, users={"alice"})
    socket = await server.connect(STREAM.format(chat_id=runtime.chat.id), headers={"X-User": "alice"})
    await socket.write_message('{"type": "attend"}')
    assert (await server.frame(socket))["type"] == "hello"
    assert (await server.frame(socket))["type"] == "state"
    assert "attend" not in {asked[0] for asked in runtime.asked}
