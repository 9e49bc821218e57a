"""What goes out with a prompt and with a new session, in the forms that the agent takes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from coder_nb.backends.base import McpServer
from coder_nb.core.entries import Attachment

Block = dict[str, Any]
_LARGEST_PICTURE = 10 * 1024 * 1024


def prompt(text: str, attachments: Iterable[Attachment], *, cwd: Path, images: bool, files: bool) -> list[Block]:
    """The blocks of a prompt: its text, and each attachment as the agent takes it, else as the path that it has.

    What has neither a path nor a form that the agent takes is said to be left out, so that the model knows.
    """
    return [{"type": "text", "text": text}, *(_block(one, cwd, images, files) for one in attachments)]


def _block(one: Attachment, cwd: Path, images: bool, files: bool) -> Block:
    picture = one.mime_type.startswith("image/")
    if picture and images and one.data is not None:
        return {"type": "image", "data": base64.b64encode(one.data).decode(), "mimeType": one.mime_type}
    if one.path is not None:  # every agent takes these
        uri = (cwd / one.path).as_uri()
        return {"type": "resource_link", "uri": uri, "name": one.name, "mimeType": one.mime_type}
    text = None if picture or one.data is None else _text(one.data)
    if files and not picture and one.data is not None:
        held = {"blob": base64.b64encode(one.data).decode()} if text is None else {"text": text}
        resource = {"uri": f"attachment:///{one.name}", "mimeType": one.mime_type, **held}
        return {"type": "resource", "resource": resource}
    if text is not None:
        return {"type": "text", "text": f"The attached file {one.name} holds:\n\n{text}"}
    return {"type": "text", "text": f"(The attached {one.name}, {one.mime_type}, could not be handed over to you.)"}


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def mcp_servers(
    servers: Iterable[McpServer], transports: frozenset[str], find: Callable[[str], str]
) -> tuple[list[Block], list[str]]:
    """The servers that the agent takes, as it wants them, and the names of those that it does not.

    Commands are taken by every agent, and are given by the path at which `find` sees them.
    """
    taken: list[Block] = []
    refused: list[str] = []
    for server in servers:
        if server.command:
            program, *args = server.command
            taken.append({"name": server.name, "command": find(program), "args": args, "env": _pairs(server.env)})
        elif server.transport in transports:
            place = {"type": server.transport, "name": server.name, "url": server.url}
            taken.append({**place, "headers": _pairs(server.headers)})
        else:
            refused.append(server.name)
    return taken, refused


def _pairs(table: dict[str, str]) -> list[Block]:
    return [{"name": name, "value": value} for name, value in table.items()]


def with_pictures(attachments: Iterable[Attachment], cwd: Path) -> tuple[Attachment, ...]:
    """Attachments with the bytes of those pictures that are files and not too large: a model sees no path."""
    return tuple(_picture(one, cwd) for one in attachments)


def _picture(one: Attachment, cwd: Path) -> Attachment:
    if one.path is None or one.data is not None or not one.mime_type.startswith("image/"):
        return one
    place = cwd / one.path
    try:
        if place.stat().st_size > _LARGEST_PICTURE:
            return one
        return msgspec.structs.replace(one, data=place.read_bytes())
    except OSError:
        return one
