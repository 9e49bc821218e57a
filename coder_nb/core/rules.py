"""Rules by which permissions are answered without asking anyone: what each covers, and what it says; pure.

A rule that allows covers what it says and nothing else: what cannot be read exactly is asked. A rule that forbids is
read the other way: it covers what may be meant. It is a guard against accidents, and no wall, as an agent may write a
program and run it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from coder_nb.core import shell
from coder_nb.core.changes import is_secret
from coder_nb.core.deeds import Deed
from coder_nb.core.entries import Value
from coder_nb.core.permissions import EDITS, PermissionMode, decide
from coder_nb.core.programs import KEYWORDS, RUNNERS, STARTERS

Scope = Literal["session", "project", "everywhere"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""From the narrowest to the widest."""
Does = Literal["allow", "deny"]


class Covers(Value, tag_field="of"):
    """What a rule is about; the subclasses below are the closed union `AnyCovers`."""


class Commands(Covers, tag="commands"):
    """Commands that begin with these words, whatever follows them; of a chain, each command by itself."""

    words: tuple[str, ...]


class Line(Covers, tag="line"):
    """One command line, character by character."""

    line: str


class Edits(Covers, tag="edits"):
    """Edits of a file, or of what is below a folder (``src/``), relative to where the agent works; empty: of any there.

    Never git's own files, nor those whose names say that they hold secrets.
    """

    path: str = ""


class Uses(Covers, tag="uses"):
    """Any use of one tool, by the agent's own name of it."""

    tool: str


AnyCovers = Commands | Line | Edits | Uses


class Rule(Value):
    """What is allowed or forbidden without asking, and where."""

    id: str
    does: Does
    scope: Scope
    covers: AnyCovers
    session_id: str | None = None
    """The session it holds in, where that is its scope."""
    path: str = ""
    """The working directory whose sessions it holds in, where that is its scope."""
    by: str = ""
    created_at: int = 0
    entry_id: str | None = None
    """The permission that was answered with it; None where it was made by itself."""
    revoked_at: int | None = None
    revoked_by: str = ""

    @property
    def text(self) -> str:
        """What it says, for a person."""
        return f"{'allow' if self.does == 'allow' else 'forbid'} {said(self.covers)}, {WHERE[self.scope]}"


_PLAIN = re.compile(r"[\w@%+=:,./-]+\Z")
WHERE: dict[Scope, str] = {"session": "in this session", "project": "in this project", "everywhere": "everywhere"}


class Always(Value):
    """That an answer holds from now on: which of the rules that were offered is made, and where it holds."""

    offer: str
    scope: Scope = "session"


class Place(NamedTuple):
    """Where the agent works."""

    root: str
    """The real path of its directory, with ``/``."""
    real: Callable[[str], str]
    """Gives a path, which may be relative to that directory, as a whole one without links, with ``/``."""


class Verdict(NamedTuple):
    """What is answered without asking anyone, and why."""

    says: Literal["allow", "deny", "ask"]
    by: Literal["mode", "rule", "administrator"] | None = None
    rules: tuple[Rule, ...] = ()
    why: str = ""


# What a rule covers --------------------------------------------------------------------------------------------------


def allowed(rules: Iterable[Rule], deed: Deed, place: Place) -> tuple[Rule, ...]:
    """The rules that allow a deed between them, each command of a chain by one; none where it is not allowed."""
    allowing = [rule for rule in rules if rule.does == "allow"]
    whole = next((rule for rule in allowing if _covers(rule.covers, deed, place)), None)
    if whole is not None:
        return (whole,)
    commands = commands_in(deed, place)
    if not commands:
        return ()
    found: dict[str, Rule] = {}
    for command in commands:
        rule = next((r for r in allowing if isinstance(r.covers, Commands) and _begins(command, r.covers.words)), None)
        if rule is None:
            return ()
        found[rule.id] = rule
    return tuple(found.values())


