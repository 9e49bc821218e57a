"""A model on loopback that speaks every protocol that agents speak, and knows to the token what it said was used."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Event = tuple[str, dict[str, Any]]
_NOISE = re.compile(r"<([a-z_-]+)>.*?</\1>", re.S)


@dataclass(frozen=True)
class Used:
    """What one answer used."""

    fresh: int
    cached: int
    output: int
    reasoning: int
    written: int = 0
    """Written to a cache, by models that tell it."""
    number: int = 0
    """By which the answer's ids are told from all others."""

    @property
    def row(self) -> tuple[int, int, int]:
        """As a frame has it: fresh input, cached input, all output."""
        return self.fresh, self.cached, self.output


@dataclass(frozen=True)
class Say:
    """An answer: a text, a call, or nothing that ever ends."""

    text: str = ""
    call: tuple[str, dict[str, Any]] | None = None
    endless: bool = False
    used: Used | None = None
    """What it used, where the figures are to be other ones."""
    seconds: float = 0.0
    """How long it takes."""


@dataclass(frozen=True)
class Asked:
    """What an agent wants to know."""

    said: str
    """What the user said last."""
    has_result: bool
    """Whether a tool's result has come since then."""
    tools: frozenset[str]
    size: int = 0
    """Characters of all that the model is given."""


Answer = Callable[[Asked], Say]


@dataclass(frozen=True)
class Call:
    """An answer that was given to its end."""

    asked: Asked
    used: Used


@dataclass
class EveryModel:
    """A model that runs, and its journal."""

    answer: Answer
    url: str = ""
    journal: list[Call] = field(default_factory=list)
    begun: int = 0
    endless: list[Used] = field(default_factory=list)
    """What the answers would have used that were never to end."""
    streams: threading.Event = field(default_factory=threading.Event)
    """Set when such an answer is under way."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def use(self) -> Used:
        """Figures by which each answer can be told from all others."""
        with self._lock:
            self.begun += 1
            number = self.begun
        return Used(1000 + number, 500 + 3 * number, 60 + 2 * number, 10 + number, number=1000 + number)


@contextlib.contextmanager
def every_model(answer: Answer) -> Iterator[EveryModel]:
    """Runs it until the block ends."""
    model = EveryModel(answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"model": model}))
    server.daemon_threads = True
    model.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    model: EveryModel
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._whole({"data": [{"id": "scripted-model", "object": "model"}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        request = json.loads(body or b"{}")
        path = self.path.partition("?")[0]
        wire = next((wire for ending, wire in _WIRES.items() if path.endswith(ending)), None)
        if wire is None:
            self._whole({"input_tokens": 10, "totalTokens": 10})
            return
        asked, used = replace(wire.asked(request), size=len(body)), self.model.use()
        say = self.model.answer(asked)
        used = replace(say.used, number=used.number) if say.used else used
        streams = request.get("stream") or "stream" in path.lower()
        with contextlib.suppress(ConnectionError):
            if streams:
                self._stream(wire, say, used, str(request.get("model")))
            else:
                self._whole(wire.whole(say, used, str(request.get("model"))))
            self.model.journal.append(Call(asked, used))

    def _stream(self, wire: _Wire, say: Say, used: Used, model: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.send_header("request-id", f"req_{used.number}")
        self.end_headers()
        for name, event in wire.events(say, used, model):
            data = event if isinstance(event, str) else json.dumps(event)
            self.wfile.write((f"event: {name}\n" * bool(name) + f"data: {data}\n\n").encode())
            self.wfile.flush()
            if "wait" in event:
                time.sleep(say.seconds)
            if say.endless and "wait" in event:
                self.model.endless.append(used)
                self.model.streams.set()
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline:  # until whoever listens goes away
                    self.wfile.write(b": still here\n\n")
                    self.wfile.flush()
                    time.sleep(0.05)
        self.close_connection = True

    def _whole(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Wire:
    """One protocol."""

    @staticmethod
    def asked(request: dict[str, Any]) -> Asked:
        raise NotImplementedError

    @staticmethod
    def events(say: Say, used: Used, model: str) -> Iterator[tuple[str, Any]]:
        raise NotImplementedError

    @staticmethod
    def whole(say: Say, used: Used, model: str) -> Any:
        raise NotImplementedError


def _last(messages: Sequence[tuple[bool, str]]) -> tuple[str, bool]:
    """Of messages, whether each is a tool's result and what it says: the last words, and whether a result followed."""
    result = False
    for is_result, text in reversed(messages):
        plain = _NOISE.sub("", text).strip()
        if is_result:
            result = True
        elif plain:
            return plain, result
    return "", result


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part.get("text") or "" for part in parts if isinstance(part, dict))


