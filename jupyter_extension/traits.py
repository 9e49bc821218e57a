"""The settings as traits: one for each field, with the field's docstring as its help."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import typing
from typing import Any

import msgspec
from traitlets import Bool, Dict, Enum, Float, Int, List, TraitType, Unicode
from traitlets.config import Configurable

from coder_nb.errors import InvalidOption
from coder_nb.settings import Settings


class Table(Dict):
    """A dictionary that a command line may give as JSON, or as Python."""

    def from_string(self, s: str) -> Any:
        try:
            return json.loads(s)
        except ValueError:
            return super().from_string(s)


def field_docs(struct: type) -> dict[str, str]:
    """The docstrings under a class's fields, by field; without the source, none."""
    try:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    found, body = {}, typing.cast(ast.ClassDef, tree).body
    for field, after in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            found[field.target.id] = inspect.cleandoc(str(ast.literal_eval(after.value)))
    return found


def trait_of(hint: Any, default: Any, doc: str) -> TraitType[Any, Any]:
    """The trait for a field of a type."""
    origin = typing.get_origin(hint)
    trait: TraitType[Any, Any]
    if origin is typing.Literal:
        trait = Enum(typing.get_args(hint), default_value=default, help=doc)
    elif origin is dict:
        trait = Table(default_value=default, help=doc)
    elif origin is tuple:
        trait = List(Unicode(), default_value=list(default), help=doc)
    else:
        simple = {bool: Bool, int: Int, float: Float, str: Unicode}
        trait = simple[hint](default, help=doc)
    return trait.tag(config=True)


def settings_traits() -> dict[str, TraitType[Any, Any]]:
    """A trait for each field of the settings."""
    hints, docs = typing.get_type_hints(Settings), field_docs(Settings)
    defaults = msgspec.to_builtins(Settings())
    return {name: trait_of(hints[name], defaults[name], docs.get(name, "")) for name in Settings.__struct_fields__}


def settings_from(app: Configurable) -> Settings:
    """The settings: what the server's configuration says, else the ``CODER_NB_*`` variables, else the defaults.

    Raises `InvalidOption` where something is not understood.
    """
    configured = {name for section in app.section_names() for name in app.config.get(section, {})}
    given = {name: getattr(app, name) for name in Settings.__struct_fields__ if name in configured}
    try:
        return msgspec.convert(msgspec.to_builtins(Settings.from_environment()) | given, Settings)
    except msgspec.ValidationError as error:
        place = str(error).replace("`$.", "`CoderExtension.")
        raise InvalidOption(f"The server's configuration is not understood ({place}): correct it there.") from error
