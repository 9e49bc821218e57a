"""What is told before a prompt is sent: what it may ask of each agent, and what it will find of the agent's memory."""

from __future__ import annotations

import json

import pytest
from support.place import Person, Place, make_repository

from coder_nb import errors
from coder_nb.core.agents import AgentOffer
from coder_nb.core.entries import Attachment, TurnStarted, UserMessage
from coder_nb.runtime.offers import is_told, memory
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent

pytestmark = pytest.mark.anyio

PICTURE = Attachment(name="dot.png", mime_type="image/png", data=b"\x89PNG")


async def offers(person: Person) -> dict[str, AgentOffer]:
    return {offer.agent: offer for offer in await person.runtime.offers(person.chat.id)}


async def remembered(person: Person) -> dict[str, tuple[str, bool]]:
    """Of the two scripted agents, what the next prompt finds of each one's memory, and whether it is told anything."""
    return {
        agent: (one.memory, one.told) for agent, one in (await offers(person)).items() if agent in ("scripted", "other")
    }


def test_what_goes_on_is_resumed_what_is_lost_is_told_again_and_what_never_was_is_new() -> None:
    assert [memory(goes_on=goes_on, spoke=spoke) for goes_on in (True, False) for spoke in (True, False)] == [
        "resumed",
        "resumed",
        "history",
        "new",
    ]
    for brings in ("resumed", "history", "new"):
        assert not is_told("a", [], brings)  # type: ignore[arg-type]


async def test_what_is_foretold_of_each_agents_memory_is_what_its_next_prompt_finds(place: Place) -> None:
    """Through turns of two agents, a start of the runtime, and a session that its agent has forgotten."""
    person = await place.person()
    assert await remembered(person) == {"scripted": ("new", False), "other": ("new", False)}
    await person.prompt("say one")
    assert await remembered(person) == {"scripted": ("resumed", False), "other": ("new", True)}
    turn = await person.prompt("recall", agent="other")
    assert "say one" in str([e.body for e in await person.entries() if e.kind == "user_message"])
    assert await remembered(person) == {"scripted": ("resumed", True), "other": ("resumed", False)}
    assert {info.agent: info.next for info in await person.runtime.agent_sessions(person.session.id)} == {
        "scripted": "resumed",
        "other": "resumed",
    }
    await person.runtime.close()
    again = Person(await place.runtime(), person.session, person.chat)
    assert await remembered(again) == {"scripted": ("resumed", True), "other": ("resumed", False)}
    turn = await again.prompt("recall", agent="other")
    assert "I remember" in await again.said(turn.id)


async def test_settings_that_have_changed_and_a_restore_cost_an_agent_its_memory_and_that_is_foretold(
    place: Place,
) -> None:
    person = await place.person()
    first = await person.prompt("say one")
    second = await person.prompt("say two")
    await person.runtime.close()
    changed = scripted_agent.entry() | {"env": scripted_agent.entry()["env"] | {"OTHER": "1"}}
    again = Person(await place.runtime(agents={"scripted": changed}), person.session, person.chat)
    assert (await remembered(again))["scripted"] == ("history", True)
    await again.runtime.restore(again.chat.id, first.id)
    assert (await remembered(again))["scripted"] == ("new", False), "nothing is left of what was said"
    assert second.end == "completed"


async def test_an_agent_says_what_it_takes_once_and_it_is_known_in_every_chat(place: Place) -> None:
    person = await place.person(agents={"scripted": scripted_agent.entry(images=False)}, most_permissive_mode="ask")
    before = (await offers(person))["scripted"]
    assert (before.models, before.images, before.files, before.modes) == ((), None, None, ("plan", "ask"))
    assert before.carries == Settings().attachment_limit
    await person.prompt("usage 1 2; say one")
    other = await place.person(person.runtime, path=make_repository(place.root / "elsewhere"))
    for one in (person, other):
        known = (await offers(one))["scripted"]
        assert [model.id for model in known.models] == ["small", "large"]
        assert known.efforts == {"": ("low", "high")}
        assert (known.images, known.files) == (False, True)
    assert (await offers(other))["scripted"].memory == "new"


async def test_a_prompt_carries_its_effort_and_its_files_to_the_agent_and_the_transcript(place: Place) -> None:
    person = await place.person()
    turn = await person.prompt("options; blocks", effort="high", attachments=(PICTURE,))
    said = await person.said(turn.id)
    assert said.startswith("high")
    (block,) = json.loads(said[said.index("[") :])
    assert (block["type"], block["mimeType"]) == ("image", "image/png")
    (message,) = [e.body for e in await person.entries() if isinstance(e.body, UserMessage)]
    assert message.attachments == (PICTURE,)
    (began,) = [e.body for e in await person.entries() if isinstance(e.body, TurnStarted)]
    assert began.effort == "high"
    refused = await person.prompt("options", effort="huge")
    assert (refused.end, refused.code) == ("failed", "invalid_option")


async def test_files_beyond_the_limit_are_refused_and_leave_no_trace(place: Place) -> None:
    person = await place.person(attachment_limit=4)
    await person.prompt("say one", attachments=(PICTURE,))
    large = Attachment(name="large.png", mime_type="image/png", data=b"12345")
    with pytest.raises(errors.PromptTooLong, match="attachment_limit"):
        await person.send("say two", attachments=(large,))
    assert (await person.state()).queued == ()
    assert len(await person.runtime.turns(person.chat.id)) == 1
