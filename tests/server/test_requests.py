"""What is sent to a route is checked before anything is done with it, and a refusal is a sentence."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pytest
from support.smallest import smallest

from coder_nb import errors
from coder_nb.ids import new_id
from jupyter_extension.base import REFUSALS, STATUS
from jupyter_extension.routes import ROUTES, SOCKETS

BAD_IDS = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2Fetc%2Fpasswd",
    "*",
    "-rf",
    "--help",
    "%00",
    "a%00b",
    "%0a",
    "%20",
    "x" * 25,
    "x" * 27,
    "X" * 26,
    "x" * 10_240,
    "%C3%A9" * 26,
    "%F0%9F%98%80",
    "%252e%252e",
    "'%20OR%201=1",
    "${HOME}",
    "~",
]
BAD_REQUEST_IDS = [*(i for i in BAD_IDS if set(i) > {"x"} or len(i) > 200), "", "a%2fb", "a" * 201, ".a", ":a"]


ADDRESSES = [(route.method, route.path, route.kind_of("body")) for route in ROUTES]
ADDRESSES += [("GET", path, None) for path in SOCKETS]


@pytest.mark.parametrize("bad", sorted({*BAD_IDS, *BAD_REQUEST_IDS}), ids=lambda bad: bad[:12])
async def test_what_cannot_be_an_id_is_not_found_at_any_address_and_reaches_nothing(
    server: Any, runtime: Any, bad: str
) -> None:
    for method, path, body in ADDRESSES:
        for name in re.findall(r"{(\w+)}", path):
            if bad in (BAD_REQUEST_IDS if name == "request_id" else BAD_IDS):
                own = {"chat_id": runtime.chat.id, "session_id": runtime.session.id}
                address = path.format_map(defaultdict(new_id, own | {name: bad}))
                reply = await server.ask(method, address, None if body is None else smallest(body))
                assert (reply.status, reply.body["code"]) == (404, "not_found"), (method, path, name)
                assert bad not in reply.body["message"] or not bad
    assert {asked[0] for asked in runtime.asked} <= {"health"}


async def test_bytes_that_are_no_text_are_refused(server: Any) -> None:
    assert (await server.ask("GET", "chats/%ff%fe")).status == 400
    assert (await server.ask("GET", f"chats/{new_id()}/entries?after=%ff")).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"path": 1}',
        b'{"path": null}',
        b'{"name": "x"}',
        b'{"path": "/w", "new": "yes"}',
        b'{"path": "/w", "new": 1}',
        b'{"path": "\xff"}',
        b"[" * 200_000,
        b'{"path": ' + b"[" * 200_000,
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_a_bad_body_is_refused_with_a_sentence(server: Any, runtime: Any, body: bytes) -> None:
    reply = await server.ask("POST", "sessions", body)
    assert (reply.status, reply.body["code"]) == (400, "bad_request")
    assert reply.body["message"].endswith("`docs/protocol.md` says what is.")
    assert {asked[0] for asked in runtime.asked} <= {"health"}


async def test_what_a_later_version_adds_to_a_body_is_ignored(server: Any, runtime: Any) -> None:
    assert (await server.ask("POST", "sessions", {"path": "/w", "colour": "red"})).status == 200
    assert (await server.ask("GET", f"chats/{runtime.chat.id}/entries?colour=red")).status == 200


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=1.5", "limit=0", "limit=1001", "before=-2", "after=99999999999999999999", "after="],
)
async def test_a_bad_query_is_refused_with_a_sentence(server: Any, runtime: Any, query: str) -> None:
    reply = await server.ask("GET", f"chats/{runtime.chat.id}/entries?{query}")
    assert (reply.status, reply.body["code"]) == (400, "invalid_option")


@pytest.mark.parametrize("path", ["", "work", "./work", "../work", "-rf", "C:work"])
async def test_a_path_that_could_be_anywhere_is_refused(server: Any, path: str) -> None:
    reply = await server.ask("POST", "sessions", {"path": path})
    assert (reply.status, reply.body["code"]) == (400, "bad_path")


async def test_a_prompt_whose_id_is_none_is_refused(server: Any, runtime: Any) -> None:
    reply = await server.ask("POST", f"chats/{runtime.chat.id}/prompts", {"id": "../x", "text": "hi"})
    assert (reply.status, reply.body["code"]) == (400, "bad_request")


async def test_a_body_that_no_prompt_could_fill_is_too_long(server: Any, runtime: Any) -> None:
    path, limit = f"chats/{runtime.chat.id}/prompts", server.extension.body_limit()
    reply = await server.ask("POST", path, b" " * (limit + 1))
    assert (reply.status, reply.body["code"]) == (413, "prompt_too_long")
    longest = {"id": new_id(), "text": "\x01" * 900_000}
    assert (await server.ask("POST", path, longest)).status == 202


def test_every_error_has_a_status() -> None:
    assert set(STATUS) == set(errors.by_code())


@pytest.mark.parametrize("code", sorted(STATUS))
async def test_an_error_of_the_runtime_comes_with_its_status_code_and_sentence(
    server: Any, runtime: Any, code: str
) -> None:
    runtime.fails = errors.from_code(code, "Something is wrong: mend it.")
    reply = await server.ask("GET", "sessions")
    assert (reply.status, reply.body) == (STATUS[code], {"code": code, "message": "Something is wrong: mend it."})


async def test_what_broke_unexpectedly_is_in_the_log_and_not_in_the_answer(
    server: Any, runtime: Any, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.fails = ZeroDivisionError("the secret of /home/alice")
    reply = await server.ask("GET", "sessions")
    code, message = REFUSALS[500]
    assert (reply.status, reply.body) == (500, {"code": code, "message": message})
    assert "the secret of /home/alice" in caplog.text


async def test_an_address_that_is_not_a_route_is_the_servers_own_404(server: Any) -> None:
    assert (await server.ask("GET", "nothing")).status == 404
    assert (await server.ask("GET", "chats/")).status == 404
