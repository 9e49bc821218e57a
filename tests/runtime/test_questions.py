"""What agents ask of people besides permissions: how a question waits, is answered, declined, and ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.place import Person, Place

from coder_nb import errors, ids
from coder_nb.backends.base import Asked
from coder_nb.backends.events import AnyEvent, PermissionAsked, PermissionGone, QuestionAsked, QuestionGone, TextDelta
from coder_nb.backends.replay.session import ReplaySession
from coder_nb.core import codec, questions
from coder_nb.core.entries import (
    AnyBody,
    Choice,
    Entry,
    Permission,
    PermissionOption,
    Question,
    Text,
    TurnEnded,
    TurnStarted,
    UserMessage,
)

pytestmark = pytest.mark.anyio
COLOURS = (Choice("r", "Red"), Choice("b", "Blue", "as the sky"))
ONE = Question(request_id="q", text="Which colour?", choices=COLOURS)


def recorded(path: Path, *turns: tuple[str, tuple[AnyBody, ...]]) -> str:
    """A recording for the replay agent: prompts, and what follows each."""
    rows = [b'{"format": "coder-nb.chat", "version": 1, "chat": {}, "session": {}}']
    for number, (prompt, bodies) in enumerate(turns):
        for body in (TurnStarted("replay"), UserMessage(prompt), *bodies, TurnEnded("completed")):
            entry = Entry(id=ids.new_id(), chat_id="c", body=body, turn_id=f"t{number}", ts=1, pos=len(rows))
            rows.append(b'{"entry":%s}' % codec.encode(entry))
    path.write_bytes(b"\n".join(rows) + b"\n")
    return str(path)


async def asking(place: Place, *bodies: AnyBody, **settings: Any) -> Person:
    """Somebody whose replay agent asks, then says "Good."."""
    recording = recorded(place.root / "asks.jsonl", ("go", (*bodies, Text("Good."))))
    return await place.person(replay_recording=recording, **settings)


async def question_of(person: Person, turn_id: str | None = None) -> Question:
    (body,) = (e.body for e in await person.entries(turn_id) if isinstance(e.body, Question))
    return body


async def test_a_question_waits_open_until_it_is_answered_and_the_turn_goes_on(place: Place) -> None:
    person = await asking(place, ONE)
    running = await person.send("go", agent="replay", answers=("on_question",))
    asked = await person.shown("question")
    assert asked.open
    assert isinstance(asked.body, Question)
    assert (asked.body.status, asked.body.choices) == ("pending", COLOURS)
    await person.asking("callback")
    chat, request = person.chat.id, asked.body.request_id
    for wrong in (["green", "r"], [], ["r", "r"], [" "]):
        with pytest.raises(errors.InvalidOption):
            await person.runtime.reply(chat, request, wrong, by="a person")
    assert not await person.runtime.answer(chat, request, "r", by="no permission")
    assert await person.runtime.reply(chat, request, ["b"], by="a person")
    turn = await person.ended(running)
    assert (turn.end, await person.said(turn.id)) == ("completed", "Good.")
    body = await question_of(person, turn.id)
    assert (body.status, body.answer, body.by) == ("answered", ("b",), "a person")
    assert body.waited_ms is not None
    assert not await person.runtime.reply(chat, request, ["r"], by="late")
    assert (await person.state()).asking is None


async def test_a_question_is_asked_where_a_browser_was_just_seen_and_can_be_declined(place: Place) -> None:
    person = await asking(place, ONE)
    await person.runtime.attend(person.chat.id, who="browser")
    running = await person.send("go", agent="replay", answers=("callback",))  # it answers permissions only
    asked = (await person.shown("question")).body
    assert isinstance(asked, Question)
    await person.asking("browser")
    assert await person.runtime.reply(person.chat.id, asked.request_id, None, by="a person")
    assert (await person.ended(running)).end == "completed"
    assert (await question_of(person)).status == "declined"


async def test_where_nobody_is_there_a_question_is_declined_and_the_turn_goes_on(place: Place) -> None:
    person = await asking(place, ONE)
    turn = await person.prompt("go", agent="replay", mode="bypass")
    assert (turn.end, turn.code) == ("completed", "")
    body = await question_of(person)
    assert (body.status, body.answer, body.by) == ("declined", (), "nobody")


async def test_a_stop_expires_the_questions_that_are_open(place: Place) -> None:
    person = await asking(place, ONE)
    running = await person.send("go", agent="replay", answers=("on_question",))
    await person.shown("question")
    await person.runtime.stop(person.chat.id)
    turn = await person.ended(running)
    assert turn.end == "cancelled"
    assert (await question_of(person)).status == "expired"
    assert not any(entry.open for entry in await person.entries(turn.id))


async def test_a_permission_and_a_question_at_once_are_told_apart(place: Place) -> None:
    option = PermissionOption(id="yes", label="Allow", kind="allow_once")
    person = await asking(place, Permission(request_id="p", title="May I?", options=(option,)), ONE)
    running = await person.send("go", agent="replay", answers=("callback", "on_question"))
    permission = (await person.shown("permission")).body
    assert isinstance(permission, Permission)
    assert not await person.runtime.reply(person.chat.id, permission.request_id, ["yes"], by="no question")
    assert await person.runtime.answer(person.chat.id, permission.request_id, "yes", by="a person")
    question = (await person.shown("question")).body
    assert isinstance(question, Question)
    assert await person.runtime.reply(person.chat.id, question.request_id, ["any green"], by="a person")
    assert (await person.ended(running)).end == "completed"
    assert (await question_of(person)).answer == ("any green",)


async def test_a_request_that_the_agent_takes_back_is_over_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()

    async def takes_back(self: ReplaySession, asked: Asked) -> AsyncIterator[AnyEvent]:
        yield PermissionAsked(request_id="p", title="May I?")
        yield QuestionAsked(request_id="p", text="Which?")
        yield PermissionGone(request_id="p")
        yield QuestionGone(request_id="p")
        yield QuestionGone(request_id="never asked")
        yield TextDelta(text="Never mind.")
        await go_on.wait()

    monkeypatch.setattr(ReplaySession, "prompt", takes_back)
    person = await place.person()
    running = await person.send("go", agent="replay", answers=("callback", "on_question"))
    await person.shown("text", "Never mind.")
    for kind in ("permission", "question"):
        entry = await person.shown(kind, "expired")
        assert not entry.open
    assert (await person.state()).asking is None
    go_on.set()
    await person.ended(running)


@pytest.mark.parametrize(
    ("fields", "answer", "fine"),
    [
        ({}, ("r",), True),
        ({}, ("a colour of mine",), True),
        ({}, ("r", "b"), False),
        ({"multiple": True}, ("r", "b", "green"), True),
        ({"multiple": True}, ("r", "r"), False),
        ({"custom": False}, ("green",), False),
        ({"custom": False}, ("b",), True),
        ({"custom": False}, (), False),
        ({"choices": (), "custom": False}, ("words",), True),
        ({"choices": ()}, ("\n",), False),
        ({"choices": ()}, ("x" * (questions.LONGEST + 1),), False),
    ],
)
def test_which_answers_a_question_takes(fields: dict[str, Any], answer: tuple[str, ...], fine: bool) -> None:
    asked = msgspec.structs.replace(ONE, **fields)
    with contextlib.nullcontext() if fine else pytest.raises(errors.InvalidOption, match=": "):
        questions.check(asked.choices, answer, multiple=asked.multiple, custom=asked.custom)
