"""Elicitations: an agent's form as questions to the user, and the answers as what the form holds; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coder_nb.backends.acp.state import as_text
from coder_nb.backends.events import QuestionAsked
from coder_nb.core.entries import Choice, Value

_CUSTOM = "_custom"
"""How agents name the field beside a choice that takes an answer in the user's own words."""
_YES, _NO = "yes", "no"
_DONE, _DECLINED = "done", "declined"


class Field(Value):
    """One field of a form: the question that it is."""

    name: str
    kind: str
    text: str
    choices: tuple[Choice, ...] = ()
    multiple: bool = False
    custom: str | None = None
    """The field that takes what is none of the choices; None where nothing else is taken."""

    def asked(self, request_id: str, text: str, call_id: str | None) -> QuestionAsked:
        return QuestionAsked(
            request_id=request_id,
            text=text,
            choices=self.choices,
            multiple=self.multiple,
            custom=not self.choices or self.custom is not None,
            call_id=call_id,
        )


def fields(params: Mapping[str, Any]) -> tuple[Field, ...]:
    """What an `elicitation/create` asks; raises `ValueError` where it is not understood."""
    try:
        message = as_text(params["message"])
        if params.get("mode") == "url":
            choices = (Choice(id=_DONE, label="Done"), Choice(id=_DECLINED, label="Decline"))
            return (Field(name="", kind="url", text=f"{message}\n\n{as_text(params['url'])}", choices=choices),)
        properties: dict[str, dict[str, Any]] = params["requestedSchema"]["properties"]
        customs = {name for name in properties if name.endswith(_CUSTOM) and name.removesuffix(_CUSTOM) in properties}
        shown = [(name, schema) for name, schema in properties.items() if name not in customs]
        return tuple(_field(name, schema, message, len(shown), name + _CUSTOM in customs) for name, schema in shown)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an elicitation: {error!r}") from error


def _field(name: str, schema: dict[str, Any], message: str, count: int, custom: bool) -> Field:
    kind = as_text(schema["type"])
    items = schema["items"] if kind == "array" else schema
    if kind == "boolean":
        choices: tuple[Choice, ...] = (Choice(id=_YES, label="Yes"), Choice(id=_NO, label="No"))
    else:
        choices = tuple(_choice(one) for one in items.get("oneOf") or items.get("anyOf") or items.get("enum") or ())
    own = str(schema.get("description") or schema.get("title") or name)
    return Field(
        name=name,
        kind=kind,
        text=(message or own) if count == 1 else f"{message}\n\n{own}" if message else own,
        choices=choices,
        multiple=kind == "array",
        custom=name + _CUSTOM if custom else None,
    )


def _choice(one: Any) -> Choice:
    if isinstance(one, str):
        return Choice(id=one, label=one)
    label = str(one.get("title") or one["const"])
    return Choice(id=as_text(one["const"]), label=label, description=str(one.get("description") or ""))


def declines(field: Field, answer: tuple[str, ...]) -> bool:
    """Whether an answer says that the user does not go where the agent sends her."""
    return field.kind == "url" and answer != (_DONE,)


def filled(field: Field, answer: tuple[str, ...]) -> dict[str, Any]:
    """What an answer puts into the form; raises `ValueError` where it does not fit its field."""
    if field.kind == "url":
        return {}
    known = {choice.id for choice in field.choices}
    picked = [word for word in answer if word in known]
    own = " ".join(word for word in answer if word not in known)
    if field.choices and own and field.custom is None:
        raise ValueError(f"{own!r} is none of the choices")
    content: dict[str, Any] = {}
    if field.choices and own:
        content[str(field.custom)] = own
    if field.multiple and (picked or not field.choices):
        content[field.name] = picked if field.choices else list(answer)
    elif field.choices and picked:
        content[field.name] = picked[0] == _YES if field.kind == "boolean" else picked[0]
    elif not field.choices and answer:
        content[field.name] = _value(field.kind, own)
    return content


def _value(kind: str, text: str) -> Any:
    if kind == "integer":
        return int(text)
    return float(text) if kind == "number" else text
