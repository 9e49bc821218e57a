"""The native agent on each wire, over HTTP against a scripted model server that speaks all of them."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support import matrix
from support.history import MemoryHistory
from support.native import turn

from coder_nb.backends.base import AgentSession, Asked, Opening
from coder_nb.backends.events import (
    AnyEvent,
    Done,
    PermissionAsked,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
    UsageReported,
)
from coder_nb.backends.native.backend import NativeBackend
from coder_nb.backends.registry import registry
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.testing import real_agents
from coder_nb.warm.process import Keeper

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CALL = {"name": "write_file", "arguments": {"path": "hello.txt", "content": "hi\n"}}
USAGE = [{"prompt_tokens": 1000, "completion_tokens": 30}, {"prompt_tokens": 1100, "completion_tokens": 10}]
SCRIPT: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "make hello", "hasToolResult": False},
        "response": {"reasoning": "A plan.", "content": "Writing it.", "toolCalls": [CALL], "usage": USAGE[0]},
    },
    {"match": {"hasToolResult": True}, "response": {"content": "Done.", "usage": USAGE[1]}},
    {"match": {"userMessage": "talk"}, "response": {"content": "word " * 100}, "latency": 100, "chunkSize": 5},
    *real_agents.otherwise(),
]


def script(model: str) -> list[dict[str, Any]]:
    """The scripted server ends a Gemini answer with a call by a word that Gemini does not have, unless told to."""
    if not model.startswith("google"):
        return SCRIPT
    return [{**SCRIPT[0], "response": {**SCRIPT[0]["response"], "finishReason": "stop"}}, *SCRIPT[1:]]


@pytest.fixture(autouse=True)
def programs() -> None:
    try:
        for needed in ("llmock", "node"):
            real_agents.program(needed)
    except real_agents.Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def journal(url: str) -> list[dict[str, Any]]:
    """The bodies that the model was asked with, in order."""
    with urllib.request.urlopen(f"{url}/__aimock/journal", timeout=5) as answer:
        return [item["body"] for item in json.load(answer)]


def said(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@matrix.publishes
@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("openai-chat/gpt-5.6-terra", "/v1"),
        ("openai-responses/gpt-5.6-terra", "/v1"),
        ("anthropic/claude-sonnet-5-5", ""),
        ("google/gemini-3.8-flash", ""),
    ],
)
async def test_a_wire(model: str, path: str, tmp_path: Path) -> None:
    cwd = tmp_path / "work"
    (cwd / ".git").mkdir(parents=True)
    keeper, history = Keeper(new_id()), MemoryHistory()
    with real_agents.scripted_model(tmp_path / "model", script(model)) as scripted:
        settings = Settings(agents={"native": {"model": model, "base_url": scripted.url + path}})
        environ = real_agents.environ(tmp_path / "home")
        backend = NativeBackend(settings, registry(settings.agents), keeper, history, environ=environ)
        opening = Opening(agent="native", chat_id="c", cwd=cwd)
        session = await backend.open(opening, idle_events=lambda event: None)
        try:
            made = await turn(session, "make hello", option="once")
            assert isinstance(made[-1], Done)
            assert made[-1].message == "", made
            assert made[-1].end == "completed"
            assert said(made) == "Writing it.Done."
            assert (cwd / "hello.txt").read_text() == "hi\n"
            assert "".join(event.text for event in made if isinstance(event, ReasoningDelta)) == "A plan."
            assert sum(isinstance(event, PermissionAsked) for event in made) == 1
            assert [e.status for e in made if isinstance(e, ToolUpdate) and e.status][-1] == "completed"
            usage = [event.tokens for event in made if isinstance(event, UsageReported)]
            expected = [(each["prompt_tokens"], each["completion_tokens"]) for each in USAGE]
            assert [(each.input, each.output) for each in usage] == expected
            matrix.hold("own", "native", await matrix.found(backend, "native", session, cwd, usage))
            await _stopped(session)
            await session.close()
            again = await backend.open(
                Opening(agent="native", chat_id="c", cwd=cwd, native_id=session.native_id),
                idle_events=lambda event: None,
            )
            assert again.resumed == "resumed"
            assert said(await turn(again, "and now")) == "Understood."
            last = json.dumps(journal(scripted.url)[-1])
            assert all(part in last for part in ("make hello", "hello.txt is written.", "talk", "and now"))
            await again.close()
        finally:
            await backend.close()
            await keeper.close(1.0)


async def _stopped(session: AgentSession) -> None:
    """A Stop in the middle of an answer."""
    events: list[AnyEvent] = []
    async for event in session.prompt(Asked(text="talk", user_text="talk")):
        events.append(event)
        if isinstance(event, TextDelta):
            await session.cancel()
    assert isinstance(events[-1], Done)
    assert events[-1].end == "cancelled"
    assert 0 < len(said(events)) < 500
