"""The laws of hunks: what is applied can be taken back, twice is noticed, and the text form loses nothing."""

from __future__ import annotations

import difflib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core.hunks import (
    NO_NEWLINE,
    Hunk,
    apply_hunks,
    counts,
    format_hunks,
    keep_line_ends,
    parse_hunks,
    revert_hunks,
    sections,
    side,
)
from coder_nb.errors import ApplyConflict

LINES = st.sampled_from(["a", "b", "c", "", "é\r", "\u2028x", "+y", "--- z", "\\ w", "@@ -1 +1 @@"])
TEXTS = st.builds(
    lambda lines, end: "\n".join(lines) + ("\n" if end and lines else ""), st.lists(LINES, max_size=14), st.booleans()
)


def diff(old: str, new: str, context: int = 3) -> tuple[Hunk, ...]:
    """The hunks between two texts, made by the standard library as a second opinion on the format."""
    before, after = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (old, new))
    parts: list[str] = []
    for line in list(difflib.unified_diff(before, after, n=context))[2:]:
        parts.append(line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}\n")
    return parse_hunks("".join(parts))


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_applying_gives_the_new_text_and_reverting_gives_the_old_one_back(old: str, new: str, context: int) -> None:
    hunks = diff(old, new, context)
    assert apply_hunks(old, hunks) == new
    assert revert_hunks(new, hunks) == old


@given(TEXTS, TEXTS)
def test_applying_twice_is_refused_or_known_to_be_ambiguous(old: str, new: str) -> None:
    hunks = diff(old, new)
    assert side(old, hunks) in ("old", "both")
    if side(new, hunks) == "new":
        with pytest.raises(ApplyConflict):
            apply_hunks(new, hunks)
    else:
        assert side(new, hunks) == "both"


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_the_text_form_is_read_back_as_the_same_hunks(old: str, new: str, context: int) -> None:
    hunks = diff(old, new, context)
    assert parse_hunks(format_hunks(hunks)) == hunks
    assert parse_hunks("--- a/x\n+++ b/x\n" + format_hunks(hunks)) == hunks


@given(TEXTS, TEXTS, st.data())
def test_any_choice_of_hunks_can_be_applied_and_the_rest_afterwards_taken_from_the_whole(
    old: str, new: str, data: st.DataObject
) -> None:
    hunks = diff(old, new, 0)
    chosen = [hunk for hunk in hunks if data.draw(st.booleans())]
    rest = [hunk for hunk in hunks if hunk not in chosen]
    assert apply_hunks(old, chosen) == revert_hunks(new, rest)


@given(TEXTS, TEXTS)
def test_counts_say_how_the_number_of_lines_changes(old: str, new: str) -> None:
    added, deleted = counts(diff(old, new))
    assert added - deleted == len(re.findall(r"[^\n]*\n|[^\n]+", new)) - len(re.findall(r"[^\n]*\n|[^\n]+", old))


def test_a_hunk_is_never_moved_to_where_it_would_fit() -> None:
    hunks = diff("one\ntwo\n", "one\n2\n")
    with pytest.raises(ApplyConflict, match="line 1"):
        apply_hunks("zero\none\ntwo\n", hunks)


def test_a_place_that_repeats_is_said_to_be_ambiguous() -> None:
    hunks = diff("a\na\na\n", "a\na\na\na\n")
    assert side("a\na\na\n", hunks) == "old"
    assert side("a\na\na\na\n", hunks) == "both"


def test_hunks_beyond_the_end_do_not_fit() -> None:
    hunk = Hunk(old_start=7, old_lines=0, new_start=8, new_lines=1, lines=("+x",))
    with pytest.raises(ApplyConflict):
        apply_hunks("a\n", [hunk])


def test_a_patch_of_several_files_is_taken_apart_at_its_headers_only() -> None:
    patch = (
        b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"
        b"diff --git a/y b/y\nindex 1..2 100644\n--- a/y\n+++ b/y\n@@ -1 +1 @@ def f():\n-diff --git a b\n+caf\xe9\n"
    )
    hunk = Hunk(old_start=1, old_lines=1, new_start=1, new_lines=1, lines=("-diff --git a b", "+caf\ufffd"))
    assert sections(patch) == [(), (hunk,)]
    assert sections(b"") == []


def test_line_ends_follow_the_file_that_is_replaced_unless_it_is_mixed() -> None:
    assert keep_line_ends(b"a\nb\n", b"x\r\ny\r\n") == b"a\r\nb\r\n"
    assert keep_line_ends(b"a\r\nb\n", b"x\ny\n") == b"a\nb\n"
    assert keep_line_ends(b"a\r\nb\n", b"x\r\ny\n") == b"a\r\nb\n"
    assert keep_line_ends(b"a\r\nb\n", b"") == b"a\r\nb\n"
    assert keep_line_ends(b"new\na\nb\nc\n", b"a\r\nb\nc\r\n") == b"new\na\r\nb\nc\r\n"
