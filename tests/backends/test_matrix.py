"""The published matrix says what was probed."""

from __future__ import annotations

from support import matrix

from coder_nb.backends.registry import KNOWN
from coder_nb.testing import real_agents


def test_the_page_shows_what_the_real_agents_were_found_to_do() -> None:
    assert matrix.page() == matrix.PAGE.read_text(), "run scripts/matrix"


def test_every_known_agent_is_in_it_by_the_door_through_which_it_is_driven() -> None:
    assert set(matrix.published()["acp"]) == set(real_agents.OVER_ACP)
    assert set(matrix.published()["own"]) == {spec.name for spec in KNOWN if spec.backend != "acp"}
    assert {spec.name for spec in KNOWN if spec.backend == "acp"} <= set(real_agents.OVER_ACP)


def test_what_is_published_is_all_that_there_is_to_know_of_each() -> None:
    for door, agents in matrix.published().items():
        assert all(set(can) == set(matrix.ROWS[door]) for can in agents.values())
