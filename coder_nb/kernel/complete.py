"""Completion of `%coder` and `%%coder`: commands, options, agents and modes, and the agents' own slash commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from IPython.core.completer import SimpleCompletion, context_matcher

from coder_nb.core.permissions import MODES
from coder_nb.errors import CoderError
from coder_nb.kernel.options import OPTIONS

COMMANDS = (
    "agents", "attention", "audit", "changes", "retry", "rules", "session", "sessions", "status", "stop", "usage",
)  # fmt: skip


IDENTIFIER = "coder_nb"


def matcher(agents: Callable[[], Sequence[str]], commands: Callable[[str], Sequence[str]]) -> Any:
    """A matcher as IPython's completer takes it; it asks for the agents' names once.

    `commands` gives the slash commands for a cell that begins with a line.
    """
    names: list[str] = []

    def match(context: Any) -> dict[str, Any]:
        if (slash := slash_of(context.full_text, context.cursor_line, context.line_with_cursor)) is not None:
            offered = _ask(lambda: commands(context.full_text.split("\n", 1)[0]), [])
            fits = [SimpleCompletion(text=f"/{name}", type="magic") for name in offered if name.startswith(slash)]
            return {"completions": fits, "matched_fragment": f"/{slash}", "suppress": True, "ordered": True}
        line = context.line_with_cursor[: context.cursor_position]
        words = line.split()
        begun = "" if not words or line[-1:].isspace() else words.pop()
        found = fitting(words, lambda: names or _ask(agents, names), first_line=context.cursor_line == 0, begun=begun)
        if found is None:
            return {"completions": [], "suppress": False}
        fits = [SimpleCompletion(text=word, type="magic") for word in found if word.startswith(begun)]
        return {"completions": fits, "matched_fragment": begun, "suppress": True, "ordered": True}

    return context_matcher(identifier=IDENTIFIER)(match)


def slash_of(text: str, line: int, with_cursor: str) -> str | None:
    """What is typed of a slash command, which begins the body of a `%%coder` cell; None where none is typed."""
    lines = text.split("\n")
    word = with_cursor
    begins_body = lines[0].startswith("%%coder") and line > 0 and not any(each.strip() for each in lines[1:line])
    return word[1:] if begins_body and word.startswith("/") and not word[-1:].isspace() and " " not in word else None


def fitting(
    words: Sequence[str], agents: Callable[[], Sequence[str]], *, first_line: bool, begun: str
) -> Sequence[str] | None:
    """What may follow the words before the cursor; None where the line is none of ours."""
    if list(words) == ["%coder"]:
        return COMMANDS
    if words[:1] != ["%%coder"] or not first_line:
        return None
    if words[-1] == "--mode":
        return MODES
    if words[-1] in ("--chat", "--model", "--session"):
        return ()
    options = tuple(option for option in OPTIONS if option not in words)
    return options if len(words) > 1 or begun.startswith("-") else (*agents(), *options)


def _ask(agents: Callable[[], Sequence[str]], names: list[str]) -> list[str]:
    try:
        names[:] = agents()
    except CoderError:
        names.clear()  # whatever is wrong is said when the cell is run, not while it is typed
    return names
