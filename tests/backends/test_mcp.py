"""The user's own MCP servers, from the setting to values."""

from __future__ import annotations

from typing import Any

import pytest

from coder_nb.backends import mcp
from coder_nb.backends.base import McpServer
from coder_nb.errors import InvalidOption


def test_a_server_is_a_command_or_an_address() -> None:
    given: dict[str, dict[str, Any]] = {
        "docs": {"command": "npx", "args": ["docs-mcp"], "env": {"KEY": "k"}},
        "lists": {"command": ["uvx", "lists"]},
        "search": {"url": "https://example.org/mcp", "headers": {"Authorization": "Bearer x"}},
        "old": {"type": "sse", "url": "https://example.org/sse"},
    }
    assert mcp.servers(given) == (
        McpServer(name="docs", command=("npx", "docs-mcp"), env={"KEY": "k"}),
        McpServer(name="lists", command=("uvx", "lists")),
        McpServer(name="search", url="https://example.org/mcp", headers={"Authorization": "Bearer x"}),
        McpServer(name="old", url="https://example.org/sse", transport="sse"),
    )
    assert mcp.servers({}) == mcp.servers(None) == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, r"mcp_servers\.mine needs a `command` or a `url`"),
        ({"command": "a", "url": "b"}, "one of them"),
        ({"comand": "a"}, "no field 'comand'"),
        ({"command": "a", "env": {"A": 1}}, "not understood"),
        ({"command": "a", "args": 7}, "not understood"),
        ({"url": "b", "type": "pigeon"}, "not understood"),
        ("npx docs", "must be a table"),
    ],
)
def test_what_is_no_server_is_said_by_name(fields: Any, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        mcp.servers({"mine": fields})
