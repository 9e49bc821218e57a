"""A link to a runtime in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from coder_nb.client.chat import Chat
from coder_nb.client.link import Link
from coder_nb.client.portal import Portal
from coder_nb.client.session import Session
from coder_nb.testing.memory_runtime import MemoryRuntime, Play, echo
from coder_nb.widgets.screen import Notebook


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal("test")
    yield portal
    portal.close()


@pytest.fixture
def open_chat(portal: Portal) -> Callable[..., Chat]:
    """A chat whose turns are played by a function, with the notebook's screen."""

    def open_one(play: Play = echo) -> Chat:
        runtime = MemoryRuntime(play)
        link = Link(portal, runtime, portal.run(runtime.health), "kernel", Notebook())
        return Session(link, portal.run(runtime.open_session, "/repo")).main

    return open_one
