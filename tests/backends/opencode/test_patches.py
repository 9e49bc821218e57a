"""Unified diffs as file diffs."""

from __future__ import annotations

from coder_nb.backends.opencode.patches import diffs_of
from coder_nb.core.entries import FileDiff

NEW = "Index: /a\n====\n--- /a\n+++ /a\n@@ -0,0 +1,2 @@\n+one\n+two\n"
CHANGED = "--- b.txt\told\n+++ b.txt\tnew\n@@ -1,2 +1,2 @@\n same\n--- looks like a header\n+++ so does this\n"
GONE = "--- c\n+++ /dev/null\n@@ -1 +0,0 @@\n-last\n\\ No newline at end of file\n"


def test_each_file_of_a_patch_has_what_its_hunks_show() -> None:
    assert diffs_of(NEW + CHANGED + GONE) == (
        FileDiff(path="/a", old=None, new="one\ntwo\n"),
        FileDiff(path="b.txt", old="same\n-- looks like a header\n", new="same\n++ so does this\n"),
        FileDiff(path="c", old="last\n", new=""),
    )


def test_what_is_no_patch_has_no_files() -> None:
    assert diffs_of("") == diffs_of("hello\n@@ nothing @@") == ()
