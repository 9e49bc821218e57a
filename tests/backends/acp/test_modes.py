"""The mode of a turn is set, and held to what the agent publishes of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coder_nb.backends.base import AgentSession, Asked
from coder_nb.backends.events import Done, PermissionAsked, TextDelta
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import AgentProtocolError, InvalidOption

pytestmark = pytest.mark.anyio


async def turn(session: AgentSession, text: str, mode: PermissionMode = "ask") -> tuple[Done, str]:
    """A turn in which everything is refused: its end, and what was said."""
    said, done = "", None
    async for event in session.prompt(Asked(text=text, user_text=text, mode=mode)):
        if isinstance(event, PermissionAsked):
            await session.answer(event.request_id, None)
        said += event.text if isinstance(event, TextDelta) else ""
        done = event if isinstance(event, Done) else done
    assert done is not None
    return done, said


async def test_an_agent_that_says_yes_and_stays_in_its_mode_is_not_prompted(world: Any) -> None:
    with pytest.raises(AgentProtocolError, match="did not take the mode 'ask'"):
        await world.open(mode="ask", stubborn=True)
    session = await world.open(mode="bypass", stubborn=True)  # the mode in which it is anyway
    done, said = await turn(session, "say hello", mode="plan")
    assert (done.end, done.code, said) == ("failed", AgentProtocolError.code, "")


def went_into(mode: str) -> str:
    return "update " + json.dumps({"sessionUpdate": "current_mode_update", "currentModeId": mode})


@pytest.mark.parametrize(
    ("ours", "theirs"), [("ask", "yolo"), ("ask", "edits"), ("plan", "ask"), ("ask", "unheard of")]
)
async def test_an_agent_that_goes_into_a_wider_mode_by_itself_does_not_go_on(
    world: Any, ours: PermissionMode, theirs: str
) -> None:
    session = await world.open(mode=ours)
    done, said = await turn(session, f"say before; {went_into(theirs)}; hang", ours)
    assert (done.end, done.code, done.alive, said) == ("failed", AgentProtocolError.code, False, "before")
    assert repr(theirs) in done.message
    assert not session.alive


@pytest.mark.parametrize(("ours", "theirs"), [("ask", "plan"), ("accept_edits", "ask"), ("bypass", "edits")])
async def test_one_that_becomes_more_careful_goes_on_and_is_set_back_for_the_next_turn(
    world: Any, ours: PermissionMode, theirs: str
) -> None:
    session = await world.open(mode=ours)
    done, said = await turn(session, f"{went_into(theirs)}; say after", ours)
    assert (done.end, said) == ("completed", "after")
    done, _ = await turn(session, "say again", ours)
    assert done.end == "completed"
    assert session.alive


async def test_an_agent_of_which_no_mode_that_only_reads_is_known_is_not_prompted_for_a_plan(world: Any) -> None:
    with pytest.raises(InvalidOption, match=r"name it in the setting `agents\.\w+\.modes`"):
        await world.open(mode="plan", modes=False)
    session = await world.open(mode="ask", modes=False)
    done, said = await turn(session, "say hello", mode="plan")
    assert (done.end, done.code, said) == ("failed", InvalidOption.code, "")
    done, said = await turn(session, "say hello")
    assert (done.end, said) == ("completed", "hello")
