"""Law 18: every route and every socket asks who the caller is and what they may do.

The tests walk the tables of `routes.py` themselves, so that what is added there is held to all of this from then on.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

import pytest
from server.conftest import LINK
from support.smallest import smallest
from tornado.httpclient import HTTPClientError

from coder_nb.ids import new_id
from jupyter_extension.base import RestHandler
from jupyter_extension.routes import ROUTES, SHARED, SOCKETS, STREAM, Route, handlers
from jupyter_extension.shared import PageHandler

ELSEWHERE = "https://elsewhere.example"


def by_name(route: Route) -> str:
    return f"{route.method} {route.path}"


every_socket = pytest.mark.parametrize("socket", SOCKETS)


class Ids(dict[str, str]):
    """What stands in a path: the chat's and the session's own ids, and for all else one that could be."""

    def __missing__(self, name: str) -> str:
        return new_id()


@pytest.fixture
def ids(runtime: Any) -> Ids:
    return Ids(chat_id=runtime.chat.id, session_id=runtime.session.id, key=f"{runtime.chat.id}.goose")


@pytest.fixture
def walk(server: Any, ids: Ids) -> Any:
    """Takes a route, as some caller, with the smallest body and query that it takes."""

    async def ask(route: Route, headers: dict[str, str]) -> Any:
        body, query = route.kind_of("body"), route.kind_of("query")
        path = route.path.format_map(ids) + ("" if query is None else f"?{urlencode(smallest(query))}")
        return await server.ask(route.method, path, None if body is None else smallest(body), headers=headers)

    return ask


@pytest.fixture
def knock(server: Any, runtime: Any, ids: Ids) -> Any:
    """Opens a socket, as some caller; answers with its first frame, or with the status by which it is refused."""

    async def connect(socket: str, headers: dict[str, str]) -> Any:
        try:
            opened = await server.connect(socket.format_map(ids), headers=headers)
        except HTTPClientError as error:
            assert runtime.streams == 0
            return error.code
        if socket == SHARED:
            await opened.write_message(f'{{"link": "{LINK}"}}')
        frame = await server.frame(opened)
        opened.close()
        await server.on_runtime(runtime.readers(0))
        return frame

    return connect


def reached(runtime: Any) -> set[str]:
    """What was asked of the runtime, but for how it is, which the extension itself asks."""
    return {asked[0] for asked in runtime.asked} - {"health"}


def refused(reply: Any, status: int = 403, code: str = "forbidden") -> bool:
    """Whether a reply is a refusal with a sentence, and with nothing else in it."""
    said: dict[str, str] = reply.body
    whole = set(said) == {"code", "message"} and said["message"].endswith(".")
    return whole and (reply.status, said["code"]) == (status, code)


def granted(reply: Any, route: Route) -> bool:
    """Whether a route did what it does; closing what is at risk is refused by the runtime itself."""
    return bool(reply.status == route.status) or reply.body["code"] == "at_risk"


def test_the_server_is_given_what_these_tests_walk_and_nothing_else() -> None:
    given = [handler for _, handler, _ in handlers()]
    assert given.count(RestHandler) == len({route.path for route in ROUTES})
    assert [handler for handler in given if handler is not RestHandler] == [*SOCKETS.values(), PageHandler]


# Who is turned away everywhere --------------------------------------------------------------------------------------


def of_another_server(server: Any) -> list[dict[str, str]]:
    """What a caller may hold who is at home on another server: its tokens, by every way in which one can be sent."""
    theirs, ours = secrets.token_urlsafe(32), server.extension.token
    wrong = (f"Bearer {theirs}", f"token {theirs}", f"Bearer {ours}x", f"Bearer {ours[:-1]}", f"Basic {ours}")
    by_header = [{"Authorization": value} for value in (*wrong, f"token {ours}", "Bearer ", "Bearer \xe9")]
    return [*by_header, {"Cookie": f"token={theirs}; username-localhost-8888={theirs}"}]


async def test_an_anonymous_caller_is_refused(walk: Any, runtime: Any) -> None:
    for route in ROUTES:
        assert refused(await walk(route, {})), by_name(route)
    assert reached(runtime) == set()


async def test_a_token_of_another_server_is_refused(walk: Any, server: Any, runtime: Any) -> None:
    for route in ROUTES:
        for headers in of_another_server(server):
            assert refused(await walk(route, headers)), (by_name(route), headers)
    assert reached(runtime) == set()


async def test_another_user_is_refused(walk: Any, server: Any, runtime: Any, grants: Any) -> None:
    grants(users={"alice"})
    for route in ROUTES:
        assert refused(await walk(route, {"X-User": "bob"})), by_name(route)
        assert refused(await walk(route, {"X-User": "bob", "Cookie": "_xsrf=a", "X-XSRFToken": "a"})), by_name(route)
    assert reached(runtime) == set()
    for route in ROUTES:
        alice = {"X-User": "alice", "Cookie": "_xsrf=a", "X-XSRFToken": "a"}
        assert granted(await walk(route, alice), route), by_name(route)


async def test_a_page_of_another_origin_is_refused(walk: Any, server: Any, runtime: Any) -> None:
    cookies = await server.cookies()
    for route in ROUTES:
        for origin in (ELSEWHERE, "null"):
            foreign = {"Cookie": cookies["Cookie"], "Origin": origin}
            for headers in (foreign, foreign | {"X-XSRFToken": cookies["Xsrf"]}):
                assert refused(await walk(route, headers), 404, "not_found"), by_name(route)
    assert reached(runtime) == set()


@every_socket
async def test_the_sockets_refuse_whom_the_routes_refuse(
    knock: Any, server: Any, runtime: Any, grants: Any, socket: str
) -> None:
    cookies = await server.cookies()
    for origin in (ELSEWHERE, "null"):
        assert await knock(socket, {"Cookie": cookies["Cookie"], "Origin": origin}) == 403
    for headers in ({}, *of_another_server(server)):
        assert await knock(socket, headers) == 403, headers
    grants(users={"alice"})
    assert await knock(socket, {"X-User": "bob"}) == 403
    grants(actions={"execute"}, users={"alice"})
    assert await knock(socket, {"X-User": "alice"}) == 403
    assert reached(runtime) == set()


async def test_the_page_of_links_is_for_those_who_may_read(server: Any, grants: Any) -> None:
    async def look(headers: dict[str, str]) -> int:
        reply = await server.ask("GET", "coder-nb/shared", at="", headers=headers)
        return int(reply.status)

    assert await look(server.token) == await look(server.kernel) == 200
    for headers in ({}, *of_another_server(server)):
        assert await look(headers) in (302, 403), headers
    grants(actions={"read"}, users={"alice"})
    assert await look({"X-User": "alice"}) == 200
    assert await look({"X-User": "bob"}) == 403
    grants(actions={"execute"}, users={"alice"})
    assert await look({"X-User": "alice"}) == 403


# Who is let in, and how far -----------------------------------------------------------------------------------------


async def test_the_servers_own_token_is_accepted(walk: Any, server: Any) -> None:
    for route in ROUTES:
        assert granted(await walk(route, server.token), route), by_name(route)


async def test_a_kernels_token_is_accepted(walk: Any, server: Any) -> None:
    for route in ROUTES:
        assert granted(await walk(route, server.kernel), route), by_name(route)
        assert granted(await walk(route, server.kernel | {"Origin": ELSEWHERE}), route), by_name(route)


@pytest.mark.parametrize("may", ["read", "execute"])
async def test_who_may_do_one_thing_may_not_do_the_other(
    walk: Any, server: Any, runtime: Any, grants: Any, may: str
) -> None:
    grants(actions={may, "write"})
    for route in ROUTES:
        runtime.asked.clear()
        reply = await walk(route, server.token)
        assert granted(reply, route) if route.may == may else refused(reply), by_name(route)
        assert route.may == may or reached(runtime) == set(), by_name(route)


def test_what_changes_something_needs_the_right_to_execute() -> None:
    assert {route.may for route in ROUTES if route.method != "GET"} == {"execute"}


async def test_a_browser_needs_the_xsrf_header_to_change_something(walk: Any, server: Any, runtime: Any) -> None:
    cookies = await server.cookies()
    browser = {"Cookie": cookies["Cookie"]}
    for route in ROUTES:
        if route.method == "GET":
            assert granted(await walk(route, browser), route), by_name(route)
            continue
        runtime.asked.clear()
        assert refused(await walk(route, browser)), by_name(route)
        assert refused(await walk(route, browser | {"X-XSRFToken": "x"})), by_name(route)
        assert reached(runtime) == set(), by_name(route)
    for route in ROUTES:
        assert granted(await walk(route, browser | {"X-XSRFToken": cookies["Xsrf"]}), route), by_name(route)


@every_socket
async def test_a_socket_says_what_its_reader_may(knock: Any, server: Any, grants: Any, socket: str) -> None:
    cookies = await server.cookies()
    for headers in (server.token, server.kernel, {"Cookie": cookies["Cookie"]}):
        assert (await knock(socket, headers)).get("may_execute", True) is (socket != SHARED)
    grants(actions={"read"}, users={"alice"})
    assert (await knock(socket, {"X-User": "alice"}))["may_execute"] is False


async def test_a_reader_who_may_not_execute_attends_nothing(server: Any, runtime: Any, grants: Any) -> None:
    grants(actions={"read"}, users={"alice"})
    socket = await server.connect(STREAM.format(chat_id=runtime.chat.id), headers={"X-User": "alice"})
    await socket.write_message('{"type": "attend"}')
    assert (await server.frame(socket))["type"] == "hello"
    assert (await server.frame(socket))["type"] == "state"
    assert "attend" not in reached(runtime)


# The token of kernels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["api/contents", "api/kernels", "api/status", "api/me", "lab", "files/x"])
async def test_a_kernels_token_opens_nothing_but_our_routes(server: Any, path: str) -> None:
    assert (await server.ask("GET", path, headers=server.kernel, at="")).status in (302, 403, 404)


async def test_the_token_is_taken_from_the_header_alone(server: Any) -> None:
    assert refused(await server.ask("GET", f"health?token={server.extension.token}", headers={}))
    assert refused(await server.ask("GET", "health", headers={"Cookie": f"token={server.extension.token}"}))


async def test_every_handler_is_marked_as_authenticated(server: Any, jp_serverapp: Any) -> None:
    for handler in {handler for _, handler, _ in handlers()}:
        assert jp_serverapp.web_app._check_handler_auth("", handler) == []
