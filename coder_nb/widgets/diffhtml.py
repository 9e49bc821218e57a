"""Changes as HTML without any script: what a saved notebook shows of them, word by word and cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from coder_nb.client.text import clean, revealed
from coder_nb.core.changes import CellDelta, Change
from coder_nb.core.hunks import Hunk
from coder_nb.widgets.difflines import Line, Marks, lines_of
from coder_nb.widgets.markdown import MOST_CODE, class_of

MOST_LINES = 2000
"""How many lines of one file's diff are written out."""
_OPERATIONS = {"create": "new", "delete": "deleted", "rename": "renamed", "edit": ""}
_CELLS = {"create": "New", "edit": "Changed", "delete": "Deleted"}
_KINDS = {"120000": "a symbolic link", "100755": "executable", "100644": "not executable"}
Words = list[tuple[str, str]]
"""Stretches of a line, each with the class of its colour."""


def changes_html(changes: Sequence[Change]) -> str:
    """Changes under the names of the agents whose they are."""
    shown = [change for change in changes if change.status != "superseded"]
    agents = ", ".join(dict.fromkeys(_text(change.agent) for change in shown if change.agent))
    head = f'<p class="turn">Changes{f" from {agents}" if agents else ""}</p>'
    waiting = any(change.status in ("pending", "conflict") for change in shown)
    hint = '<p class="muted">What is pending is in the session\'s worktree until it is applied.</p>' if waiting else ""
    return head + "".join(file_html(change, open=True) for change in shown) + hint


def file_html(change: Change, *, open: bool) -> str:
    """One changed file, folded or not."""
    name = f"{change.old_path} → {change.path}" if change.old_path else change.path
    operation = f'<span class="muted">{_OPERATIONS[change.operation]}</span> ' if _OPERATIONS[change.operation] else ""
    agent = f'<span class="by">{_text(change.agent)}</span>' if change.agent else ""
    status = f'<span class="state">{_text(change.status)}</span>'
    head = f"<code>{_revealed(name)}</code> {operation}{_counts(change)} {agent} {status}"
    said = [change.note, _facts(change)]
    notes = "".join(
        f'<p class="{kind}">{_text(text)}</p>' for kind, text in zip(("note", "fact"), said, strict=True) if text
    )
    shown = _cells(change.cells) if change.cells is not None else _diff([(hunk, change.path) for hunk in change.hunks])
    opened = " open" if open else ""
    return f'<details class="file"{opened}><summary>{head}</summary>{notes}{shown}</details>'


def _counts(change: Change) -> str:
    if change.binary:
        return '<span class="muted">binary</span>'
    if not change.additions and not change.deletions:
        return ""
    return f'<span class="plus">+{change.additions or 0}</span> <span class="minus">−{change.deletions or 0}</span>'


def _facts(change: Change) -> str:
    """What no line shows, in words."""
    old, new = change.old_mode, change.new_mode
    if old and new and old != new:
        return f"It was {_KINDS.get(old, old)} and is {_KINDS.get(new, new)} now."
    if not old and new == "120000":
        return "A symbolic link; its text is where it points."
    return ""


def _cells(cells: Iterable[CellDelta]) -> str:
    parts = []
    for cell in cells:
        name = f"{_CELLS[cell.operation]} {cell.cell_type} cell {cell.number}"
        note = f" <span>{_text(cell.note)}</span>" if cell.note else ""
        language = "cell.md" if cell.cell_type == "markdown" else "cell.py"
        parts.append(
            f'<p class="cell">{_text(name)}{note}</p>{_diff([(hunk, language) for hunk in cell.hunks], False)}'
        )
    return "".join(parts) or '<p class="fact">No cell changed, but what surrounds them did.</p>'


def _diff(hunks: Sequence[tuple[Hunk, str]], ranges: bool = True) -> str:
    rows: list[str] = []
    for hunk, path in hunks:
        if len(rows) > MOST_LINES:
            break
        if ranges:
            rows.append(f'<tr class="at"><td colspan="3">@@ −{hunk.old_start} +{hunk.new_start} @@</td></tr>')
        rows.extend(_rows(hunk, path))
    left = sum(len(hunk.lines) + ranges for hunk, _ in hunks) - MOST_LINES
    if left > 0:
        rows[MOST_LINES:] = [f'<tr class="at"><td colspan="3">… {left:,} more lines</td></tr>']
    return f'<div class="scroll"><table class="diff"><tbody>{"".join(rows)}</tbody></table></div>' if rows else ""


def _rows(hunk: Hunk, path: str) -> Iterator[str]:
    lines = lines_of(hunk)
    colours: dict[int, Words] = {}
    for other in "+-":
        side = [index for index, line in enumerate(lines) if line.sign not in (other, "\\")]
        colours |= dict(zip(side, _coloured([lines[index].text for index in side], path), strict=True))
    for index, line in enumerate(lines):
        kind = {"+": "add", "-": "del", "\\": "at"}.get(line.sign, "")
        yield f'<tr class="{kind}">{_cell(line.old)}{_cell(line.new)}<td>{_shown(line, colours.get(index))}</td></tr>'


def _cell(number: int | None) -> str:
    return f"<td>{'' if number is None else number}</td>"


def _shown(line: Line, words: Words | None) -> str:
    """A line's text: with colours and marks where nothing in it hides, else as it is, with what hides told."""
    sign = escape(line.sign)
    if words is None or revealed(line.text) != line.text:
        return sign + escape(revealed(line.text))
    return sign + "".join(_pieces(words, line.marks))


def _pieces(words: Words, marks: Marks) -> Iterator[str]:
    cuts = sorted({cut for mark in marks for cut in mark})
    at = 0
    for name, text in words:
        inside = [cut - at for cut in cuts if at < cut < at + len(text)]
        for start, end in zip([0, *inside], [*inside, len(text)], strict=True):
            piece = escape(text[start:end])
            piece = f'<span class="{name}">{piece}</span>' if name else piece
            marked = any(left <= at + start < right for left, right in marks)
            yield f"<mark>{piece}</mark>" if marked else piece
        at += len(text)


def _coloured(lines: Sequence[str], path: str) -> list[Words]:
    """The words of lines that are one text, with the classes of their colours."""
    text = "\n".join(lines)
    lexer = _lexer(path) if len(text) <= MOST_CODE else None
    if lexer is None:
        return [[("", line)] for line in lines]
    found: list[Words] = [[]]
    for kind, word in lexer.get_tokens(text):
        first, *others = word.split("\n")
        found[-1].append((class_of(kind), first))
        found += [[(class_of(kind), other)] for other in others]
    same = ["".join(word for _, word in words) for words in found] == list(lines)
    return found if same else [[("", line)] for line in lines]


def _lexer(path: str) -> Any:
    from pygments.lexers import get_lexer_for_filename
    from pygments.util import ClassNotFound

    try:
        return get_lexer_for_filename(path, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _text(text: object) -> str:
    return escape(clean(str(text)))


def _revealed(text: object) -> str:
    """What a person decides by: nothing in it may hide or reorder."""
    return escape(revealed(clean(str(text))))
