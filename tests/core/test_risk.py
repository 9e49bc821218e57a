"""Which worktrees may go: a pure rule, with facts and a clock."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from coder_nb.core.risk import LISTED, Folder, Risk, may_take, weighed

SAFE = Folder(path="/w/s", touched_at=0.0, risk=Risk(session_id="s"))
HOUR = 3600.0


def test_an_orphan_that_holds_nothing_may_go_after_its_grace() -> None:
    assert may_take(SAFE, now=HOUR, grace=HOUR)[0]
    assert may_take(SAFE, now=HOUR - 1, grace=HOUR) == (False, "It was written to less than 60 minutes ago.")


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        ({"owner": "the session 'main' of /p"}, "belongs to the session"),
        ({"link": True}, "symbolic link"),
        ({"foreign": True}, "Another store"),
        ({"touched_at": None}, "cannot be told"),
        ({"risk": None}, "not looked at"),
        ({"risk": weighed(Risk(session_id="s", dirty=("a.txt",)))}, r"At risk: 1 changed file\."),
        ({"risk": weighed(Risk(session_id="s", error="git did not end."))}, "At risk: git did not end"),
    ],
)
def test_whatever_is_in_doubt_is_left(fact: dict[str, Any], why: str) -> None:
    take, said = may_take(replace(SAFE, **fact), now=1e9, grace=HOUR)
    assert not take
    assert re.search(why, said)


@pytest.mark.parametrize(
    "field", ["dirty", "staged", "untracked", "ignored", "submodules", "detached", "unmerged", "unpushed", "pending"]
)
def test_each_kind_of_work_is_a_risk(field: str) -> None:
    many = field in ("dirty", "staged", "untracked", "ignored", "submodules")
    value: Any = tuple(str(n) for n in range(LISTED + 1)) if many else 1
    found = weighed(Risk(session_id="s", **{field: value}))
    assert found.at_risk
    assert not weighed(Risk(session_id="s")).at_risk
    assert not many or len(getattr(found, field)) == LISTED
