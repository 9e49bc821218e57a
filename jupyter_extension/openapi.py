"""The routes as an OpenAPI document, made from the table and the functions' signatures.

``python -m jupyter_extension.openapi`` writes it to `rest-api.yml`; a test holds the file to it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from coder_nb.core.stream import PROTOCOL, ChangesFrame, DeltaFrame, Hello, PageFrame, StateFrame
from jupyter_extension.base import KEY, REQUEST_ID, STATUS, Route
from jupyter_extension.routes import ROUTES, STREAM
from jupyter_extension.websocket import Attend, StreamQuery

FILE = Path(__file__).with_name("rest-api.yml")
FRAMES = Hello | PageFrame | DeltaFrame | StateFrame | ChangesFrame


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was not done."""

    code: str
    """A word of `coder_nb.errors`."""
    message: str
    """One sentence that ends with the cure."""


def document() -> dict[str, Any]:
    """The whole document, as plain values."""
    kinds = [
        kind for route in ROUTES for kind in (route.kind_of("body"), route.answer) if kind not in (None, type(None))
    ]
    kinds += [FRAMES, Attend, Refusal]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault("/" + route.path, {})[route.method.lower()] = _operation(route, schema_of)
    paths["/" + STREAM] = {"get": _stream(schema_of)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "coder-nb", "version": str(PROTOCOL), "description": "See `docs/protocol.md`."},
        "servers": [{"url": "/coder-nb/api/v1", "description": "Below the Jupyter server's base URL."}],
        "security": [{"jupyter": []}, {"kernel": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {"Refused": _json(schema_of[Refusal], _statuses())},
            "securitySchemes": {
                "jupyter": {"type": "apiKey", "in": "header", "name": "Authorization", "description": _JUPYTER},
                "kernel": {"type": "http", "scheme": "bearer", "description": "The token of the connection file."},
            },
        },
    }


_JUPYTER = "Jupyter's identity: its token, as `token <token>`, or the cookie of a login with the `X-XSRFToken` header."


def _operation(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    answer = {"description": "Done."} if route.answer is type(None) else _json(schema_of[route.answer], "Done.")
    operation: dict[str, Any] = {
        "operationId": route.call.__name__,
        "description": f"The caller may `{route.may}`.",
        "parameters": [*_ids(route.path), *_query(route.kind_of("query"))],
        "responses": {str(route.status): answer, "default": {"$ref": "#/components/responses/Refused"}},
    }
    if (body := route.kind_of("body")) is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": schema_of[body]}}}
    return operation


def _stream(schema_of: dict[Any, Any]) -> dict[str, Any]:
    return {
        "operationId": "stream",
        "description": "A WebSocket: frames one way, signs of life the other. The caller may `read`.",
        "parameters": [*_ids(STREAM), *_query(StreamQuery)],
        "responses": {
            "101": {"description": "Frames follow.", "x-sends": schema_of[FRAMES], "x-takes": schema_of[Attend]},
            "default": {"$ref": "#/components/responses/Refused"},
        },
    }


def _ids(path: str) -> list[dict[str, Any]]:
    shape = {"request_id": REQUEST_ID.pattern, "key": KEY.pattern}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{shape.get(name, '[a-z0-9]{26}')}$"},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query(kind: Any) -> list[dict[str, Any]]:
    if kind is None:
        return []
    shape = msgspec.json.schema(kind)["$defs"][kind.__name__]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in shape["properties"].items()]


def _json(schema: Any, description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _statuses() -> str:
    by_status: dict[int, list[str]] = {}
    for code, status in STATUS.items():
        by_status.setdefault(status, []).append(code)
    said = "; ".join(f"{status}: {', '.join(codes)}" for status, codes in sorted(by_status.items()))
    return f"Refused, with a code and a sentence. {said}. A runtime that could not open: 503, with its cause."


def text() -> str:
    """The document as it stands in the file."""
    import yaml  # type: ignore[import-untyped]  # it comes with the server, its types do not

    head = "# Made by `python -m jupyter_extension.openapi` from routes.py; do not edit.\n"
    # Through JSON, so that what occurs twice is written twice.
    dumped: str = yaml.safe_dump(json.loads(json.dumps(document())), sort_keys=False, allow_unicode=True, width=120)
    return head + dumped


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
