"""A model on loopback that speaks Anthropic's protocol and says exactly what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Request = dict[str, Any]
_NOTES = ("<system-reminder>", "[Request interrupted")
"""How what Claude adds to the user's words begins."""


@dataclass(frozen=True)
class Say:
    """One answer: thinking, text in parts with a pause before each, calls of tools.

    `tokens` are fresh input, read from the cache, written to it, and output.
    """

    parts: tuple[str, ...] = ()
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    thinking: str = ""
    pause: float = 0.0
    tokens: tuple[int, int, int, int] = (100, 300, 20, 25)
    status: int = 200
    stop: str = ""


@dataclass
class AnthropicModel:
    """What it was asked, and what it answers."""

    answer: Callable[[Request], Say]
    url: str = ""
    asked: list[Request] = field(default_factory=list)
    counted: list[tuple[int, int, int, int]] = field(default_factory=list)
    """The tokens of each answer that was heard to its end."""
    _ids: Iterator[int] = field(default_factory=itertools.count)
    _open: set[asyncio.Task[Any]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                _, _, rest = head.partition("content-length:")
                body = await reader.readexactly(int(rest.split("\r\n")[0]) if rest else 0)
                if head.startswith("post /v1/messages?") or head.startswith("post /v1/messages "):
                    await self._messages(json.loads(body), writer)
                else:
                    _whole(writer, 200 if "count_tokens" in head else 404, {"input_tokens": 10})
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _messages(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.asked.append(request)
        say = self.answer(request)
        if say.status != 200:
            _whole(writer, say.status, {"type": "error", "error": {"type": "api_error", "message": "".join(say.parts)}})
            return
        if not request.get("stream"):  # as to see whether there is such a model
            self.counted.append(say.tokens)
            _whole(writer, 200, _answer(say, request["model"], next(self._ids)))
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for event in _events(say, request["model"], next(self._ids)):
            if event["type"] == "content_block_delta" and "text" in event["delta"] and say.pause:
                await asyncio.sleep(say.pause)
            data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        self.counted.append(say.tokens)


def _events(say: Say, model: str, number: int) -> Iterator[dict[str, Any]]:
    fresh, read, written, out = say.tokens
    usage = {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": model, "content": []}
    start = {**message, "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if say.thinking:
        deltas = [{"type": "thinking_delta", "thinking": say.thinking}, {"type": "signature_delta", "signature": "s"}]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if say.parts:
        texts = [{"type": "text_delta", "text": part} for part in say.parts]
        blocks.append(({"type": "text", "text": ""}, texts))
    for at, (name, given) in enumerate(say.calls):
        call = {"type": "tool_use", "id": f"toolu_{number}_{at}", "name": name, "input": {}}
        blocks.append((call, [{"type": "input_json_delta", "partial_json": json.dumps(given)}]))
    for index, (block, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = say.stop or ("tool_use" if say.calls else "end_turn")
    delta = {"stop_reason": stop, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": out}}
    yield {"type": "message_stop"}


def _answer(say: Say, model: str, number: int) -> dict[str, Any]:
    """An answer that is not streamed."""
    fresh, read, written, out = say.tokens
    usage = {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    content = [{"type": "text", "text": "".join(say.parts)}]
    head = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": model, "content": content}
    return {**head, "stop_reason": "end_turn", "stop_sequence": None, "usage": {**usage, "output_tokens": out}}


def _whole(writer: asyncio.StreamWriter, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


def said(request: Request) -> str:
    """What the user said last, without what Claude adds to it."""
    return next(reversed(prompts(request)), "")


def results(request: Request) -> str:
    """The results of tools since the model's last answer; empty where there are none."""
    last = itertools.takewhile(lambda message: message["role"] != "assistant", reversed(request["messages"]))
    blocks = [block for message in last if isinstance(message["content"], list) for block in message["content"]]
    return "\n".join(json.dumps(block.get("content")) for block in blocks if block.get("type") == "tool_result")


def notified(request: Request) -> bool:
    """Whether Claude tells the model that a task in the background has ended, and nothing else happened since."""
    return "<task-notification>" in json.dumps(request["messages"][-1]["content"])


def prompts(request: Request) -> list[str]:
    """All that the user has said, as the model sees it."""
    return [text for message in request["messages"] if message["role"] == "user" for text in _texts(message["content"])]


def _texts(content: str | list[dict[str, Any]]) -> list[str]:
    parts = [content] if isinstance(content, str) else [b.get("text", "") for b in content if b.get("type") == "text"]
    return [part.strip() for part in parts if part.strip() and not part.startswith(_NOTES)]


@asynccontextmanager
async def anthropic_model(answer: Callable[[Request], Say]) -> AsyncIterator[AnthropicModel]:
    """A model that runs until the block ends."""
    model = AnthropicModel(answer)
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield model
    finally:
        server.close()
        for task in list(model._open):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*model._open, return_exceptions=True)
        await asyncio.sleep(0)  # a connection that was aborted closes at the loop's next round
