"""The smallest value of a type, as JSON, so that a walk over all routes has a body for each without a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from coder_nb.ids import new_id

WORDS: dict[str, Callable[[], str]] = {"path": lambda: "/work", "id": new_id}
"""What stands in a required field of that name, where not every text will do."""


def smallest(kind: Any) -> Any:
    """The smallest JSON that can be read as a type: required fields only, nothing in lists, null where it may be."""
    return _smallest(inspect.type_info(kind), "")


def texts(kind: Any) -> Iterator[tuple[str, Callable[[str], Any]]]:
    """The fields of a struct that hold texts, with what makes the JSON of the struct that holds one there."""
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        return
    for field in info.fields:
        for place, wrap in _texts(field.type):
            yield f"{field.name}{place}", _with(kind, field.encode_name, wrap)


def _with(kind: Any, name: str, wrap: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: smallest(kind) | {name: wrap(text)}


def _texts(info: inspect.Type) -> Iterator[tuple[str, Callable[[str], Any]]]:
    match info:
        case inspect.StrType():
            yield "", lambda text: text
        case inspect.UnionType():
            for each in info.types:
                yield from _texts(each)
        case inspect.VarTupleType() | inspect.ListType():
            for place, wrap in _texts(info.item_type):
                yield f"[]{place}", lambda text, wrap=wrap: [wrap(text)]
        case inspect.DictType():
            yield "{}", lambda text: {text: _smallest(info.value_type, "")}
            for place, wrap in _texts(info.value_type):
                yield f"{{}}{place}", lambda text, wrap=wrap: {"x": wrap(text)}


def _smallest(info: inspect.Type, name: str) -> Any:
    match info:
        case inspect.StructType():
            tag = {} if info.tag is None else {str(info.tag_field): info.tag}
            return tag | {
                field.encode_name: _smallest(field.type, field.name) for field in info.fields if field.required
            }
        case inspect.StrType():
            return WORDS.get(name, lambda: "x" * max(info.min_length or 1, 1))()
        case inspect.IntType() | inspect.FloatType():
            return info.ge or 0
        case inspect.BoolType():
            return False
        case inspect.LiteralType():
            return info.values[0]
        case inspect.DictType():
            return {}
        case inspect.UnionType():
            return None if info.includes_none else _smallest(info.types[0], name)
        case inspect.VarTupleType() | inspect.ListType() | inspect.SetType() | inspect.FrozenSetType():
            return []
        case inspect.NoneType() | inspect.AnyType() | inspect.RawType():
            return None
        case inspect.Metadata():
            return _smallest(info.type, name)
    raise NotImplementedError(f"what the smallest {info} is: say it here")


def answer(kind: Any) -> Any:
    """The smallest value itself."""
    return msgspec.convert(smallest(kind), kind)
