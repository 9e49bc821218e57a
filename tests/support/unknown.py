"""Asks every verb about a chat, or a session, that does not exist."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

from support.smallest import answer

from coder_nb.core import entries
from coder_nb.core.verbs import Verbs
from coder_nb.errors import NotFound
from coder_nb.ids import new_id

ABOUT = {"chat_id", "session_id"}
_NAMES = {**vars(entries), **vars(inspect.getmodule(Verbs))}


def verbs() -> list[str]:
    """The verbs that are about a chat or a session."""
    return [name for name, verb in vars(Verbs).items() if inspect.isfunction(verb) and ABOUT & set(_fields(verb))]


async def said_of_nothing(asked: Verbs, name: str) -> str:
    """What a verb says where there is no such chat or session; raises where it does not say that."""
    verb = getattr(Verbs, name)
    kinds = get_type_hints(verb, _NAMES)
    given = {
        field: new_id() if field.endswith("_id") else answer(kinds[field])
        for field, parameter in _fields(verb).items()
        if parameter.default is parameter.empty or field in ABOUT
    }
    try:
        found = getattr(asked, name)(**given)
        found = await anext(found) if inspect.isasyncgen(found) else await found
    except NotFound as error:
        return error.message
    raise AssertionError(f"{name} answers {found!r} of what does not exist")


def _fields(verb: Any) -> dict[str, inspect.Parameter]:
    return {name: field for name, field in inspect.signature(verb).parameters.items() if name != "self"}
