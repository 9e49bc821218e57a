"""A link to a runtime in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from coder_nb.client.chat import Chat
from coder_nb.client.link import Link
from coder_nb.client.portal import Portal
from coder_nb.client.session import Session
from coder_nb.testing.memory_runtime import MemoryRuntime, Play, echo


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal("test")
    yield portal
    portal.close()
    assert not asyncio.all_tasks(portal._loop), "a task has no owner"


@pytest.fixture
def open_chat(portal: Portal) -> Iterator[Callable[..., Chat]]:
    """A chat whose turns are played by a function."""

    runtimes: list[MemoryRuntime] = []

    def open_one(play: Play = echo) -> Chat:
        runtimes.append(runtime := MemoryRuntime(play))
        link = Link(portal, runtime, portal.run(runtime.health), "kernel")
        return Session(link, portal.run(runtime.open_session, "/repo")).main

    yield open_one
    for runtime in runtimes:
        portal.run(runtime.close)
