from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from coder_nb.client.chat import Chat
from coder_nb.core.comments import Comment, comments_prompt
from coder_nb.core.entries import End
from coder_nb.core.hunks import Hunk
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


FAR = Hunk(id="two", old_start=20, old_lines=1, new_start=20, new_lines=2, lines=(" x", "+y"))


async def two_places(stage: Stage) -> End:
    stage.change("a.py", hunks=(replace(HUNK, id="one"), FAR), additions=2, deletions=1)
    stage.change("b.py", hunks=(replace(HUNK, id="b"),))
    return "completed"


def test_hunks_are_decided_by_their_number_and_the_change_keeps_the_rest(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(two_places)
    chat.run("edit", timeout=30)
    changes = chat.changes
    change = changes["a.py"].apply(hunks=[1])
    assert (change.status, [hunk.id for hunk in change.hunks]) == ("pending", ["one"])
    assert [(c.path, c.status, len(c.hunks)) for c in changes][-1] == ("a.py", "applied", 1)
    assert changes["a.py"] is change
    change.reject(hunks=["one"])
    change.revert()
    assert sorted((c.path, c.status) for c in chat.changes) == [
        ("a.py", "rejected"),
        ("a.py", "reverted"),
        ("b.py", "pending"),
    ]


def test_a_hunk_that_is_not_there_is_refused(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(two_places)
    chat.run("edit", timeout=30)
    change = chat.changes["a.py"]
    with pytest.raises(InvalidOption, match="has 2 hunks, numbered from 0: there is no 2"):
        change.apply(hunks=[2])
    with pytest.raises(StaleChange):
        change.apply(hunks=["three"])
    assert (change.preview().outcome, change.content(old=True)) == ("clean", "before\n")
    with pytest.raises(InvalidOption, match=r"no change of 'c\.py' here"):
        chat.changes["c.py"]


def test_comments_are_collected_shown_and_sent_as_one_prompt(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(two_places)
    chat.run("edit", timeout=30)
    change = chat.changes["a.py"]
    change.comment(2, "Say why.")
    change.comment(2, "Keep it.", old=True)
    chat.changes["b.py"].comment(1, "And here.")
    with pytest.raises(InvalidOption, match=r"a\.py has no line 400: it has 1"):
        change.comment(400, "Beyond.")
    assert [(c.quoted, c.old) for c in chat.changes.comments] == [("c", False), ("b", True), ("a", False)]
    turn = chat.changes.send_comments()
    turn.wait(30)
    said = next(entry.body.text for entry in reversed(list(chat.transcript)) if entry.kind == "user_message")
    assert said == comments_prompt(
        [
            Comment(path="a.py", line=2, text="Say why.", quoted="c"),
            Comment(path="a.py", line=2, text="Keep it.", quoted="b", old=True),
            Comment(path="b.py", line=1, text="And here.", quoted="a"),
        ]
    )
    assert chat.changes.comments == ()
    with pytest.raises(InvalidOption, match="no comments to send"):
        chat.changes.send_comments()
