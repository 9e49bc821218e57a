"""Texts that are no ids, names or paths, in every field of every body, by the real runtime: refused or harmless."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from support.place import make_repository
from support.smallest import smallest, texts

from coder_nb.core.verbs import Verbs
from coder_nb.ids import new_id
from coder_nb.runtime import Runtime
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent
from jupyter_extension.routes import ROUTES, Route

UNRULY = ("../../x", "*", "-rf", "--output=/tmp/x", "a\0b", "a\nb", "", "x" * 10_240)


@pytest.fixture
def opening(tmp_path: Path) -> Callable[[], Awaitable[Verbs]]:
    settings = Settings(
        database=str(tmp_path / "store.sqlite"),
        agents={"scripted": scripted_agent.entry()},
        default_agent="scripted",
        permission_mode="bypass",
    )
    return lambda: Runtime.open(settings, label="the server of a test")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "there" / "work")


async def one_turn(server: Any, chat: str, text: str) -> str:
    """The id of a turn, once it has ended."""
    prompt = new_id()
    socket = await server.connect(f"chats/{chat}/stream")
    await server.ask("POST", f"chats/{chat}/prompts", {"id": prompt, "text": text})
    async with asyncio.timeout(60):
        while "turn_ended" not in str(await server.frame(socket)):
            pass
    return str((await server.ask("GET", f"chats/{chat}/turns")).body[-1]["id"])


def as_it_is(repository: Path) -> list[str]:
    """All that an unruly text could change of a repository, and of the folder that it is in."""
    refs = ("for-each-ref", "refs/heads", "refs/tags", "refs/remotes", "refs/stash")
    asked = (("status", "--porcelain"), refs, ("log", "--format=%H"), ("config", "--list"))
    told = [subprocess.run(["git", *words], cwd=repository, capture_output=True, text=True).stdout for words in asked]
    return [*told, *sorted(str(path) for path in repository.parent.iterdir())]


def with_texts() -> list[Route]:
    """The routes whose bodies hold texts; those that begin turns come last."""
    routes = [route for route in ROUTES if route.kind_of("body") is not None]
    return sorted(routes, key=lambda route: route.path.endswith("prompts"))


def is_sentence(message: str) -> bool:
    return message.endswith(".") and len(message) <= 1000


async def test_no_text_in_any_body_breaks_anything(server: Any, repository: Path, tmp_path: Path) -> None:
    session = (await server.ask("POST", "sessions", {"path": str(repository)})).body["id"]
    chat = (await server.ask("POST", f"sessions/{session}/chats")).body["id"]
    await one_turn(server, chat, "write b.txt hello")
    before = as_it_is(repository)
    ids = {"chat_id": chat, "session_id": session, "request_id": "r1"}
    broken = []
    for route in with_texts():
        for field, body in texts(route.kind_of("body")):
            for text in UNRULY:
                reply = await server.ask(route.method, route.path.format_map(ids), body(text))
                if reply.status >= 500 or (reply.status >= 400 and not is_sentence(reply.body["message"])):
                    broken.append(f"{route.method} {route.path} with {field} = {text[:20]!r}: {str(reply)[:300]}")
    assert not broken, "\n".join(broken)
    assert as_it_is(repository) == before
    assert (await server.ask("GET", "health")).body["status"] == "ok"


async def test_what_nothing_has_as_its_id_is_not_found_or_nothing(server: Any) -> None:
    broken = []
    for route in ROUTES:
        path = re.sub(r"{\w+}", lambda _: new_id(), route.path)
        if path == route.path:
            continue
        query, body = (None if kind is None else smallest(kind) for kind in map(route.kind_of, ("query", "body")))
        reply = await server.ask(route.method, f"{path}?{urlencode(query or {})}", body)
        if reply.body in ([], {"done": False}, b""):
            continue
        if reply.status != 404 or not is_sentence(reply.body["message"]):
            broken.append(f"{route.method} {route.path}: {str(reply)[:300]}")
    assert not broken, "\n".join(broken)