class _Chat(_Wire):
    @staticmethod
    def asked(request: dict[str, Any]) -> Asked:
        messages = [
            (m["role"] == "tool", _text(m.get("content"))) for m in request["messages"] if m["role"] in ("user", "tool")
        ]
        tools = frozenset(tool["function"]["name"] for tool in request.get("tools") or ())
        return Asked(*_last(messages), tools)

    @staticmethod
    def usage(used: Used) -> dict[str, Any]:
        given = used.fresh + used.cached
        return {
            "prompt_tokens": given,
            "completion_tokens": used.output,
            "total_tokens": given + used.output,
            "prompt_tokens_details": {"cached_tokens": used.cached},
            "completion_tokens_details": {"reasoning_tokens": used.reasoning},
        }

    @staticmethod
    def message(say: Say) -> dict[str, Any]:
        if say.call is None:
            return {"role": "assistant", "content": say.text or "Well."}
        function = {"name": say.call[0], "arguments": json.dumps(say.call[1])}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"index": 0, "id": f"call_{time.monotonic_ns()}", "type": "function", "function": function}],
        }

    @staticmethod
    def events(say: Say, used: Used, model: str) -> Iterator[tuple[str, Any]]:
        base = {
            "id": f"chatcmpl-{used.number}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        yield "", base | {"choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": "Hm."}}]}
        yield "", base | {"choices": [{"index": 0, "delta": _Chat.message(say)}], "wait": True}
        reason = "tool_calls" if say.call else "stop"
        yield "", base | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
        yield "", base | {"choices": [], "usage": _Chat.usage(used)}
        yield "", "[DONE]"

    @staticmethod
    def whole(say: Say, used: Used, model: str) -> Any:
        choice = {"index": 0, "message": _Chat.message(say), "finish_reason": "stop"}
        return {
            "id": f"chatcmpl-{used.number}",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [choice],
            "usage": _Chat.usage(used),
        }


class _Responses(_Wire):
    @staticmethod
    def asked(request: dict[str, Any]) -> Asked:
        given = (
            request["input"] if isinstance(request["input"], list) else [{"role": "user", "content": request["input"]}]
        )
        messages = [
            (str(item.get("type", "")).endswith("_output"), _text(item.get("content")))
            for item in given
            if item.get("role") == "user" or str(item.get("type", "")).endswith("_output")
        ]
        tools = frozenset(str(tool.get("name", tool.get("type"))) for tool in request.get("tools") or ())
        return Asked(*_last(messages), tools)

    @staticmethod
    def response(say: Say, used: Used, model: str, status: str) -> dict[str, Any]:
        given = used.fresh + used.cached
        usage = {
            "input_tokens": given,
            "input_tokens_details": {"cached_tokens": used.cached},
            "output_tokens": used.output,
            "output_tokens_details": {"reasoning_tokens": used.reasoning},
            "total_tokens": given + used.output,
        }
        done = status == "completed"
        return {
            "id": f"resp_{used.number}",
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
            "status": status,
            "output": [_Responses.item(say, used)] if done else [],
            "usage": usage if done else None,
        }

    @staticmethod
    def item(say: Say, used: Used) -> dict[str, Any]:
        if say.call is not None:
            return {
                "type": "function_call",
                "id": f"fc_{used.number}",
                "call_id": f"call_{used.number}",
                "status": "completed",
                "name": say.call[0],
                "arguments": json.dumps(say.call[1]),
            }
        part = {"type": "output_text", "text": say.text or "Well.", "annotations": []}
        return {
            "type": "message",
            "id": f"msg_{used.number}",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }

    @staticmethod
    def events(say: Say, used: Used, model: str) -> Iterator[tuple[str, Any]]:
        def event(kind: str, **more: Any) -> tuple[str, dict[str, Any]]:
            return kind, {"type": kind, **more}

        item = _Responses.item(say, used)
        yield event("response.created", response=_Responses.response(say, used, model, "in_progress"))
        yield event("response.output_item.added", output_index=0, item=item | {"status": "in_progress"}, wait=True)
        if say.call is None:
            where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
            yield event("response.output_text.delta", delta=say.text or "Well.", **where)
        yield event("response.output_item.done", output_index=0, item=item)
        yield event("response.completed", response=_Responses.response(say, used, model, "completed"))

    @staticmethod
    def whole(say: Say, used: Used, model: str) -> Any:
        return _Responses.response(say, used, model, "completed")


class _Anthropic(_Wire):
    @staticmethod
    def asked(request: dict[str, Any]) -> Asked:
        messages: list[tuple[bool, str]] = []
        for message in request["messages"]:
            if message["role"] != "user":
                continue
            content = message["content"]
            for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
                messages.append((part.get("type") == "tool_result", part.get("text") or ""))
        return Asked(*_last(messages), frozenset(tool["name"] for tool in request.get("tools") or ()))

    @staticmethod
    def message(say: Say, used: Used, model: str) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": say.text or "Well."}
        if say.call is not None:
            block = {"type": "tool_use", "id": f"toolu_{used.number}", "name": say.call[0], "input": say.call[1]}
        usage = {
            "input_tokens": used.fresh,
            "cache_read_input_tokens": used.cached,
            "cache_creation_input_tokens": used.written,
        }
        return {
            "id": f"msg_{used.number}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [block],
            "stop_reason": "tool_use" if say.call else "end_turn",
            "stop_sequence": None,
            "usage": usage | {"output_tokens": used.output},
        }

    @staticmethod
    def events(say: Say, used: Used, model: str) -> Iterator[tuple[str, Any]]:
        whole = _Anthropic.message(say, used, model)
        start = whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}}
        yield "message_start", {"type": "message_start", "message": start}
        [block] = whole["content"]
        empty = block | ({"text": ""} if say.call is None else {"input": {}})
        yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": empty, "wait": True}
        delta = {"type": "text_delta", "text": block.get("text")}
        if say.call is not None:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": 0}
        last = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield "message_delta", {"type": "message_delta", "delta": last, "usage": {"output_tokens": used.output}}
        yield "message_stop", {"type": "message_stop"}

    @staticmethod
    def whole(say: Say, used: Used, model: str) -> Any:
        return _Anthropic.message(say, used, model)


