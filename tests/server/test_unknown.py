"""Over the wire, too, whoever asks about a chat or a session that does not exist is told so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from server.test_remote import reach
from support.smallest import smallest
from support.unknown import ABOUT, said_of_nothing, verbs

from coder_nb.core.verbs import Verbs
from coder_nb.ids import new_id
from coder_nb.runtime import Runtime
from coder_nb.settings import Settings
from jupyter_extension.routes import ROUTES


@pytest.fixture
def opening(tmp_path: Path) -> Callable[[], Awaitable[Verbs]]:
    settings = Settings(database=str(tmp_path / "store.sqlite"))
    return lambda: Runtime.open(settings, label="the server of a test")


class Unknown(dict[str, str]):
    """What stands in a path: ids that could be."""

    def __missing__(self, name: str) -> str:
        return new_id()


async def test_every_route_answers_with_404(server: Any) -> None:
    routes = [route for route in ROUTES if any(f"{{{name}}}" in route.path for name in ABOUT)]
    assert len(routes) > 40
    for route in routes:
        body, query = route.kind_of("body"), route.kind_of("query")
        path = route.path.format_map(Unknown()) + ("" if query is None else f"?{urlencode(smallest(query))}")
        reply = await server.ask(route.method, path, None if body is None else smallest(body))
        said = reply.body
        assert (reply.status, said["code"]) == (404, "not_found"), (route.method, route.path, said)
        assert said["message"].endswith("."), said


async def test_every_verb_of_a_client_says_so(server: Any) -> None:
    remote = await reach(server)
    for name in verbs():
        assert (await said_of_nothing(remote, name)).endswith("."), name
    await remote.close()
