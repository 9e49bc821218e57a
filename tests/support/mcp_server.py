"""An MCP server over stdio with one tool, `shout`; run by its path, by any Python, with nothing installed."""

from __future__ import annotations

import json
import sys
from typing import Any

WORDS = {"type": "object", "properties": {"words": {"type": "string"}}, "required": ["words"]}


def answer(method: str, given: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a request; None where there is no such method."""
    if method == "initialize":
        known = {"tools": {}}
        server = {"name": "loud", "version": "1"}
        return {"protocolVersion": given["protocolVersion"], "capabilities": known, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [{"name": "shout", "description": "Says it loudly", "inputSchema": WORDS}]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": given["arguments"]["words"].upper()}]}
    return {} if method == "ping" else None


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:  # a notification
            continue
        result = answer(request.get("method", ""), request.get("params") or {})
        outcome = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **outcome}), flush=True)


if __name__ == "__main__":
    main()
