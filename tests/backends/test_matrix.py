"""The published matrix says what was probed."""

from __future__ import annotations

from support import matrix

from coder_nb.backends.registry import KNOWN
from coder_nb.testing import real_agents


def test_the_page_shows_what_the_real_agents_were_found_to_do() -> None:
    assert matrix.page() == matrix.PAGE.read_text(), "run scripts/matrix"


def test_every_agent_that_counts_as_tested_over_acp_is_in_it() -> None:
    tested = {spec.name for spec in KNOWN if spec.backend == "acp" and spec.tested}
    assert tested <= set(real_agents.OVER_ACP)
    assert all(f"`{name}`" in matrix.table() for name in real_agents.OVER_ACP)
