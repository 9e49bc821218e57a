"""A change decided in parts: which hunks were chosen, what the file is with them, and what is left to decide."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from coder_nb.core.changes import Change
from coder_nb.core.hunks import Hunk, counts
from coder_nb.errors import ApplyConflict, InvalidOption, StaleChange

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_NO_TEXT = ("120000", "160000")


def with_ids(hunks: Sequence[Hunk]) -> tuple[Hunk, ...]:
    """The hunks, each with an id made of its lines; of equal ones the id also says which.

    An id stays with its hunk when others are decided, so that it never comes to mean another one.
    """
    seen: Counter[str] = Counter()
    named: list[Hunk] = []
    for hunk in hunks:
        text = "\n".join(hunk.lines)
        digest = hashlib.sha256(f"{seen[text]}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
        seen[text] += 1
        named.append(replace(hunk, id=digest[:16]))
    return tuple(named)


def choose(change: Change, hunk_ids: Collection[str]) -> frozenset[str]:
    """The chosen hunks of a change, checked: an id that it does not have was chosen in a view that is out of date."""
    chosen = frozenset(hunk_ids)
    if not chosen <= {hunk.id for hunk in change.hunks if hunk.id}:
        raise StaleChange(f"{change.path} has changed since this was shown: nothing was done. Look again, then decide.")
    return chosen


def is_whole(change: Change, chosen: Collection[str]) -> bool:
    """Whether all hunks are chosen, and with them what no hunk shows: the file's name and mode."""
    return set(chosen) == {hunk.id for hunk in change.hunks}


def check_divisible(change: Change) -> None:
    """Raises `InvalidOption` for a change that can only be decided as a whole."""
    if change.operation in ("create", "delete") or change.binary or {change.old_mode, change.new_mode} & set(_NO_TEXT):
        raise InvalidOption(f"{change.path} can only be decided as a whole: leave `hunks` out.")


def with_chosen(old: bytes, new: bytes, hunks: Sequence[Hunk], chosen: Collection[str]) -> bytes:
    """The old content with the chosen hunks of its way to the new one; exact to the byte, whatever a hunk can show."""
    before, after = _LINE.findall(old), _LINE.findall(new)
    if _picked(before, after, hunks, {hunk.id for hunk in hunks}) != new:
        raise ApplyConflict("What was shown does not account for the whole change: decide it as a whole.")
    return _picked(before, after, hunks, chosen)


def _picked(before: list[bytes], after: list[bytes], hunks: Sequence[Hunk], chosen: Collection[str]) -> bytes:
    out: list[bytes] = []
    done = 0
    for hunk in sorted(hunks, key=lambda hunk: hunk.old_start):
        at = _at(hunk.old_start, hunk.old_lines)
        out += before[done:at]
        done = at + hunk.old_lines
        if hunk.id in chosen:
            start = _at(hunk.new_start, hunk.new_lines)
            out += after[start : start + hunk.new_lines]
        else:
            out += before[at:done]
    return b"".join(out + before[done:])


def _at(start: int, count: int) -> int:
    """Where a side begins, counted from zero: one without lines names the line that it comes after."""
    return start - 1 if count else start


def halves(
    change: Change, chosen: Collection[str], middle: str, *, named: Literal["first", "second"]
) -> tuple[Change, Change]:
    """A change as two: the way to the blob with the chosen hunks, and the way from there on.

    What no hunk shows, a new name or mode, goes with the half that is `named`.
    """
    first, second = [], []
    taken = left = 0
    for hunk in sorted(change.hunks, key=lambda hunk: hunk.old_start):
        grows = hunk.new_lines - hunk.old_lines
        if hunk.id in chosen:
            first.append(replace(hunk, new_start=hunk.new_start - left))
            taken += grows
        else:
            second.append(replace(hunk, old_start=hunk.old_start + taken))
            left += grows
    to_middle, onwards = replace(change, new_blob=middle), replace(change, old_blob=middle)
    if named == "first":
        onwards = replace(onwards, operation="edit", old_path=None, old_mode=change.new_mode)
    else:
        path = change.old_path or change.path
        to_middle = replace(to_middle, operation="edit", path=path, old_path=None, new_mode=change.old_mode)
    return _counted(to_middle, first), _counted(onwards, second)


def _counted(change: Change, hunks: Sequence[Hunk]) -> Change:
    additions, deletions = counts(hunks)
    return replace(change, hunks=tuple(hunks), additions=additions, deletions=deletions)


def inverse(change: Change) -> Change:
    """The change that takes a change back."""
    back = {"create": "delete", "delete": "create", "edit": "edit", "rename": "rename"}
    renamed = change.operation == "rename" and change.old_path is not None
    return replace(
        change,
        operation=back[change.operation],
        path=change.old_path if renamed else change.path,
        old_path=change.path if renamed else None,
        old_mode=change.new_mode,
        new_mode=change.old_mode,
        old_blob=change.new_blob,
        new_blob=change.old_blob,
        hunks=tuple(_turned(hunk) for hunk in change.hunks),
        additions=change.deletions,
        deletions=change.additions,
    )


def _turned(hunk: Hunk) -> Hunk:
    signs = {"+": "-", "-": "+"}
    return Hunk(
        id=hunk.id,
        old_start=hunk.new_start,
        old_lines=hunk.new_lines,
        new_start=hunk.old_start,
        new_lines=hunk.old_lines,
        lines=tuple(signs.get(line[:1], line[:1]) + line[1:] for line in hunk.lines),
    )


def check_still_readable(path: str, content: bytes) -> None:
    """Raises `ApplyConflict` where the chosen hunks would leave a notebook that no program can open."""
    if not path.endswith(".ipynb"):
        return
    try:
        msgspec.json.decode(content)
    except msgspec.DecodeError:
        raise ApplyConflict(
            f"{path} would be no notebook any more with these hunks alone: nothing was done. Choose the hunks that "
            "belong together, or decide the file as a whole."
        ) from None
