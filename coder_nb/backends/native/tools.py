"""The native agent's tools: what the model is told of each, and what a call of it would do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from coder_nb.backends.native.workplace import Refused, Workplace
from coder_nb.core.entries import FileDiff, Location, PlanItem, Value

LINES = 2000
_LINE_LIMIT = 2000
_OUTPUT_LIMIT = 60_000
_FOUND_LIMIT = 200


class Outcome(NamedTuple):
    """What came of a call."""

    text: str
    failed: bool = False
    exit_code: int | None = None


class Deed(NamedTuple):
    """What a call would do, known before anything is done."""

    act: Callable[[], Awaitable[Outcome]]
    title: str = ""
    locations: tuple[Location, ...] = ()
    diffs: tuple[FileDiff, ...] = ()
    asks: bool = False
    """Whether it needs a permission."""


class Shell(Protocol):
    """Runs programs in the worktree."""

    async def run(self, command: str, *, timeout: float) -> Outcome: ...

    async def find(self, folder: Path, pattern: str, glob: str, *, ignore_case: bool) -> list[tuple[str, int, str]]:
        """Lines that fit, as (path, number, line)."""


# What the model gives ------------------------------------------------------------------------------------------------


class ReadFile(Value, forbid_unknown_fields=True):
    """Read a text file, with line numbers. Long files come in parts: go on with `offset`."""

    path: str
    offset: int = 1
    limit: int = LINES


class WriteFile(Value, forbid_unknown_fields=True):
    """Write a whole file: a new one, or one whose old content is not needed any more."""

    path: str
    content: str


class EditFile(Value, forbid_unknown_fields=True):
    """Replace text in a file. `old` must be in it exactly once, without line numbers, unless `all` is set."""

    path: str
    old: str
    new: str
    all: bool = False


class ListDir(Value, forbid_unknown_fields=True):
    """List the files below a directory, those in ignored folders left out. `pattern` such as *.py or src/**/*.ts."""

    path: str = "."
    pattern: str = ""


class Grep(Value, forbid_unknown_fields=True):
    """Search the contents of files by an extended regular expression. `glob` such as *.py limits the files."""

    pattern: str
    path: str = "."
    glob: str = ""
    ignore_case: bool = False


class RunShell(Value, forbid_unknown_fields=True):
    """Run a command of the shell in the working directory. It has no input, ends after `timeout` seconds, and what it
    leaves running in the background ends with it."""

    command: str
    timeout: int = 120


class PlanStep(Value, forbid_unknown_fields=True):
    text: str
    status: str = "pending"


class MakePlan(Value, forbid_unknown_fields=True):
    """Show the user the plan, whole, each time it changes. A status is pending, in_progress or completed."""

    items: list[PlanStep]


class AskUser(Value, forbid_unknown_fields=True):
    """Ask the user something that only they can decide. They pick from the choices, or answer in their own words."""

    question: str
    choices: list[str] = []
    multiple: bool = False


ARGUMENTS: dict[str, type[Value]] = {
    "read_file": ReadFile,
    "write_file": WriteFile,
    "edit_file": EditFile,
    "list_dir": ListDir,
    "grep": Grep,
    "shell": RunShell,
    "plan": MakePlan,
    "ask_user": AskUser,
}


def understood(name: str, given: Any) -> Value:
    """The arguments of a call; raises `Refused` where they are not what the tool takes."""
    kind = ARGUMENTS.get(name)
    if kind is None:
        raise Refused(f"There is no tool {name!r}: there are {', '.join(ARGUMENTS)}.")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(f"The arguments of {name} are not understood: {error}.") from None


def schema(name: str) -> tuple[str, dict[str, Any]]:
    """A tool's description, and the JSON schema of its arguments."""
    kind = ARGUMENTS[name]
    (_,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    own = dict(parts.pop(kind.__name__))
    description = " ".join(str(own.pop("description", "")).split())
    own.pop("title", None)
    return description, {**own, "$defs": parts} if parts else own


def plan_items(given: MakePlan) -> tuple[PlanItem, ...]:
    known = {"pending": "pending", "in_progress": "in_progress", "completed": "completed", "done": "completed"}
    items = [{"text": item.text, "status": known.get(item.status, "pending")} for item in given.items]
    return msgspec.convert(items, tuple[PlanItem, ...])


# What it would do ----------------------------------------------------------------------------------------------------


def prepared(given: Value, place: Workplace, shell: Shell) -> Deed:
    """The deed of a call; raises `Refused` where it cannot be done."""
    match given:
        case ReadFile(path=path):
            found = place.path(path)
            at = Location(path=place.shown(found), line=given.offset if given.offset > 1 else None)
            return Deed(_soon(_read, place, found, given), title=f"Read {at.path}", locations=(at,))
        case WriteFile(path=path, content=content):
            found = place.path(path)
            return _edit(place, found, place.text(found) if found.exists() else None, content, "Write")
        case EditFile(path=path):
            found = place.path(path)
            before = place.text(found)
            return _edit(place, found, before, replaced(before, given, place.shown(found)), "Edit")
        case ListDir(path=path, pattern=pattern):
            found = place.path(path)
            return Deed(_soon(_list, place, found, pattern), title=f"List {pattern or place.shown(found)}")
        case Grep(path=path, pattern=pattern):
            found = place.path(path)
            return Deed(partial(_grep, place, shell, found, given), title=f"Search for {pattern}")
        case RunShell(command=command, timeout=timeout):
            run = partial(shell.run, command, timeout=float(max(1, timeout)))
            return Deed(run, title=command, asks=True)
        case _:
            raise Refused("This is not a tool of the worktree.")


def _soon(work: Callable[..., Outcome], *given: Any) -> Callable[[], Awaitable[Outcome]]:
    """Work on files, which may be slow, beside the loop."""
    return partial(asyncio.to_thread, work, *given)


def replaced(before: str, given: EditFile, name: str) -> str:
    """The text after an edit; raises `Refused` unless it is clear where."""
    old, new = given.old, given.new
    if not old:
        raise Refused("`old` is empty: to write a whole file use `write_file`.")
    if old not in before and "\r\n" in before:  # the model does not see which line ends a file has
        old, new = (text.replace("\r\n", "\n").replace("\n", "\r\n") for text in (old, new))
    count = before.count(old)
    if count == 0:
        raise Refused(f"`old` is not in {name}: read the file again, and give the text exactly as it is there.")
    if count > 1 and not given.all:
        raise Refused(f"`old` is in {name} {count} times: give more of the text around it, or set `all`.")
    return before.replace(old, new)


def _edit(place: Workplace, path: Path, before: str | None, after: str, verb: str) -> Deed:
    shown = place.shown(path)

    def act() -> Outcome:
        if (place.text(path) if path.exists() else None) != before:
            raise Refused(f"{shown} has changed in the meantime: read it again.")
        place.write(path, after)
        return Outcome(f"{shown} is written.")

    diff = FileDiff(path=shown, old=before, new=after)
    return Deed(_soon(act), title=f"{verb} {shown}", locations=(Location(path=shown),), diffs=(diff,), asks=True)


def _read(place: Workplace, path: Path, given: ReadFile) -> Outcome:
    lines = place.text(path).splitlines()
    first, count = max(1, given.offset), max(1, min(given.limit, LINES))
    shown: list[str] = []
    size = 0
    for number, line in enumerate(lines[first - 1 : first - 1 + count], first):
        shown.append(f"{number}\t{line[:_LINE_LIMIT]}{' [line goes on]' if len(line) > _LINE_LIMIT else ''}")
        size += len(shown[-1])
        if size > _OUTPUT_LIMIT:
            break
    if not lines:
        return Outcome("[the file is empty]")
    if not shown:
        return Outcome(f"[the file has {len(lines)} lines]")
    last = first + len(shown) - 1
    if last < len(lines):
        shown.append(f"[lines {first} to {last} of {len(lines)}; go on with offset={last + 1}]")
    return Outcome("\n".join(shown))


def _list(place: Workplace, path: Path, pattern: str) -> Outcome:
    if not path.is_dir():
        raise Refused(f"{place.shown(path)} is not a directory.")
    found = [place.shown(file) for file in islice(place.files(path, pattern), _FOUND_LIMIT * 5 + 1)]
    if not found:
        return Outcome("[no files]")
    if len(found) > _FOUND_LIMIT * 5:
        found[-1] = "[there are more: give a path or a pattern]"
    return Outcome("\n".join(found))


async def _grep(place: Workplace, shell: Shell, path: Path, given: Grep) -> Outcome:
    hits = await shell.find(path, given.pattern, given.glob, ignore_case=given.ignore_case)
    lines = [f"{name}:{number}: {line[:300]}" for name, number, line in hits[:_FOUND_LIMIT]]
    if len(hits) > _FOUND_LIMIT:
        lines.append(f"[{len(hits) - _FOUND_LIMIT} more lines: search more narrowly]")
    return Outcome("\n".join(lines) or "[nothing found]")
