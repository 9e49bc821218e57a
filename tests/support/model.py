"""A model on loopback that speaks OpenAI's protocol and says exactly what a test wants, as fast as it can."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Say:
    """One answer: text in parts, then calls of tools; `hang` never ends it."""

    parts: tuple[str, ...] = ()
    calls: tuple[tuple[str, dict[str, Any] | str], ...] = ()
    usage: tuple[int, int] | None = (100, 10)
    status: int = 200
    finish: str = ""
    hang: bool = False


@dataclass
class ScriptedModel:
    """What it was asked, and what it answers."""

    answer: Callable[[dict[str, Any]], Say]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    said: list[Say] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self.handle(reader, writer))
        self.open.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"POST"):
                    _whole(writer, 200, {"object": "list", "data": []})
                    continue
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                request = json.loads(await reader.readexactly(length))
                self.asked.append(request)
                await self._say(self.answer(request), writer, streaming=bool(request.get("stream")))
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()

    async def _say(self, say: Say, writer: asyncio.StreamWriter, *, streaming: bool) -> None:
        self.said.append(say)
        if say.status != 200:
            said = say.parts[0] if say.parts else "no"
            return _whole(writer, say.status, {"error": {"message": said, "type": "test"}})
        if not streaming:
            message = {"role": "assistant", "content": "".join(say.parts)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return _whole(writer, 200, {**_HEAD, "object": "chat.completion", "choices": [choice]})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for event in _events(say):
            _chunk(writer, f"data: {json.dumps(event)}\n\n".encode())
            await writer.drain()
        if say.hang:
            self.hanging.set()
            await asyncio.Event().wait()
        _chunk(writer, b"data: [DONE]\n\n")
        _chunk(writer, b"")
        await writer.drain()


_HEAD = {"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}


def _whole(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)


def _events(say: Say) -> list[dict[str, Any]]:
    def event(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**_HEAD, "choices": [choice]}

    events = [event({"role": "assistant", "content": part}) for part in say.parts]
    for number, (name, given) in enumerate(say.calls):
        text = given if isinstance(given, str) else json.dumps(given)
        call = {
            "index": number,
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": text},
        }
        events.append(event({"tool_calls": [call]}))
    if say.hang:
        return events
    events.append(event({}, say.finish or ("tool_calls" if say.calls else "stop")))
    if say.usage is not None:
        given_tokens, made = say.usage
        figures = {"prompt_tokens": given_tokens, "completion_tokens": made, "total_tokens": given_tokens + made}
        events.append({**event({}), "choices": [], "usage": figures})
    return events


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def last_said(request: dict[str, Any]) -> str:
    """The last message's text, be it the user's or a tool's."""
    return text_of(request["messages"][-1])


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


@asynccontextmanager
async def scripted_model(answer: Callable[[dict[str, Any]], Say]) -> AsyncIterator[ScriptedModel]:
    """A model that runs until the block ends."""
    model = ScriptedModel(answer)
    server = await asyncio.start_server(model.connected, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield model
    finally:
        server.close()
        for task in model.open:
            task.cancel()
        await asyncio.gather(*model.open, return_exceptions=True)
        await asyncio.sleep(0)  # a connection that was aborted closes at the loop's next round
