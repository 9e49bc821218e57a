"""What a tool's input tells of the file and the command that it is about, whatever the agent calls them."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from coder_nb.core.tools import first_word


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


_decode = msgspec.json.Decoder(Input).decode
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
        command=first_word(command),
        lines_added=None if after is None and before is None else _lines(after),
        lines_removed=None if after is None and before is None else _lines(before),
    )._asdict()


def _lines(text: str | None) -> int:
    return 0 if not text else text.count("\n") + (not text.endswith("\n"))
