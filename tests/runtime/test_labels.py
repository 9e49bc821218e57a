"""An agent is shown under the name that its entry gives it, wherever its turn is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.place import Place

from coder_nb.client.text import entry_text
from coder_nb.core.entries import TurnStarted
from coder_nb.testing import scripted_agent

pytestmark = pytest.mark.anyio


async def test_a_turn_says_what_its_agent_is_called_where_that_is_not_its_name(tmp_path: Path) -> None:
    place = Place(tmp_path)
    entry = scripted_agent.entry() | {"label": "My Agent"}
    person = await place.person(agents={"mine": entry, "plain": entry | {"label": "plain"}})
    try:
        for agent, label in (("mine", "My Agent"), ("plain", "")):
            turn = await person.prompt("say hi", agent=agent)
            (began,) = [e for e in await person.entries() if e.turn_id == turn.id and isinstance(e.body, TurnStarted)]
            assert isinstance(began.body, TurnStarted)
            assert (began.body.agent, began.body.label) == (agent, label)
            assert f"── {label or agent}" in entry_text(began)
    finally:
        await place.close()
