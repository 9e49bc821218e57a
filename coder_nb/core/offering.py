"""The rules that may be made: which are offered with a permission, and which are refused; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from coder_nb.core import shell
from coder_nb.core.deeds import Deed
from coder_nb.core.entries import Offer
from coder_nb.core.programs import KEYWORDS, PYTHON, RUNNERS, STARTERS, WITH_PARTS
from coder_nb.core.rules import (
    AnyCovers,
    Commands,
    Edits,
    Line,
    Place,
    Rule,
    Uses,
    commands_in,
    is_whole,
    may_edit,
    relative,
    said,
    shown,
    within_all,
)
from coder_nb.errors import InvalidOption


def forbidding(commands: Iterable[str]) -> tuple[Rule, ...]:
    """The administrator's own rules, from the setting `forbidden_commands`."""
    return tuple(
        Rule(id=f"administrator-{number}", does="deny", scope="everywhere", covers=commands_of(words))
        for number, words in enumerate(commands)
    )


_NEED_PART = frozenset({"git", "npx", "uvx", *(program for program, _ in STARTERS)})
"""Programs that run whatever they are given unless their second word says something else."""
_NAME = re.compile(r"[A-Za-z][\w.:-]*\Z")


def commands_of(text: str) -> Commands:
    """The commands that begin as a text does; raises `InvalidOption` where a text is no plain beginning of one."""
    read = shell.read(text)
    if read is None or len(read) != 1 or not all(word.literal for word in read[0]):
        raise InvalidOption(
            f"{text!r} is no beginning of a command that a rule can be made of: give its first words, without chains, "
            "variables, redirections and wildcards."
        )
    return Commands(tuple(word.text for word in read[0]))


def covers_of(command: str = "", edits: str | None = None, tool: str = "") -> AnyCovers:
    """What a rule is about, as a person names it; raises `InvalidOption` unless it is one thing."""
    named: list[AnyCovers] = []
    if command:
        named.append(commands_of(command))
    if edits is not None:
        named.append(Edits(edits.removeprefix("./")))
    if tool:
        named.append(Uses(tool))
    if len(named) != 1:
        raise InvalidOption("A rule is about one thing: give the beginning of a command, or `edits=`, or `tool=`.")
    return named[0]


def check(rule: Rule) -> None:
    """Raises `InvalidOption` for a rule that would allow what it does not say, or that could never hold."""
    covers = rule.covers
    if isinstance(covers, Commands) and rule.does == "allow" and (found := _too_wide(covers.words)):
        raise InvalidOption(
            f"`{found}` runs whatever it is given, so that this rule would allow everything: allow a whole command "
            "line, or a longer beginning, instead."
        )
    if isinstance(covers, Commands) and not (covers.words and all(covers.words)):
        raise InvalidOption("A rule about commands needs their first words: give at least the program's name.")
    if isinstance(covers, Line) and not (0 < len(covers.line) <= shell.LONGEST):
        raise InvalidOption(f"A rule about one command line takes 1 to {shell.LONGEST} characters: shorten it.")
    if isinstance(covers, Edits) and not _is_below(covers.path):
        raise InvalidOption("A rule about edits takes a path below the project's directory: give it relative to that.")
    if isinstance(covers, Uses) and not covers.tool.strip():
        raise InvalidOption("A rule about a tool needs the tool's name, as the agent calls it.")


def _is_below(path: str) -> bool:
    return not (is_whole(path) or ".." in path.split("/") or "\0" in path)


def _too_wide(words: Sequence[str]) -> str | None:
    """What of these words runs whatever follows them."""
    if (named := tuple(words[:2])) in STARTERS:
        return _too_wide(words[2:]) if words[2:] else " ".join(named)
    program = words[0].rpartition("/")[2] if words else ""
    if program in RUNNERS | KEYWORDS or program.startswith("-"):
        return words[0]
    plain = len(words) > 1 and not words[1].startswith("-")
    module = len(words) > 2 and words[1] in ("-m", "-c")
    if PYTHON.match(program) and not (plain or module):
        return words[0]
    return program if program in _NEED_PART and not plain else None


def offers(deed: Deed, place: Place) -> tuple[tuple[Offer, AnyCovers], ...]:
    """The rules that would answer a deed and its like from now on, the narrowest first."""
    found = [(name, covers) for name, covers in _offers(deed, place) if _is_fine(covers)]
    return tuple((Offer(id=name, label=_short(covers), text=said(covers)), covers) for name, covers in found)


def _is_fine(covers: AnyCovers) -> bool:
    try:
        check(Rule(id="", does="allow", scope="session", covers=covers))
    except InvalidOption:
        return False
    return True


def _offers(deed: Deed, place: Place) -> Iterator[tuple[str, AnyCovers]]:
    if deed.kind == "execute":
        if not within_all(deed.paths, "", place):
            return
        commands = commands_in(deed, place)
        if len(commands) == 1 and (words := _beginning(commands[0])):
            yield "commands", Commands(words)
        if deed.line and len(deed.line) <= shell.LONGEST and "\0" not in deed.line:
            yield "line", Line(deed.line)
    elif deed.kind == "edit":
        files = [relative(path, place) for path in deed.paths]
        if not files or not may_edit(deed.paths, "", place):
            return
        if len(set(files)) == 1 and files[0]:
            yield "file", Edits(files[0])
        folders = {str(path).rpartition("/")[0] for path in files}
        if len(folders) == 1 and (folder := folders.pop()):
            yield "folder", Edits(f"{folder}/")
        yield "edits", Edits()
    elif deed.tool and deed.kind != "switch_mode":
        yield "tool", Uses(deed.tool)


def _beginning(command: shell.Simple) -> tuple[str, ...]:
    """The first words of a command, as many as say what it does; none where they cannot be told."""
    words = [word.text if word.literal else "" for word in command]
    if tuple(words[:2]) in STARTERS:
        rest = _beginning(command[2:])
        return rest and (*words[:2], *rest)
    program = words[0].rpartition("/")[2] if words else ""
    count = 1
    if PYTHON.match(program):
        count = 3 if words[1:2] == ["-m"] else 2
    elif program in WITH_PARTS or program in ("npx", "uvx"):
        count = 2
    first = words[:count]
    if len(first) < count or not all(first):
        return ()
    if program in WITH_PARTS and not _NAME.match(first[-1]):
        return ()
    return tuple(first)


def _short(covers: AnyCovers) -> str:
    match covers:
        case Commands(words=words):
            return f"{shown(words)} …"
        case Line():
            return "this command"
        case Edits(path=path):
            return f"edits of {path or 'all files'}"
        case Uses(tool=tool):
            return tool
