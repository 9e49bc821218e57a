"""What the user has allowed an agent when it asked, so that nobody is asked twice about the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coder_nb.backends.acp.state import Tool
from coder_nb.backends.events import PermissionAsked

_FILES = ("edit", "delete", "move", "other")
_COMMANDS = ("execute", "other")
_LONGEST = 4096


class Grants:
    """Files and commands that were allowed in this turn.

    An agent asks in its own words and then may have us write the file or run the command: the two are brought
    together by the file's real path and by the command's text. Where they cannot be, we ask.
    """

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd
        self._files: set[str] = set()
        self._commands: set[str] = set()

    def begin_turn(self) -> None:
        self._files.clear()
        self._commands.clear()

    def answered(self, asked: PermissionAsked, kind: str, tool: Tool | None) -> None:
        """Takes note of an answer; `kind` is that of the option which was chosen."""
        if not kind.startswith("allow"):
            return
        words = list(_words(asked.input))
        if asked.tool_kind in _FILES:
            self._files |= {self._real(path) for path in (*words, *(diff.path for diff in asked.diffs))}
            self._files |= {self._real(path) for path in (tool.paths if tool else ())}
        if asked.tool_kind in _COMMANDS:
            self._commands |= {*words, asked.title}

    def file(self, place: Path) -> bool:
        return str(place) in self._files

    def command(self, line: str, params: Mapping[str, Any]) -> bool:
        """Whether a command was allowed: by its whole line, or by the line that a shell is given to run."""
        args: list[str] = list(params.get("args") or [])
        lines = {line, args[1]} if len(args) == 2 and args[0] in ("-c", "-lc") else {line}
        return not lines.isdisjoint(self._commands)

    def _real(self, path: str) -> str:
        return os.path.realpath(self._cwd / path)


def _words(given: Any) -> Iterator[str]:
    """The texts in a tool's input that may name something; a command may be a list of words."""
    for value in given.values() if isinstance(given, Mapping) else ():
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            yield " ".join(value)
            yield value[-1]
        elif isinstance(value, str) and len(value) <= _LONGEST and "\0" not in value:
            yield value
