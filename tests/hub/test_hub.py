"""JupyterHub with two users: each has a runtime of their own and nobody else's, and the hub sees when it works."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hub.conftest import ADMIN, API, until
from support.processes import carrying
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from coder_nb.ids import new_id
from jupyter_extension.routes import ROUTES, SHARED, STREAM

BEGIN = """
import coder_nb as cnb
session = cnb.session('work')
turn = session.run('say hello {name}', agent='scripted', mode='bypass', display=False)
print(turn.text)
"""


def addresses() -> Iterator[tuple[str, str]]:
    """Every route, with ids that could be somebody's."""
    for route in ROUTES:
        yield route.method, route.path.format_map(defaultdict(new_id))


def turned_away(url: str, headers: dict[str, str]) -> None:
    """Asserts that no route and no socket under an address lets a caller in."""
    with httpx.Client(headers=headers, timeout=60) as caller:
        for method, path in addresses():
            reply = caller.request(method, url + API + path)
            assert (reply.status_code, reply.json()["code"]) == (403, "forbidden"), (method, path, reply.text)
    for path in (STREAM, SHARED):
        socket = url.replace("http", "ws", 1) + API + path.format(chat_id=new_id())
        with pytest.raises(InvalidStatus) as caught, connect(socket, additional_headers=headers):
            pass
        assert caught.value.response.status_code == 403


def test_each_users_kernels_find_their_own_runtime_and_their_own_sessions(alice: Any, bob: Any) -> None:
    for user in (alice, bob):
        result = user.kernel().run(BEGIN.format(name=user.name))
        assert (result.error, result.stdout) == ("", f"hello {user.name}\n")
    for user in (alice, bob):
        assert {session["path"] for session in user.ask("GET", "sessions")} == {str(user.home / "work")}


def test_no_route_and_no_socket_lets_anybody_else_in(alice: Any, bob: Any) -> None:
    servers_own = bob.process.environ()["JUPYTERHUB_API_TOKEN"]
    for token in (
        bob.token["Authorization"],
        f"token {servers_own}",
        f"Bearer {bob.connection['token']}",
        f"Bearer {servers_own}",
        f"token {ADMIN}",  # may start servers, and not use them
    ):
        turned_away(alice.url, {"Authorization": token})
    turned_away(alice.url, {})
    browser = bob.browser()
    assert browser.get(f"{alice.url}coder-nb/shared").status_code == 403
    turned_away(alice.url, {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)})


def test_a_browser_comes_in_by_the_hubs_login(alice: Any) -> None:
    browser = alice.browser()
    page = browser.get(f"{alice.url}coder-nb/shared")
    assert page.status_code == 200
    assert 'data-base-url="/user/alice/"' in page.text
    assert browser.get(f"{alice.url}{API}sessions").status_code == 200
    foreign = {"Origin": "https://elsewhere.example"}
    assert browser.get(f"{alice.url}{API}sessions", headers=foreign).status_code == 404
    body = {"path": str(alice.home / "work")}
    assert browser.post(f"{alice.url}{API}sessions", json=body).status_code == 403
    [xsrf] = [each.value for each in browser.cookies.jar if each.name == "_xsrf" and each.path == "/user/alice/"]
    reply = browser.post(f"{alice.url}{API}sessions", json=body, headers={"X-XSRFToken": str(xsrf)})
    assert reply.status_code == 200


def test_no_secret_of_the_hub_or_the_server_reaches_an_agent(alice: Any) -> None:
    chat = alice.open_chat()
    alice.turn(chat, alice.prompt(chat, "say here"))
    server = alice.process.environ()
    secret = {server["JUPYTERHUB_API_TOKEN"], alice.connection["token"], ADMIN}
    seen = [process.environ() for process in alice.process.children(recursive=True) if process.environ()]
    agents = [environ for environ in seen if "SCRIPTED_AGENT" in environ]
    assert agents
    for environ in agents:
        assert not [name for name in environ if name.startswith(("JUPYTERHUB_", "JPY_API"))]
        assert not [value for value in environ.values() if any(each in value for each in secret)]


def test_the_hub_sees_that_a_server_works_while_nobody_looks(alice: Any) -> None:
    chat = alice.open_chat()
    prompt = alice.prompt(chat, "hang")
    begun = alice.server["last_activity"]
    # The prompt counts once; what comes later can only be the turn that runs.
    first = until(lambda: (now := alice.server["last_activity"]) > begun and now, "the hub is told of the prompt")
    until(lambda: alice.server["last_activity"] > first, "the hub is told that the server still works")
    alice.ask("POST", f"chats/{chat}/stop")
    assert alice.turn(chat, prompt)["end"] == "cancelled"


def test_a_server_that_the_hub_stops_in_mid_turn_leaves_nothing_and_starts_again(alice: Any) -> None:
    chat = alice.open_chat()
    prompt = alice.prompt(chat, "say begun\ngrandchild\nhang")
    until(lambda: "begun" in alice.said(chat), "the beginning of the turn")
    runtime_id = alice.connection["runtime_id"]
    assert carrying(runtime_id)
    alice.stop()
    assert carrying(runtime_id) == []
    alice.ask_to_start()
    alice.started()
    assert alice.open_chat() == chat
    assert alice.turn(chat, prompt)["end"] == "interrupted"
    assert alice.turn(chat, alice.prompt(chat, "recall"))["end"] == "completed"
    assert "I remember" in alice.said(chat)
