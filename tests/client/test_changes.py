from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from coder_nb.client.chat import Chat
from coder_nb.core.comments import Comment, comments_prompt
from coder_nb.core.entries import End
from coder_nb.core.values import Hunk
from coder_nb.errors import ApplyConflict, InvalidOption, StaleChange
from coder_nb.testing.memory_runtime import Stage

HUNK = Hunk(old_start=1, old_lines=2, new_start=1, new_lines=2, lines=(" a", "-b", "+c"))


async def edits(stage: Stage) -> End:
    stage.change("a.py", hunks=(HUNK,), additions=1, deletions=1)
    stage.change("stuck.py", note="The checkout has changed here.") if stage.prompt.text == "stuck" else None
    return "completed"


def test_a_diff_reads_as_git_writes_it(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(edits)
    chat.run("edit", timeout=30)
    assert chat.changes.diff == ("diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n")


def test_applying_all_applies_what_is_pending(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(edits)
    chat.run("edit", timeout=30)
    changes = chat.changes
    assert changes.apply() is changes
    assert [change.status for change in changes] == ["applied"]
    assert [change.status for change in chat.changes] == ["applied"]
    changes.apply()
    assert [change.status for change in chat.changes] == ["applied"]


def test_applying_names_what_could_not_land_after_the_rest_has(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(edits)
    chat.run("stuck", timeout=30)
    changes = chat.changes
    with pytest.raises(ApplyConflict, match=r"stuck\.py: The checkout has changed here\."):
        changes.apply()
    assert {change.path: change.status for change in changes} == {"a.py": "applied", "stuck.py": "conflict"}


def test_rejecting_by_path_leaves_the_others(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(edits)
    turn = chat.run("stuck", timeout=30)
    changes = turn.changes.reject("a.py")
    assert {change.path: change.status for change in changes} == {"a.py": "rejected", "stuck.py": "pending"}


def test_a_path_without_a_change_is_named_with_those_that_have_one(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(edits)
    chat.run("edit", timeout=30)
    with pytest.raises(InvalidOption, match=r"no change of 'b\.py' here: the changed files are a\.py"):
        chat.changes.apply("b.py")
