"""What an agent says is kept within bounds: of what is too long the middle goes, and it says so. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from coder_nb.core.entries import AnyBody, Reasoning, Text, UserMessage

ROOM = 4
"""How many texts of the longest kind one entry has room for together."""
_STEPS = (1, 8, 64, 1024)
_DEPTH = 8
_DEEPEST = 60
_LEFT_OUT = "… left out …"


def cut(text: str, limit: int) -> str:
    """A text of at most `limit` characters, its beginning and end, and between them how much was left out."""
    left = len(text) - limit
    if left <= 0:
        return text
    head = limit // 2
    return f"{text[:head]}\n… {left:,} characters were left out here (`entry_limit`) …\n{text[head + left :]}"


def within(body: AnyBody, limit: int) -> AnyBody:
    """A body whose texts have `limit` characters at most, and `ROOM` times that together; the same where they do.

    What streams goes on in another entry instead (`runtime.recorder`), and a prompt has a bound of its own.
    """
    if isinstance(body, Text | Reasoning | UserMessage) or _size(body) <= limit:
        return body
    for step in _STEPS:
        kept = _shorter(body, limit // step, limit // step, _DEPTH)
        if _size(kept) <= ROOM * limit:
            break
    return kept  # type: ignore[no-any-return]  # a body gives a body


def _size(value: Any, depth: int = _DEEPEST) -> float:
    """How long all texts in a value are together; what is nested too deeply is too long."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, msgspec.Struct):
        value = [getattr(value, name) for name in value.__struct_fields__]
    elif isinstance(value, dict):
        value = [*value, *value.values()]
    if not isinstance(value, list | tuple):
        return 1
    return len(value) + sum([_size(item, depth - 1) for item in value]) if depth else float("inf")


def _shorter(value: Any, longest: int, most: int, depth: int) -> Any:
    """A value with no text longer than `longest`, no more than `most` items in one place, and not nested deeper."""
    if isinstance(value, str):
        return cut(value, longest)
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        kept = {name: _shorter(field, longest, most, depth) for name, field in fields.items()}
        return msgspec.structs.replace(value, **kept)
    if isinstance(value, tuple):  # of values of ours
        return tuple(_shorter(item, longest, most, depth) for item in value[:most])
    if isinstance(value, dict | list) and depth == 0:
        return _LEFT_OUT
    if isinstance(value, dict):
        items = list(value.items())[:most]
        return {cut(str(key), longest): _shorter(item, longest, most // 8, depth - 1) for key, item in items}
    if isinstance(value, list):
        kept_items = [_shorter(item, longest, most // 8, depth - 1) for item in value[:most]]
        return kept_items if len(value) <= most else [*kept_items, _LEFT_OUT]
    return value