def _covers(covers: AnyCovers, deed: Deed, place: Place) -> bool:
    """Whether it covers the deed as a whole."""
    match covers:
        case Line(line=line):
            return deed.kind == "execute" and deed.line == line and within_all(deed.paths, "", place)
        case Edits(path=path):
            return deed.kind == "edit" and may_edit(deed.paths, path, place)
        case Uses(tool=tool):
            return deed.tool == tool and deed.kind not in ("execute", "edit", "switch_mode")
        case _:
            return False


def commands_in(deed: Deed, place: Place) -> tuple[shell.Simple, ...]:
    """The commands that would be run, but for changes of directory that stay inside; none where they are not read."""
    if deed.kind != "execute" or not within_all(deed.paths, "", place):
        return ()
    if deed.argv is not None:
        commands: tuple[shell.Simple, ...] | None = (tuple(map(shell.Word, deed.argv)),)
    else:
        commands = shell.read(deed.line) if deed.line else None
    if commands is None:
        return ()
    left = tuple(command for command in commands if not _goes_inside(command, place))
    elsewhere = len(left) < len(commands) or any(relative(path, place) for path in deed.paths)
    if elsewhere and any("/" in command[0].text for command in left):
        return ()  # a program that is named by a path is another one elsewhere
    return left


def _goes_inside(command: shell.Simple, place: Place) -> bool:
    """A ``cd`` to a folder that is named whole, as from where is not known; it must not be left again by a link."""
    if len(command) != 2 or command[0] != shell.Word("cd") or not command[1].literal:
        return False
    target = command[1].text
    return is_whole(target) and within_all((target,), "", place)


def _begins(command: shell.Simple, words: Sequence[str]) -> bool:
    first = command[: len(words)]
    return len(first) == len(words) and all(
        word.literal and word.text == wanted for word, wanted in zip(first, words, strict=True)
    )


def may_edit(paths: Sequence[str], below: str, place: Place) -> bool:
    """Whether it is known which files are edited, and these are a folder's own, and neither git's nor secret."""
    found = [relative(path, place) for path in paths]
    clean = bool(found) and all(
        path is not None and ".git" not in path.lower().split("/") and not is_secret(path) for path in found
    )
    return clean and within_all(paths, below, place)


def within_all(paths: Iterable[str], below: str, place: Place) -> bool:
    """Whether paths really are a file, or below a folder, of the agent's, wherever their links and ``..`` lead."""
    target = relative(below, place)
    if target is None:
        return False
    found = [relative(path, place) for path in paths]
    if below and not below.endswith("/"):
        return all(path == target for path in found)
    return all(path is not None and (not target or path.startswith(f"{target}/")) for path in found)


def relative(path: str, place: Place) -> str | None:
    """A path without links, relative to the agent's directory; None where it leads elsewhere."""
    real = None if "\0" in path else place.real(path)
    if real is None or real == place.root:
        return real and ""
    head = place.root.rstrip("/") + "/"
    return real.removeprefix(head) if real.startswith(head) else None


def is_whole(path: str) -> bool:
    """Whether a path does not depend on where one is."""
    return path.startswith(("/", "\\")) or path[1:2] == ":"


# What a rule may forbid ----------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[^\s;&|()`$<>{}\"'\\]+")


def denied(rules: Iterable[Rule], deed: Deed, place: Place) -> Rule | None:
    """The rule that forbids a deed, if one may."""
    return next((rule for rule in rules if rule.does == "deny" and _may_cover(rule.covers, deed, place)), None)


def _may_cover(covers: AnyCovers, deed: Deed, place: Place) -> bool:
    match covers:
        case Commands(words=words):
            return deed.kind == "execute" and _may_run(deed, words)
        case Line(line=line):
            return deed.kind == "execute" and (deed.line or " ".join(deed.argv or ())) == line
        case Edits(path=path):
            return deed.kind in EDITS and (not deed.paths or any(_may_touch(p, path, place) for p in deed.paths))
        case Uses(tool=tool):
            return deed.tool == tool


