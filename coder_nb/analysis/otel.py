"""Turns, responses and tool calls as OpenTelemetry spans, in OTLP's JSON. Pure.

The names and attributes are those of the semantic conventions for generative AI (`gen_ai.*`, version 1.37):
``invoke_agent`` for a turn, ``chat`` for a response and ``execute_tool`` for a call, each below the turn it belongs to,
a session being one trace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SCOPE = "coder_nb"
CLIENT, INTERNAL = 3, 1
OK, ERROR = 1, 2
_PROVIDERS = {"google": "gcp.gemini", "vertex": "gcp.vertex_ai", "bedrock": "aws.bedrock", "azure": "azure.ai.openai"}


class Span(NamedTuple):
    """One span, before it is written."""

    key: str
    trace: str
    parent: str | None
    name: str
    kind: int
    begin: int
    """Milliseconds since the epoch."""
    end: int
    failed: bool
    attributes: Mapping[str, Any]


def spans(turns: Iterable[Any], usage: Iterable[Any], calls: Iterable[Any]) -> Iterator[Span]:
    """The spans of rows of the frames (as named tuples); what has no time is left out."""
    known: dict[str, Span] = {}
    for row in turns:
        if (span := _turn(row)) is not None:
            known[str(row.turn_id)] = span
            yield span
    for row in usage:
        if (span := _response(row, known)) is not None:
            yield span
    for row in calls:
        if (span := _call(row, known)) is not None:
            yield span


def document(found: Iterable[Span], version: str) -> dict[str, Any]:
    """All of it as one OTLP request (`ExportTraceServiceRequest`)."""
    resource = {"attributes": _attributes({"service.name": "coder-nb", "service.version": version})}
    scope = {"name": SCOPE, "version": version}
    return {
        "resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [_json(s) for s in found]}]}]
    }


def _turn(row: Any) -> Span | None:
    begin = _millis(row.started)
    if begin is None:
        return None
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": row.agent,
        "gen_ai.conversation.id": row.session_id,
        "gen_ai.usage.input_tokens": row.input_tokens,
        "gen_ai.usage.output_tokens": row.output_tokens,
        "coder_nb.cost_usd": row.cost_usd,
        "coder_nb.project": row.project,
    }
    failed = _known(row.state) in ("failed", "interrupted", "refused", "limited")
    end = _millis(row.ended) or begin
    return Span(
        f"turn {row.turn_id}",
        row.session_id,
        None,
        f"invoke_agent {row.agent}",
        INTERNAL,
        begin,
        end,
        failed,
        attributes,
    )


def _response(row: Any, turns: Mapping[str, Span]) -> Span | None:
    begin = _millis(row.time)
    if begin is None:
        return None
    provider = _known(row.provider)
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(str(provider), provider),
        "gen_ai.request.model": row.model,
        "gen_ai.response.model": row.model,
        "gen_ai.response.id": row.response_id,
        "gen_ai.conversation.id": row.session_id,
        "gen_ai.usage.input_tokens": row.context_tokens,
        "gen_ai.usage.output_tokens": row.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": row.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": row.cache_write_tokens,
        "coder_nb.cost_usd": row.cost_usd,
        "coder_nb.cost_source": row.cost_source,
    }
    seconds = _known(row.seconds)
    end = begin + int((seconds or 0) * 1000)
    name = f"chat {row.model}" if _known(row.model) else "chat"
    return Span(
        f"response {row.response_id}",
        row.session_id,
        _parent(row, begin, turns),
        name,
        CLIENT,
        begin,
        end,
        False,
        attributes,
    )


def _call(row: Any, turns: Mapping[str, Span]) -> Span | None:
    begin = _millis(row.time)
    if begin is None:
        return None
    failed = _known(row.status) == "failed"
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": row.original_name or row.tool,
        "gen_ai.tool.call.id": row.call_id,
        "gen_ai.conversation.id": row.session_id,
        "error.type": "tool_error" if failed else None,
    }
    seconds = _known(row.seconds)
    end = _millis(row.ended) or begin + int((seconds or 0) * 1000)
    key, name = f"call {row.call_id}", f"execute_tool {row.original_name or row.tool}"
    return Span(key, row.session_id, _parent(row, begin, turns), name, INTERNAL, begin, end, failed, attributes)


def _parent(row: Any, begin: int, turns: Mapping[str, Span]) -> str | None:
    """The turn that a row belongs to: the one it names, else the one of its session in whose time it lies."""
    named = turns.get(str(row.turn_id))
    if named is not None:
        return named.key
    within = (turn.key for turn in turns.values() if turn.trace == row.session_id and turn.begin <= begin <= turn.end)
    return next(within, None)


def _json(span: Span) -> dict[str, Any]:
    made: dict[str, Any] = {
        "traceId": _id(span.trace, 16),
        "spanId": _id(span.key, 8),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.begin * 1_000_000),
        "endTimeUnixNano": str(max(span.begin, span.end) * 1_000_000),
        "attributes": _attributes(span.attributes),
        "status": {"code": ERROR if span.failed else OK},
    }
    if span.parent is not None:
        made["parentSpanId"] = _id(span.parent, 8)
    return made


def _attributes(given: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in given.items() if _known(value) is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, float):
        return {"doubleValue": float(value)}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"intValue": str(int(value))}


def _id(text: str, size: int) -> str:
    return hashlib.sha256(str(text).encode("utf-8", "replace")).hexdigest()[: 2 * size]


def _known(value: Any) -> Any:
    import pandas as pd

    return None if value is None or pd.isna(value) else value


def _millis(value: Any) -> int | None:
    known = _known(value)
    return None if known is None else round(known.timestamp() * 1000)
