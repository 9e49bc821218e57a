"""Comments on lines reach the agent as one prompt, in words that both the kernel and the page write alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coder_nb.core.comments import Comment, comments_prompt, line_of
from coder_nb.core.hunks import Hunk

CASES = json.loads((Path(__file__).parents[1] / "golden" / "comments.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_comments_are_worded_as_the_golden_cases_say(case: dict[str, Any]) -> None:
    assert comments_prompt(msgspec.convert(case["comments"], tuple[Comment, ...])) == case["prompt"]


def test_a_line_is_found_by_its_number_on_either_side() -> None:
    hunk = Hunk(old_start=5, old_lines=2, new_start=7, new_lines=2, lines=(" a", "-b", "+c", "\\ No newline"))
    assert [line_of([hunk], n, old=True) for n in (5, 6, 7)] == ["a", "b", None]
    assert [line_of([hunk], n, old=False) for n in (6, 7, 8)] == [None, "a", "c"]
