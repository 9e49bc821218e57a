"""Bytes and values: JSON, format version 1; what is not known survives a round trip.

The closed union is decoded in one typed pass. Only where that fails, because a newer version or a broken agent wrote a
body that this one does not know, are the bodies taken apart one by one, and those become `Unknown`.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any, TypeVar, cast

import msgspec

from coder_nb.core.entries import AnyBody, Body, Entry, Page, Raw, Unknown

FORMAT = 1
"""The version of the export format and of stored bodies."""

T = TypeVar("T")
KINDS: frozenset[str] = frozenset(str(cls.__struct_config__.tag) for cls in Body.__subclasses__())
_SET_ASIDE = "\0unknown"


def _hook(value: object) -> object:
    if isinstance(value, Unknown):
        return msgspec.Raw(value.data)
    raise TypeError(f"cannot encode {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_hook)
_bodies = msgspec.json.Decoder(cast("type[AnyBody]", AnyBody))


@functools.cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("type[Any]", kind))


def encode(value: object) -> bytes:
    """Any value of the core as JSON. Lone surrogates become U+FFFD, so that JSON of ours is always valid UTF-8."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_scrub(msgspec.to_builtins(value, enc_hook=_hook)))


def decode_body(data: bytes) -> AnyBody | Unknown:
    """A body from its bytes; one of an unknown kind, or of a shape this version does not know, becomes `Unknown`."""
    try:
        return _bodies.decode(data)
    except msgspec.ValidationError:
        return Unknown(kind=_kind_of(msgspec.json.decode(data)), data=data)


def decode(data: bytes | str, kind: type[T]) -> T:
    """A value of a type that may hold entries, from its bytes; their bodies as in `decode_body`.

    Raises `msgspec.MsgspecError` where it is no such value, whatever its bodies are.
    """
    try:
        return cast("T", _decoder(cast("Hashable", kind)).decode(data))
    except msgspec.ValidationError:
        aside: list[Unknown] = []
        value = msgspec.convert(_set_aside(msgspec.json.decode(data), aside), kind)
        return cast("T", _put_back(value, aside))


def _kind_of(body: Any) -> str:
    return str(body.get("kind", "")) if isinstance(body, dict) else ""


def _set_aside(value: Any, aside: list[Unknown]) -> Any:
    """Builtins with each body that is not understood replaced by a mark that leads to it."""
    if isinstance(value, list):
        return [_set_aside(v, aside) for v in value]
    if not isinstance(value, dict):
        return value
    body = value.get("body")
    if isinstance(body, dict) and "chat_id" in value:
        try:
            msgspec.convert(body, cast("type[AnyBody]", AnyBody))
        except msgspec.ValidationError:
            aside.append(Unknown(kind=_kind_of(body), data=msgspec.json.encode(body)))
            return value | {"body": {"kind": "raw", "source": _SET_ASIDE, "data": len(aside) - 1}}
        return value
    return {k: _set_aside(v, aside) for k, v in value.items()}


def _put_back(value: Any, aside: list[Unknown]) -> Any:
    if isinstance(value, Entry):
        body = value.body
        if isinstance(body, Raw) and body.source == _SET_ASIDE:
            return msgspec.structs.replace(value, body=aside[body.data])
        return value
    if isinstance(value, Page):
        return msgspec.structs.replace(value, entries=tuple(_put_back(e, aside) for e in value.entries))
    if isinstance(value, tuple | list):
        return type(value)(_put_back(v, aside) for v in value)
    page = getattr(value, "page", None)
    return msgspec.structs.replace(value, page=_put_back(page, aside)) if isinstance(page, Page) else value


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_scrub(k): _scrub(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(v) for v in value]
    return value
