"""What goes out with a prompt, in the forms that Claude takes."""

from __future__ import annotations

import base64
from typing import Any

from coder_nb.backends.base import Asked
from coder_nb.core.entries import Attachment

_PICTURES = ("image/gif", "image/jpeg", "image/png", "image/webp")
"""What the API takes as a picture; it refuses the whole conversation for another one."""


def prompt(asked: Asked) -> str | list[dict[str, Any]]:
    """A prompt: each attachment in a form that Claude takes, else as the path that it has, and the text.

    What has neither is said to be left out, so that the model knows.
    """
    if not asked.attachments:
        return asked.text
    return [*map(_block, asked.attachments), {"type": "text", "text": asked.text}]


def _block(one: Attachment) -> dict[str, Any]:
    if one.data is None:
        return {"type": "text", "text": f"@{one.path or one.name}"}
    source = {"type": "base64", "media_type": one.mime_type, "data": base64.b64encode(one.data).decode("ascii")}
    if one.mime_type in _PICTURES:
        return {"type": "image", "source": source}
    if one.mime_type == "application/pdf":
        return {"type": "document", "source": source, "title": one.name}
    try:
        plain = {"type": "text", "media_type": "text/plain", "data": one.data.decode()}
    except UnicodeDecodeError:
        lost = f"(The attached {one.name}, {one.mime_type}, could not be handed over to you.)"
        return {"type": "text", "text": lost if one.path is None else f"@{one.path}"}
    return {"type": "document", "source": plain, "title": one.name}
