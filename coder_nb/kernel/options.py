"""What `%%coder` understands on its first line, and the sentence to say where it does not."""

from __future__ import annotations

import argparse
import shlex
from typing import NamedTuple, NoReturn, cast

from coder_nb.core.permissions import MODES, PermissionMode
from coder_nb.errors import InvalidOption


class Options(NamedTuple):
    """The first line of a `%%coder` cell, understood."""

    agent: str | None
    chat: str
    session: str
    model: str | None
    effort: str | None
    mode: PermissionMode | None
    display: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidOption(f"%%coder: {message}.\n{self.format_usage().strip()}") from None

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise InvalidOption(self.format_help())


def parser() -> argparse.ArgumentParser:
    """The parser of the first line."""
    made = _Parser(prog="%%coder", description="Prompt an agent with the rest of the cell.", add_help=False)
    made.add_argument("agent", nargs="?", help="who takes the turn; by default who took the last one")
    made.add_argument("--chat", default="main", help="the chat's name")
    made.add_argument("--session", default=".", metavar="PATH", help="the directory to work on")
    made.add_argument("--model", help="one of the agent's models")
    made.add_argument("--effort", help="how much the agent thinks, in its own words")
    made.add_argument("--mode", choices=MODES, help="what the agent may do without asking")
    made.add_argument("--no-display", dest="display", action="store_false", help="show nothing while it runs")
    return made


def parse(line: str) -> Options:
    """Reads the first line; raises `InvalidOption` with the usage."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidOption(f"%%coder: {error}; close the quotation.") from error
    found = parser().parse_args(words)
    return Options(
        agent=found.agent,
        chat=found.chat,
        session=found.session,
        model=found.model,
        effort=found.effort,
        mode=cast("PermissionMode | None", found.mode),
        display=found.display,
    )


OPTIONS: tuple[str, ...] = tuple(option for action in parser()._actions for option in action.option_strings)
"""Every option, for completion."""