class _Gemini(_Wire):
    @staticmethod
    def asked(request: dict[str, Any]) -> Asked:
        messages = [
            ("functionResponse" in part, part.get("text") or "")
            for content in request["contents"]
            if content.get("role") in ("user", "function", None)
            for part in content.get("parts") or ()
        ]
        tools = (one for tool in request.get("tools") or () for one in tool.get("functionDeclarations") or ())
        return Asked(*_last(messages), frozenset(one["name"] for one in tools))

    @staticmethod
    def whole(say: Say, used: Used, model: str) -> Any:
        part: dict[str, Any] = {"text": say.text or "Well."}
        if say.call is not None:
            part = {"functionCall": {"name": say.call[0], "args": say.call[1]}}
        given = used.fresh + used.cached
        usage = {
            "promptTokenCount": given,
            "cachedContentTokenCount": used.cached,
            "candidatesTokenCount": used.output - used.reasoning,
            "thoughtsTokenCount": used.reasoning,
            "totalTokenCount": given + used.output,
        }
        candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": "gemini-2.5-pro",
            "responseId": f"r{used.number}",
        }

    @staticmethod
    def events(say: Say, used: Used, model: str) -> Iterator[tuple[str, Any]]:
        if say.endless:
            part = {"role": "model", "parts": [{"text": "Well"}]}
            yield "", {"candidates": [{"index": 0, "content": part}], "wait": True}
        yield "", _Gemini.whole(say, used, model)


_WIRES: dict[str, type[_Wire]] = {
    "/chat/completions": _Chat,
    "/responses": _Responses,
    "/v1/messages": _Anthropic,
    ":streamGenerateContent": _Gemini,
    ":generateContent": _Gemini,
}