def _may_touch(path: str, forbidden: str, place: Place) -> bool:
    """Whether what happens to a path happens to a file, or below a folder, wherever it leads; or to a folder of it."""
    if "\0" in path:
        return True
    found, target = place.real(path), place.real(forbidden)
    return _lies_in(found, target) or _lies_in(target, found)


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _may_run(deed: Deed, words: Sequence[str]) -> bool:
    if deed.argv is not None:
        return _may_begin(deed.argv, words)
    if deed.line is not None:
        return _line_may_run(deed.line, words)
    return any(_is_in(_TOKEN.findall(text), words) for text in deed.said)


def _line_may_run(line: str, words: Sequence[str]) -> bool:
    commands = shell.read(line)
    if commands is not None:
        return any(_may_begin([word.text for word in command], words) for command in commands)
    return _is_in(_TOKEN.findall(line), words)


def _may_begin(command: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a command begins with words, behind what is set for it, or runs what it is given, and is given them."""
    left = command[next((at for at, word in enumerate(command) if "=" not in word), len(command)) :]
    if not left or not (tuple(left[:2]) in STARTERS or _base(left[0]) in RUNNERS | KEYWORDS):
        return _is_in(left, words, at_first=True)
    return _is_in(left, words) or any(_line_may_run(word, words) for word in left[1:])


def _is_in(tokens: Sequence[str], words: Sequence[str], *, at_first: bool = False) -> bool:
    """Whether the program of words is there, given the others; its options, and what these take, may come between.

    In one pass, as a line may be long: what is kept is how many words were found, and whether an option was last.
    """
    found: set[tuple[int, bool]] = set()
    for at, token in enumerate(tokens):
        option = token.startswith("-")
        kept = {(count, option) for count, takes in found if option or takes}
        found = kept | {(count + 1, False) for count, _ in found if token == words[count]}
        if not (at and at_first) and words[0] in (token, _base(token)):
            found.add((1, False))
        if any(count == len(words) for count, _ in found):
            return True
    return False


def _base(program: str) -> str:
    return program.rpartition("/")[2] or program


# What is answered ----------------------------------------------------------------------------------------------------


def verdict(
    mode: PermissionMode, deed: Deed, rules: Sequence[Rule], place: Place, *, administrator: Sequence[Rule] = ()
) -> Verdict:
    """What is answered: forbidden by the administrator, by the mode, by a rule; then allowed by the mode, by a rule."""
    if (rule := denied(administrator, deed, place)) is not None:
        return Verdict("deny", "administrator", (), f"the administrator forbids {said(rule.covers)}")
    by_mode = decide(mode, deed.kind)
    if by_mode == "allow" and mode == "accept_edits" and deed.kind in EDITS and not may_edit(deed.paths, "", place):
        by_mode = "ask"
    why = f"the mode {mode} {'allows' if by_mode == 'allow' else 'forbids'} it"
    if by_mode == "deny":
        return Verdict("deny", "mode", (), why)
    if (rule := denied(rules, deed, place)) is not None:
        return Verdict("deny", "rule", (rule,), rule.text)
    if by_mode == "allow":
        return Verdict("allow", "mode", (), why)
    if found := allowed(rules, deed, place):
        return Verdict("allow", "rule", found, "; ".join(rule.text for rule in found))
    return Verdict("ask")


def holds_in(rule: Rule, *, session_id: str, path: str) -> bool:
    """Whether a rule holds in a session on a working directory."""
    if rule.revoked_at is not None:
        return False
    place = {"session": rule.session_id == session_id, "project": rule.path == path, "everywhere": True}
    return place[rule.scope]


# What is said ---------------------------------------------------------------------------------------------------------


def said(covers: AnyCovers) -> str:
    """What something covers, for a person."""
    match covers:
        case Commands(words=words):
            return f"commands that begin with `{shown(words)}`"
        case Line(line=line):
            return f"exactly `{line}`"
        case Edits(path=path):
            return f"edits of {_files(path)}"
        case Uses(tool=tool):
            return f"any use of the tool {tool}"


def _files(path: str) -> str:
    if not path:
        return "all files of the project"
    return f"all files below {path}" if path.endswith("/") else path


def shown(words: Iterable[str]) -> str:
    """Words as a shell would be given them."""
    return " ".join(word if _PLAIN.match(word) else "'" + word.replace("'", "'\\''") + "'" for word in words)
