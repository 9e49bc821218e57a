"""A file is written in one step, and only over what was looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from coder_nb.errors import ApplyConflict
from coder_nb.worktrees import files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


def test_what_somebody_wrote_in_the_meantime_is_not_overwritten_or_removed(tree: Path) -> None:
    (tree / "a").write_text("seen")
    found = files.look(tree, "a")
    assert found is not None
    (tree / "a").write_text("written since")
    with pytest.raises(ApplyConflict, match="at this moment"):
        files.write(tree, "a", b"new", mode="100644", old_mode="100644", over=found)
    with pytest.raises(ApplyConflict, match="at this moment"):
        files.write(tree, "a", b"new", mode="100644", old_mode=None, over=None)
    with pytest.raises(ApplyConflict, match="at this moment"):
        files.remove(tree, "a", found)
    assert [(p.name, p.read_text()) for p in tree.iterdir()] == [("a", "written since")]


def test_what_was_looked_at_is_replaced_and_no_file_is_left_beside_it(tree: Path) -> None:
    (tree / "a").write_text("old")
    files.write(tree, "a", b"new", mode="100644", old_mode="100644", over=files.look(tree, "a"))
    assert [(p.name, p.read_text()) for p in tree.iterdir()] == [("a", "new")]


def test_removing_a_file_removes_the_folders_it_leaves_empty_and_no_others(tree: Path) -> None:
    (tree / "kept" / "gone" / "deep").mkdir(parents=True)
    (tree / "kept" / "gone" / "deep" / "a").write_text("")
    (tree / "kept" / "b").write_text("")
    found = files.look(tree, "kept/gone/deep/a")
    assert found is not None
    files.remove(tree, "kept/gone/deep/a", found)
    assert [p.name for p in (tree / "kept").iterdir()] == ["b"]
