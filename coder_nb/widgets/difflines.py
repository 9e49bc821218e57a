"""The lines of a hunk as they are shown: numbered, side by side, with the words that differ.

`frontend/src/difflines.ts` is its twin; `tests/golden/difflines.json` holds both to the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from coder_nb.core.entries import Value
from coder_nb.core.hunks import Hunk

Marks = tuple[tuple[int, int], ...]
"""Stretches of a line, from and to, in code points."""
MOST_PAIRS = 40_000
"""How many pairs of words are compared; longer lines are marked from their first difference to their last."""
_WORD = re.compile(r"\w+|[ \t]+|.", re.DOTALL)


class Line(Value):
    """One line of a hunk."""

    sign: str
    text: str
    old: int | None = None
    new: int | None = None
    marks: Marks = ()


def lines_of(hunk: Hunk) -> tuple[Line, ...]:
    """A hunk's lines with their numbers, and with marks where a line took another one's place."""
    crlf = all(line.endswith("\r") or line.startswith("\\") for line in hunk.lines)
    found: list[Line] = []
    old, new = hunk.old_start, hunk.new_start
    for line in hunk.lines:
        sign = line[:1] or " "
        text = line[1:-1] if crlf and sign != "\\" else line[1:]
        if sign == "\\":
            found.append(Line(sign=sign, text=text.strip()))
            continue
        in_old, in_new = sign in " -", sign in " +"
        found.append(Line(sign=sign, text=text, old=old if in_old else None, new=new if in_new else None))
        old, new = old + in_old, new + in_new
    return _marked(found)


def _marked(lines: Sequence[Line]) -> tuple[Line, ...]:
    marked = list(lines)
    for gone, come in _runs(lines):
        for before, after in zip(gone, come, strict=False):
            left, right = word_marks(lines[before].text, lines[after].text)
            marked[before] = Line(sign="-", text=lines[before].text, old=lines[before].old, marks=left)
            marked[after] = Line(sign="+", text=lines[after].text, new=lines[after].new, marks=right)
    return tuple(marked)


def _runs(lines: Sequence[Line]) -> list[tuple[list[int], list[int]]]:
    """Lines that went and those that came in their place, by their indices."""
    runs: list[tuple[list[int], list[int]]] = []
    last = " "
    for index, line in enumerate(lines):
        if line.sign == "-":
            if last != "-":
                runs.append(([], []))
            runs[-1][0].append(index)
        elif line.sign == "+":
            if last not in "-+":
                runs.append(([], []))
            runs[-1][1].append(index)
        if line.sign != "\\":
            last = line.sign
    return runs


def pairs_of(lines: Sequence[Line]) -> tuple[tuple[int | None, int | None], ...]:
    """The lines side by side, by their indices: what went and what came in its place in one row."""
    found: list[tuple[int | None, int | None]] = []
    runs = {min(gone + come): (gone, come) for gone, come in _runs(lines)}
    for index, line in enumerate(lines):
        if index in runs:
            found += zip_longest(*runs[index])
        elif line.sign in " \\":
            found.append((index, index))
    return tuple(found)


def word_marks(old: str, new: str) -> tuple[Marks, Marks]:
    """What differs between two lines, by words; nothing where they have too little in common to be told so."""
    a, b = _WORD.findall(old), _WORD.findall(new)
    first = 0
    while first < min(len(a), len(b)) and a[first] == b[first]:
        first += 1
    last = 0
    while last < min(len(a), len(b)) - first and a[-1 - last] == b[-1 - last]:
        last += 1
    here, there = a[first : len(a) - last], b[first : len(b) - last]
    kept_a, kept_b = _common(here, there)
    same = [True] * first + kept_a + [True] * last, [True] * first + kept_b + [True] * last
    if _size([w for w, kept in zip(a, same[0], strict=True) if kept]) * 4 < max(_size(a), _size(b)):
        return (), ()
    return _stretches(a, same[0]), _stretches(b, same[1])


def _common(a: Sequence[str], b: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Which words of each belong to the longest sequence that both have."""
    kept = [False] * len(a), [False] * len(b)
    if len(a) * len(b) > MOST_PAIRS:
        return kept
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            best[i][j] = best[i + 1][j + 1] + 1 if a[i] == b[j] else max(best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            kept[0][i] = kept[1][j] = True
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return kept


def _size(words: Sequence[str]) -> int:
    return sum(len(word) for word in words if word[0] not in " \t")


def _stretches(words: Sequence[str], kept: Sequence[bool]) -> Marks:
    found: list[tuple[int, int]] = []
    at = 0
    for word, same in zip(words, kept, strict=True):
        if not same:
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], at + len(word))
            else:
                found.append((at, at + len(word)))
        at += len(word)
    return tuple(found)
