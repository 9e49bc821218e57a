"""What a permission is about: the command that would be run, or the files that would be written; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from coder_nb.core.entries import Permission, ToolKind
from coder_nb.core.permissions import EDITS
from coder_nb.core.programs import SHELLS


class Deed(NamedTuple):
    """What an agent asks to do, as far as it can be told."""

    kind: ToolKind
    tool: str
    """The agent's own name of its tool; empty where it has none."""
    line: str | None = None
    """The command line, as a shell will read it."""
    argv: tuple[str, ...] | None = None
    """A command without a shell."""
    paths: tuple[str, ...] = ()
    """All files that it would write, move or delete; of a command, the folders that it would run in."""
    said: tuple[str, ...] = ()
    """All texts of the question about a command: one that is not read from it may stand in any of them."""


_BESIDE = frozenset(
    {
        *("description", "explanation", "timeout", "timeout_ms", "timeout_secs", "max_output_tokens", "yield_time_ms"),
        *("run_in_background", "is_background", "background", "login", "tty", "justification"),
        *("call_id", "turn_id", "started_at_ms", "reason", "parsed_cmd"),
        *("available_decisions", "proposed_execpolicy_amendment"),
    }
)
"""What is given beside a command and changes nothing about what runs."""
_FOLDERS = ("cwd", "workdir", "dir_path", "directory")
_SHELL_FLAGS = ("-c", "-lc")
_WHERE_SHELLS_ARE = ("", "/bin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
"""A program of a shell's name that is anywhere else may be the agent's own."""
_FILE_KEY = re.compile(r"path|file(?!_text)|\A(to|from|source|destination)\Z", re.IGNORECASE)


def deed_of(asked: Permission) -> Deed:
    """What a permission is about."""
    given: Mapping[str, Any] = asked.input if isinstance(asked.input, Mapping) else {}
    foreign = "__" in asked.original_name  # a tool of an MCP server, whatever it calls itself
    if foreign:
        return Deed("other", asked.original_name)
    if asked.tool_kind == "execute":
        line, argv = _command(given)
        return Deed("execute", asked.original_name, line, argv, _folders(given), (asked.title, *_texts(given)))
    touches = asked.tool_kind in EDITS
    paths = tuple(dict.fromkeys(_paths(asked, given))) if touches else ()
    return Deed(asked.tool_kind, asked.original_name, paths=paths)


def _command(given: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...] | None]:
    named = [given[key] for key in ("command", "cmd") if key in given]
    if len(named) != 1 or not {*given} <= {"command", "cmd", *_FOLDERS, *_BESIDE}:
        return None, None
    (command,) = named
    if isinstance(command, str):
        return command.strip(), None
    if not isinstance(command, list | tuple) or not command or not all(isinstance(word, str) for word in command):
        return None, None
    program, *rest = command
    folder, _, name = program.rpartition("/")
    if name in SHELLS and folder in _WHERE_SHELLS_ARE and len(rest) == 2 and rest[0] in _SHELL_FLAGS:
        return rest[1].strip(), None
    return None, tuple(command)


def _folders(given: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(given[key]) for key in _FOLDERS if given.get(key))


def _texts(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping):
        for value in given.values():
            yield from _texts(value)
    elif isinstance(given, list | tuple) and all(isinstance(word, str) for word in given):
        yield " ".join(given)
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _texts(value)


def _paths(asked: Permission, given: Mapping[str, Any]) -> Iterator[str]:
    yield from (diff.path for diff in asked.diffs)
    for key, value in given.items():
        if isinstance(value, str) and value and _FILE_KEY.search(key):
            yield value
        elif key == "changes" and isinstance(value, Mapping):
            yield from (str(path) for path in value)
