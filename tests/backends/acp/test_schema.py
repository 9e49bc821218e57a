"""What we say and what we understand, held to the schema of the protocol's own SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import acp.schema as schema
import pytest
from pydantic import BaseModel, TypeAdapter

from coder_nb.backends.acp import translate
from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.acp.state import State
from coder_nb.backends.base import Asked, ForkOf, McpServer
from coder_nb.backends.events import PermissionAsked, QuestionAsked, RawReceived, TextDelta
from coder_nb.backends.processes import Child, Spawner
from coder_nb.backends.registry import registry
from coder_nb.core.entries import Attachment
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent

RECORDINGS = sorted((Path(__file__).parents[2] / "recordings" / "acp").glob("*.jsonl"))
SENT: dict[str, Any] = {
    "initialize": schema.InitializeRequest,
    "authenticate": schema.AuthenticateRequest,
    "session/new": schema.NewSessionRequest,
    "session/load": schema.LoadSessionRequest,
    "session/resume": schema.ResumeSessionRequest,
    "session/fork": schema.ForkSessionRequest,
    "session/list": schema.ListSessionsRequest,
    "session/close": schema.CloseSessionRequest,
    "session/set_mode": schema.SetSessionModeRequest,
    "session/set_config_option": schema.SetSessionConfigOptionSelectRequest,
    "session/prompt": schema.PromptRequest,
    "session/cancel": schema.CancelNotification,
}
ANSWERED: dict[str, Any] = {
    "session/request_permission": schema.RequestPermissionResponse,
    "fs/read_text_file": schema.ReadTextFileResponse,
    "fs/write_text_file": schema.WriteTextFileResponse,
    "terminal/create": schema.CreateTerminalResponse,
    "terminal/output": schema.TerminalOutputResponse,
    "terminal/wait_for_exit": schema.WaitForTerminalExitResponse,
    "terminal/kill": schema.KillTerminalResponse,
    "terminal/release": schema.ReleaseTerminalResponse,
    "elicitation/create": schema.AcceptElicitationResponse | schema.DeclineElicitationResponse,
}
UNSTABLE = {"plan_update", "plan_removed"}


class Spy:
    """A spawner that keeps every frame, both ways."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self.sent: list[dict[str, Any]] = []
        self.heard = bytearray()

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Child:
        child: Any = await self._spawner.spawn(argv, cwd=cwd, env=env, name=name)
        read, write = child.read, child.write

        async def hear(limit: int = 65536) -> bytes:
            data: bytes = await read(limit)
            self.heard.extend(data)
            return data

        async def say(data: bytes) -> None:
            self.sent.append(json.loads(data))
            await write(data)

        child.read, child.write = hear, say
        return child  # type: ignore[no-any-return]


def fits(model: Any, value: Any) -> None:
    """Whether a model takes a value, and knows each of its fields."""
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    found = adapter.validate_python(value)
    assert adapter.dump_python(found, by_alias=True, mode="json", exclude_unset=True) == value


async def everything(world: Any, spy: Spy) -> None:
    """Has us say whatever we can say."""
    entry = scripted_agent.entry(auth=True, mcp=["http", "sse"]) | {"options": {"effort": "high"}}
    entry["env"]["SCRIPTED_KEY"] = "k"
    made = Settings(agents={"scripted": entry}, stop_grace=1.0)
    backend = AcpBackend(made, registry(made.agents), spy, environ={"PATH": "/usr/bin:/bin", "HOME": str(world.home)})
    servers = (
        McpServer(name="a", command=("sh",), env={"K": "v"}),
        McpServer(name="b", url="http://127.0.0.1/", headers={"H": "v"}),
        McpServer(name="c", url="http://127.0.0.1/", transport="sse"),
    )
    session = await backend.open(world.opening(mcp_servers=servers), idle_events=world.idle.append)
    attached = (
        Attachment(name="a.png", mime_type="image/png", data=b"png"),
        Attachment(name="a.txt", data=b"text"),
        Attachment(name="a.bin", mime_type="application/x", data=b"\xff"),
        Attachment(name="b.txt", path="b.txt"),
    )
    read = f"call fs/read_text_file {json.dumps({'path': str(world.cwd / 'a.txt')})}"
    kill = 'call terminal/kill {"terminalId": "$T"}'
    made_terminal = 'call terminal/create {"command": "sleep", "args": ["600"]}'
    text = "\n".join(["put a.txt hello", read, "shell exit 3", made_terminal, kill, "choose a, b", "choose c", "hang"])
    asked = Asked(text=text, user_text=text, model="large", attachments=attached)
    replies: list[tuple[str, ...] | None] = [None, ("b",)]
    async for event in session.prompt(asked):
        if isinstance(event, PermissionAsked):
            await session.answer(event.request_id, event.options[0].id)
        elif isinstance(event, QuestionAsked):
            await session.reply(event.request_id, replies.pop())
        elif isinstance(event, TextDelta) and "cline" in event.text:
            await session.cancel()
    native_id = str(session.native_id)
    await session.close()
    again = await backend.open(world.opening(native_id=native_id), idle_events=world.idle.append)
    await again.close()
    fork = await backend.open(world.opening(fork=ForkOf(native_id=native_id)), idle_events=world.idle.append)
    await fork.close()
    assert await backend.native_sessions("scripted", world.cwd)
    assert [event async for event in backend.told("scripted", native_id, world.cwd)]


@pytest.mark.anyio
async def test_all_that_we_say_is_in_the_schema(world: Any) -> None:
    spy = Spy(world.keeper)
    await everything(world, spy)
    heard = [json.loads(line) for line in spy.heard.splitlines()]
    methods = {frame["id"]: frame["method"] for frame in heard if "method" in frame and "id" in frame}
    said: set[str] = set()
    for frame in spy.sent:
        if "method" in frame:
            said.add(frame["method"])
            fits(SENT[frame["method"]], frame["params"])
        elif "result" in frame:
            said.add(methods[frame["id"]])
            fits(ANSWERED[methods[frame["id"]]], frame["result"])
    assert said == {*SENT, *ANSWERED}


def kinds_of_update() -> set[str]:
    union = schema.SessionNotification.model_fields["update"].annotation
    models = [one for one in get_args(union) if isinstance(one, type) and issubclass(one, BaseModel)]
    return {get_args(model.model_fields["session_update"].annotation)[0] for model in models}


def test_every_kind_of_update_is_understood() -> None:
    kinds = kinds_of_update()
    assert len(kinds) > 10
    assert set(translate._UPDATES) == kinds - UNSTABLE


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_what_agents_say_within_the_schema_is_all_understood(file: Path) -> None:
    state = State(agent=file.stem)
    for line in file.read_text().splitlines():
        frame = json.loads(line)
        message = frame["m"]
        if frame["dir"] != "incoming" or message.get("method") != "session/update":
            continue
        schema.SessionNotification.model_validate(message["params"])
        events = translate.update(state, message["params"])
        assert not any(isinstance(event, RawReceived) for event in events), message
