"""The user's own MCP servers: from the setting to values; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from coder_nb.backends.base import McpServer
from coder_nb.errors import InvalidOption

_FIELDS = ("command", "args", "env", "url", "type", "headers")


def servers(given: Mapping[str, Mapping[str, Any]] | None) -> tuple[McpServer, ...]:
    """What `settings.mcp_servers` names, in the form that the configuration files of most agents have.

    Such as ``{"docs": {"command": "npx", "args": ["docs-mcp"]}, "search": {"url": "https://..."}}``. A server with a
    url is spoken to by HTTP, or as its ``type`` says, which may be ``sse``. Raises `InvalidOption`, naming the server.
    """
    return tuple(_server(name, fields) for name, fields in (given or {}).items())


def _server(name: str, fields: object) -> McpServer:
    if not isinstance(fields, Mapping):
        raise InvalidOption(f"mcp_servers.{name} must be a table with a `command`, or with a `url`.")
    if unknown := [field for field in fields if field not in _FIELDS]:
        raise InvalidOption(f"mcp_servers.{name} has no field {unknown[0]!r}: the fields are {', '.join(_FIELDS)}.")
    if bool(fields.get("command")) == bool(fields.get("url")):
        raise InvalidOption(f"mcp_servers.{name} needs a `command` or a `url`, one of them: give the one that it has.")
    command = fields.get("command") or ()
    transport = fields.get("type", "http")
    try:
        return msgspec.convert(
            {
                "name": name,
                "command": [*([command] if isinstance(command, str) else command), *fields.get("args", ())],
                "env": fields.get("env", {}),
                "url": fields.get("url", ""),
                "transport": "http" if transport in ("stdio", "streamable-http") else transport,
                "headers": fields.get("headers", {}),
            },
            McpServer,
        )
    except (msgspec.ValidationError, TypeError) as error:
        text = str(error).replace("$", name)
        raise InvalidOption(f"The setting mcp_servers.{name} is not understood: {text}. Correct that field.") from error
