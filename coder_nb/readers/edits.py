"""What a tool's input tells of the file and the command that it is about, whatever the agent calls them."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from coder_nb.core.tools import first_word
from coder_nb.readers.lines import shared


class Input(Struct, gc=False):
    """The arguments of the agents' tools that edit files and run commands, of all of them together."""

    command: str | list[str] | None = None
    cmd: str | None = None
    old_string: str | None = None
    new_string: str | None = None
    oldString: str | None = None
    newString: str | None = None
    content: str | None = None


class Told(NamedTuple):
    """As fields of a `ToolUse`."""

    command: str | None = None
    lines_added: int | None = None
    lines_removed: int | None = None


class Change(Struct, gc=False):
    """What a patch did to one file; early versions put it under the name of its type."""

    type: str = ""
    content: str | None = None
    unified_diff: str | None = None
    add: Change | None = None
    delete: Change | None = None
    update: Change | None = None


_decode = msgspec.json.Decoder(Input).decode
_changes = msgspec.json.Decoder(dict[str, Change]).decode
_NOTHING = Told()


def told(raw: Raw | bytes | str) -> dict[str, Any]:
    """What an input tells; nothing where it is of another shape."""
    try:
        given = _decode(raw)
    except (msgspec.MsgspecError, UnicodeError):
        return _NOTHING._asdict()
    before, after = given.old_string or given.oldString, given.new_string or given.newString
    if before is None and after is None:
        after = given.content
    command = given.command if given.command is not None else given.cmd
    return Told(
        command=shared(first_word(command)),
        lines_added=None if after is None and before is None else _lines(after),
        lines_removed=None if after is None and before is None else _lines(before),
    )._asdict()


def changed(raw: Raw) -> dict[str, Any]:
    """What a patch did, as fields of a `ToolUse`; nothing where it is not told.

    The lines are those of all its files; of several files, the path is the folder that holds them.
    """
    try:
        changes = _changes(raw)
        path = os.path.commonpath(changes)
    except (msgspec.MsgspecError, ValueError):  # it is of another shape, empty, or here and there
        return {}
    added = removed = 0
    for change in changes.values():
        kind = next((name for name in ("add", "delete", "update") if getattr(change, name)), change.type)
        one: Change = getattr(change, kind, None) or change
        added += _lines(one.content) if kind == "add" else _begin_with("+", one.unified_diff)
        removed += _lines(one.content) if kind == "delete" else _begin_with("-", one.unified_diff)
    return {"path": path, "lines_added": added, "lines_removed": removed}


def _begin_with(sign: str, diff: str | None) -> int:
    """The lines of a diff with a sign; those before its first hunk name the files."""
    hunks = (diff or "").partition("@@")[2]
    return sum(line.startswith(sign) for line in hunks.split("\n"))


def _lines(text: str | None) -> int:
    return 0 if not text else text.count("\n") + (not text.endswith("\n"))
