"""Saved diffs: the same lines and marks as in the page, in which nothing runs and nothing hides."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core.changes import CellDelta, Change
from coder_nb.core.hunks import Hunk
from coder_nb.widgets.diffhtml import changes_html, file_html
from coder_nb.widgets.difflines import Line, lines_of, pairs_of, word_marks

GOLDEN = Path(__file__).parents[1] / "golden" / "difflines.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))
HUNK = Hunk(
    old_start=4,
    old_lines=2,
    new_start=4,
    new_lines=2,
    lines=(' def f(x: "<b>"):', "-    return x + 1  # é", "+    return x + 2  # é"),
)


def change(**fields: Any) -> Change:
    known = {"id": "c", "session_id": "s", "chat_id": "h", "turn_id": "t", "path": "a.py", "operation": "edit"}
    return Change(**(known | fields))


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_lines_and_pairs_are_told_as_the_golden_cases_say(case: dict[str, Any]) -> None:
    lines = lines_of(msgspec.convert(case["hunk"], Hunk))
    assert lines == msgspec.convert(case["lines"], tuple[Line, ...])
    assert [list(pair) for pair in pairs_of(lines)] == case["pairs"]


WORDS = st.text(alphabet="ab c_1.é🎉\t", max_size=12)


@given(WORDS, WORDS)
def test_what_is_not_marked_is_the_same_on_both_sides(old: str, new: str) -> None:
    def unmarked(text: str, marks: Any) -> str:
        return "".join(c for n, c in enumerate(text) if not any(a <= n < b for a, b in marks))

    left, right = word_marks(old, new)
    assert (left, right) == ((), ()) or unmarked(old, left) == unmarked(new, right)


def test_a_line_keeps_its_text_under_colours_and_marks() -> None:
    html = file_html(change(hunks=(HUNK,)), open=True)
    cells = re.findall(r"<td>([ +-].*?)</td></tr>", html)
    assert [text_of(cell) for cell in cells] == list(HUNK.lines)
    assert "<mark>" in cells[1]
    assert 'class="k"' in cells[0]
    assert "<b>" not in html


def test_colours_never_change_what_is_written() -> None:
    odd = ["\t x", "", '"""', "\u2028", "a\x0bb", "'unclosed", "\\", "é" * 3, "# <script>"]
    hunk = Hunk(old_start=1, old_lines=0, new_start=1, new_lines=9, lines=tuple(f"+{line}" for line in odd))
    cells = re.findall(r"<td>(\+.*?)</td></tr>", file_html(change(hunks=(hunk,)), open=True), re.DOTALL)
    shown = [text_of(cell)[1:] for cell in cells]
    assert [line for line in shown if "U+" not in line] == [line for line in odd if line not in ("\u2028", "a\x0bb")]


def test_a_notebook_is_shown_by_its_cells_and_modes_in_words() -> None:
    cell = CellDelta(operation="edit", cell_type="code", number=3, hunks=(HUNK,), note="Its outputs changed.")
    html = file_html(
        change(path="n.ipynb", cells=(cell,), hunks=(HUNK,) * 2, old_mode="100644", new_mode="100755"), open=False
    )
    assert text_of(html).count("return x + 1") == 1
    assert "Changed code cell 3 Its outputs changed." in text_of(html)
    assert "It was not executable and is executable now." in text_of(html)


def test_the_agents_are_named_and_so_is_where_their_work_is() -> None:
    html = text_of(changes_html([change(agent="goose"), change(id="d", agent="qwen", status="applied")]))
    assert html.startswith("Changes from goose, qwen")
    assert "in the session's worktree until it is applied" in html
    assert "until it is applied" not in changes_html([change(status="applied")])
