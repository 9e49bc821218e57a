"""The agent's own sessions: listed, told, branched off, closed; and what goes into one with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.acp import content, signin
from coder_nb.backends.base import Asked, ForkOf, McpServer
from coder_nb.backends.events import AnyEvent, Done, Noticed, QuestionAsked, TextDelta, UserSaid
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.entries import Attachment, Choice
from coder_nb.errors import AgentNotLoggedIn, AgentUnavailable, InvalidOption, NotFound
from coder_nb.testing import scripted_agent
from coder_nb.testing.backend_conformance import done_of, text_of, turn

pytestmark = pytest.mark.anyio


async def said_in(session: Any, *prompts: str) -> str:
    for prompt in prompts:
        await turn(session, prompt)
    return str(session.native_id)


# Listing, telling, branching off --------------------------------------------------------------------------------------


async def test_sessions_are_listed_page_by_page_for_their_directory(world: Any) -> None:
    ids = {await said_in(await world.open(), "say a"), await said_in(await world.open(), "say b")}
    found = await world.backend().native_sessions("scripted", world.cwd)
    assert {session.native_id for session in found} == ids
    assert found[0].title == f"The {found[0].native_id}"
    assert await world.backend(scripted_agent.entry(list=False)).native_sessions("scripted", world.cwd) == ()


async def test_a_history_is_told_turn_by_turn(world: Any) -> None:
    native_id = await said_in(await world.open(), "say a", "say b")
    told = [event async for event in world.backend().told("scripted", native_id, world.cwd)]
    assert [(type(event), event.text) for event in told if isinstance(event, UserSaid | TextDelta)] == [
        (UserSaid, "say a"),
        (TextDelta, "(again) say a"),
        (UserSaid, "say b"),
        (TextDelta, "(again) say b"),
    ]
    assert not any(isinstance(event, Done) for event in told)


async def test_what_is_not_there_or_not_told_is_said(world: Any) -> None:
    with pytest.raises(NotFound, match="no session 'nothing'"):
        await anext(world.backend().told("scripted", "nothing", world.cwd))
    with pytest.raises(AgentUnavailable, match="does not tell"):
        await anext(world.backend(scripted_agent.entry(load=False)).told("scripted", "nothing", world.cwd))


async def test_a_fork_begins_with_what_the_other_holds_and_leaves_it_alone(world: Any) -> None:
    origin = await world.open()
    native_id = await said_in(origin, "say a")
    backend = world.backend()
    fork = await backend.open(world.opening(fork=ForkOf(native_id=native_id)), idle_events=world.idle.append)
    world.sessions.append(fork)
    assert fork.resumed == "forked"
    assert fork.native_id != native_id
    assert text_of(await turn(fork, "recall")) == "I remember: say a"
    assert text_of(await turn(origin, "recall")) == "I remember: say a"


@pytest.mark.parametrize(
    ("options", "fork"),
    [({"fork": False}, ForkOf(native_id="x")), ({}, ForkOf(native_id="gone")), ({}, ForkOf(native_id="x", at="y"))],
    ids=["not offered", "not known", "not at its end"],
)
async def test_a_fork_that_cannot_be_is_a_new_session_and_says_so(world: Any, options: Any, fork: ForkOf) -> None:
    backend = world.backend(scripted_agent.entry(**options))
    session = await backend.open(world.opening(fork=fork), idle_events=world.idle.append)
    world.sessions.append(session)
    assert session.resumed == "forgotten"
    assert text_of(await turn(session, "recall")) == "I remember: "


async def test_a_session_that_is_not_needed_is_closed_and_can_be_gone_on_with(world: Any) -> None:
    session = await world.open()
    native_id = await said_in(session, "say a")
    await session.close()
    assert (world.home / ".scripted-agent" / "closed").read_text() == native_id
    assert (await world.open(native_id=native_id)).resumed == "resumed"


async def test_capabilities_are_those_that_the_agent_offers(world: Any) -> None:
    can = (await world.open()).capabilities
    assert (can.resume, can.load, can.fork, can.list, can.close, can.images, can.files) == (True,) * 7
    less = (await world.open(fork=False, list=False, close=False, images=False, files=False)).capabilities
    assert (less.fork, less.list, less.close, less.images, less.files, less.mcp) == (False,) * 5 + (True,)


# Logging in -----------------------------------------------------------------------------------------------------------


async def test_a_key_in_a_variable_is_used_and_nothing_else_is_begun(world: Any) -> None:
    entry = scripted_agent.entry(auth=True)
    with pytest.raises(AgentNotLoggedIn, match=r"offers: The door, A key. To use it here, .* set SCRIPTED_KEY where"):
        await world.backend(entry).open(world.opening(), idle_events=world.idle.append)
    entry["env"]["SCRIPTED_KEY"] = "k"
    session = await world.backend(entry).open(world.opening(), idle_events=world.idle.append)
    world.sessions.append(session)
    assert text_of(await turn(session, "say in")) == "in"


def test_each_way_to_log_in_is_said_as_what_the_user_does() -> None:
    spec = AgentSpec(name="mine", label="Mine", argv=("mine", "--acp"))
    methods = [
        {"id": "t", "type": "terminal", "args": ["login", "--now"]},
        {"id": "k", "type": "env_var", "vars": [{"name": "A"}, {"name": "B", "optional": True}, {"name": "C"}]},
        {"id": "d", "description": "knock at the door"},
    ]
    assert signin.cure(spec, methods) == (
        "run `mine login --now` in a terminal or set A and C where Jupyter starts or knock at the door"
    )
    assert signin.by_variables(methods, {"A": "1"}) is None
    assert signin.by_variables(methods, {"A": "1", "C": "1"}) == "k"
    assert signin.cure(AgentSpec(name="x", login="run `x`"), methods) == "run `x`"
    assert signin.methods_of({"authMethods": [7, {}, {"id": "a"}]}) == [{"id": "a"}]


# What goes in ---------------------------------------------------------------------------------------------------------

PICTURE = Attachment(name="a.png", mime_type="image/png", data=b"png")
TEXT = Attachment(name="a.txt", data=b"hello")
DATA = Attachment(name="a.bin", mime_type="application/x", data=b"\xff")
PATH = Attachment(name="b.csv", mime_type="text/csv", path="data/b.csv")


def blocks(one: Attachment, *, images: bool, files: bool) -> Any:
    return content.prompt("look", [one], cwd=Path("/work"), images=images, files=files)[1]


def test_an_attachment_is_carried_along_where_the_agent_takes_it() -> None:
    assert blocks(PICTURE, images=True, files=True) == {"type": "image", "data": "cG5n", "mimeType": "image/png"}
    resource = {"uri": "attachment:///a.txt", "mimeType": "text/plain", "text": "hello"}
    assert blocks(TEXT, images=True, files=True) == {"type": "resource", "resource": resource}
    assert blocks(DATA, images=True, files=True)["resource"]["blob"] == "/w=="


def test_an_attachment_is_named_or_told_where_the_agent_does_not_take_it() -> None:
    link = {"type": "resource_link", "uri": "file:///work/data/b.csv", "name": "b.csv", "mimeType": "text/csv"}
    assert blocks(PATH, images=True, files=True) == blocks(PATH, images=False, files=False) == link
    assert blocks(TEXT, images=False, files=False)["text"].endswith("holds:\n\nhello")
    for one in (PICTURE, DATA):
        assert "could not be handed over" in blocks(one, images=False, files=False)["text"]


async def test_a_picture_by_its_path_is_carried_along(world: Any) -> None:
    (world.cwd / "a.png").write_bytes(b"png")
    session = await world.open()
    picture = Attachment(name="a.png", mime_type="image/png", path="a.png")
    events = [e async for e in session.prompt(Asked(text="blocks", user_text="", attachments=(picture, PATH)))]
    image, link = json.loads(text_of(events))
    assert (image["type"], image["data"], link["type"]) == ("image", "cG5n", "resource_link")


async def test_mcp_servers_are_handed_on_by_the_ways_that_the_agent_has(world: Any) -> None:
    servers = (
        McpServer(name="docs", command=("python3", "-m", "docs"), env={"K": "v"}),
        McpServer(name="web", url="http://127.0.0.1/mcp", headers={"A": "b"}),
        McpServer(name="old", url="http://127.0.0.1/sse", transport="sse"),
    )
    session = await world.backend().open(world.opening(mcp_servers=servers), idle_events=world.idle.append)
    world.sessions.append(session)
    docs, web = json.loads(text_of(await turn(session, "servers")))
    assert Path(docs.pop("command")).name == "python3"
    assert docs == {"name": "docs", "args": ["-m", "docs"], "env": [{"name": "K", "value": "v"}]}
    assert web == {"type": "http", "name": "web", "url": servers[1].url, "headers": [{"name": "A", "value": "b"}]}
    assert [e.text for e in world.idle if isinstance(e, Noticed)] == ["Scripted cannot reach these MCP servers: old."]


async def test_further_options_are_set_by_the_entry_and_a_wrong_one_is_named(world: Any) -> None:
    def entry(**options: str) -> dict[str, Any]:
        return scripted_agent.entry() | {"options": options}

    session = await world.backend(entry(effort="high")).open(world.opening(), idle_events=world.idle.append)
    world.sessions.append(session)
    assert text_of(await turn(session, "options")) == "high"
    for wrong, said in ({"effort": "huge"}, "choose one of low, high"), ({"colour": "red"}, "it offers model, effort"):
        with pytest.raises(InvalidOption, match=said):
            await world.backend(entry(**wrong)).open(world.opening(), idle_events=world.idle.append)


async def test_variables_of_the_working_directory_reach_the_agent_and_the_entry_wins(world: Any) -> None:
    entry = scripted_agent.entry()
    entry["env"]["MINE"] = "entry"
    opening = world.opening(env={"VIRTUAL_ENV": "/venv", "MINE": "directory"})
    session = await world.backend(entry).open(opening, idle_events=world.idle.append)
    world.sessions.append(session)
    assert text_of(await turn(session, "env VIRTUAL_ENV; env MINE")) == "/venventry"


# Forms ----------------------------------------------------------------------------------------------------------------


async def answered(
    session: Any, fields: dict[str, Any], *answers: tuple[str, ...] | None
) -> tuple[str, list[AnyEvent]]:
    events: list[AnyEvent] = []
    left = list(answers)
    async for event in session.prompt(Asked(text=f"form {json.dumps(fields)}", user_text="")):
        events.append(event)
        if isinstance(event, QuestionAsked) and left:
            await session.reply(event.request_id, left.pop(0))
    return text_of(events), events


async def test_a_form_is_a_question_a_field_and_its_answers_fill_it(world: Any) -> None:
    session = await world.open()
    fields = {
        "name": {"type": "string", "title": "Your name"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "sure": {"type": "boolean", "description": "Are you sure?"},
        "colours": {
            "type": "array",
            "items": {"anyOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "B"}]},
        },
        "pick": {"type": "string", "oneOf": [{"const": "x", "title": "X", "description": "the x"}]},
        "pick_custom": {"type": "string"},
        "skipped": {"type": "string"},
    }
    answers = (("Ada", "L."), ("3",), ("0.5",), ("yes",), ("r", "b"), ("mine",), ())
    text, events = await answered(session, fields, *answers)
    assert json.loads(text) == {
        "action": "accept",
        "content": {
            **{"name": "Ada L.", "count": 3, "share": 0.5, "sure": True},
            **{"colours": ["r", "b"], "pick_custom": "mine"},
        },
    }
    questions = [event for event in events if isinstance(event, QuestionAsked)]
    assert [q.text for q in questions[:4]] == [
        f"Tell me\n\n{own}" for own in ("Your name", "count", "share", "Are you sure?")
    ]
    assert questions[4].multiple
    assert (questions[5].choices, questions[5].custom) == ((Choice(id="x", label="X", description="the x"),), True)
    assert session.capabilities.questions is True


async def test_an_answer_that_does_not_fit_is_asked_for_again_and_a_refusal_is_one(world: Any) -> None:
    session = await world.open()
    text, events = await answered(session, {"count": {"type": "integer"}}, ("three",), ("3",))
    assert json.loads(text)["content"] == {"count": 3}
    assert "does not fit" in [event for event in events if isinstance(event, QuestionAsked)][1].text
    text, _ = await answered(session, {"a": {"type": "string"}, "b": {"type": "string"}}, ("one",), None)
    assert json.loads(text) == {"action": "decline"}


async def test_a_form_that_is_not_understood_is_cancelled_and_kept(world: Any) -> None:
    session = await world.open()
    text, events = await answered(session, {"a": {"type": 7}})
    assert json.loads(text) == {"action": "cancel"}
    assert [event.type for event in events if hasattr(event, "source")] == ["elicitation/create"]
    assert done_of(events).end == "completed"
