"""What is sent for a prompt: its text or command, its files, mode and model; pure."""

from __future__ import annotations

import base64
from collections.abc import Collection
from pathlib import Path
from typing import Any

from coder_nb.backends.base import Asked, McpServer
from coder_nb.core.entries import Attachment

Body = dict[str, Any]


def files(attachments: Collection[Attachment], cwd: Path) -> list[Body]:
    """The parts of what is carried along: bytes as they are, a path as the server reads it."""
    return [
        {
            "type": "file",
            "mime": one.mime_type,
            "filename": one.name,
            "url": (cwd / one.path).as_uri()
            if one.path is not None
            else f"data:{one.mime_type};base64,{base64.b64encode(one.data or b'').decode()}",
        }
        for one in attachments
    ]


def body(
    asked: Asked, cwd: Path, *, message_id: str | None, agent: str, model: str | None, effort: str | None = None
) -> Body:
    """A prompt as `prompt_async` takes it."""
    made: Body = {
        "messageID": message_id,
        "parts": [{"type": "text", "text": asked.text}, *files(asked.attachments, cwd)],
    }
    if agent:
        made["agent"] = agent
    if model is not None:
        provider, _, name = model.partition("/")
        made["model"] = {"providerID": provider, "modelID": name}
    if effort is not None:
        made["variant"] = effort
    return made


def command(asked: Asked, cwd: Path, known: Collection[str], whole: Body) -> Body | None:
    """The same as `command` takes it, where the user's words are a command of the server's; else None."""
    name, _, arguments = asked.user_text.strip().removeprefix("/").partition(" ")
    if not asked.user_text.lstrip().startswith("/") or name not in known:
        return None
    made: Body = {"messageID": whole["messageID"], "command": name, "arguments": arguments.strip()}
    if "agent" in whole:
        made["agent"] = whole["agent"]
    if "model" in whole:
        made["model"] = f"{whole['model']['providerID']}/{whole['model']['modelID']}"
    if "variant" in whole:
        made["variant"] = whole["variant"]
    if asked.attachments:
        made["parts"] = files(asked.attachments, cwd)
    return made


def preface(asked: Asked) -> str:
    """What stands before the user's own words: what others said since, which a command has no room for."""
    return asked.text.removesuffix(asked.user_text).strip()


def mcp(servers: Collection[McpServer]) -> Body:
    """The user's own MCP servers, as the configuration names them."""
    return {
        server.name: {
            "type": "local",
            "command": list(server.command),
            "environment": server.env,
            "enabled": True,
        }
        if server.command
        else {"type": "remote", "url": server.url, "headers": server.headers, "enabled": True}
        for server in servers
    }
