from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from coder_nb.client.chat import Chat
from coder_nb.client.permission import Permission
from coder_nb.client.question import Question
from coder_nb.core.entries import Choice, End, Text, TurnEnded
from coder_nb.core.stream import Frame
from coder_nb.errors import (
    ConnectionLost,
    EmptyPrompt,
    InvalidOption,
    NobodyToAsk,
    TurnCancelled,
    TurnFailed,
    UnknownAgent,
)
from coder_nb.testing.memory_runtime import Play, Stage

Open = Callable[..., Chat]


async def endless(stage: Stage) -> End:
    stage.put(Text(text="working"))
    await stage.forever()
    return "completed"


def ends(end: End, message: str = "", code: str = "") -> Play:
    async def play(stage: Stage) -> TurnEnded:
        return TurnEnded(end=end, message=message, code=code)

    return play


async def asks(stage: Stage) -> End:
    option, by = await stage.ask("rm -r build", asking="callback")
    always = f", {stage.always.offer} in the {stage.always.scope}" if stage.always else ""
    stage.put(Text(text=f"{option} by {by}{always}"))
    return "completed"


def test_waiting_gives_the_turn_back_when_it_is_complete(open_chat: Open) -> None:
    chat = open_chat()
    turn = chat.prompt("hello")
    assert turn.wait(30) is turn
    assert (turn.state, turn.text, turn.done()) == ("completed", "You said: hello", True)


def test_awaiting_gives_the_turn_back_when_it_is_complete(open_chat: Open) -> None:
    chat = open_chat()

    async def main() -> str:
        return (await chat.prompt("hello")).text

    assert asyncio.run(main()) == "You said: hello"


def test_the_blocking_twin_prompts_and_waits(open_chat: Open) -> None:
    assert open_chat().run("hello", timeout=30).text == "You said: hello"


def test_prompts_of_one_chat_run_one_after_another_in_their_order(open_chat: Open) -> None:
    chat = open_chat()
    first, second, third = (chat.prompt(word) for word in ("one", "two", "three"))
    assert third.wait(30).state == "completed"
    assert [first.state, second.state] == ["completed", "completed"]
    said = [entry.body.text for entry in chat.transcript if isinstance(entry.body, Text)]
    assert said == ["You said: one", "You said: two", "You said: three"]
    assert second.text == "You said: two"


@pytest.mark.parametrize("end", ["failed", "refused", "limited", "interrupted"])
def test_a_turn_that_did_not_complete_raises_its_message(open_chat: Open, end: End) -> None:
    turn = open_chat(ends(end, "No more tokens: start a new chat.")).prompt("hello")
    with pytest.raises(TurnFailed, match="No more tokens") as caught:
        turn.wait(30)
    assert caught.value.turn is turn
    assert turn.state == end


def test_a_turn_in_which_nobody_could_be_asked_says_so(open_chat: Open) -> None:
    turn = open_chat(ends("cancelled", "Nobody was there: open the notebook.", NobodyToAsk.code)).prompt("hello")
    with pytest.raises(NobodyToAsk, match="open the notebook"):
        turn.wait(30)


def test_a_stopped_turn_raises_that_it_was_stopped(open_chat: Open) -> None:
    begun = threading.Event()

    async def play(stage: Stage) -> End:
        begun.set()
        return await endless(stage)

    chat = open_chat(play)
    turn = chat.prompt("hello")
    assert begun.wait(30)
    assert chat.stop()
    with pytest.raises(TurnCancelled) as caught:
        turn.wait(30)
    assert caught.value.turn is turn
    assert not chat.stop()


def test_a_time_out_leaves_the_turn_running(open_chat: Open) -> None:
    turn = open_chat(endless).prompt("hello")
    with pytest.raises(TimeoutError):
        turn.wait(0.01)
    assert not turn.done()


def test_an_interrupt_of_a_blocking_wait_stops_the_turn(open_chat: Open) -> None:
    turn = open_chat(endless).prompt("hello")
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        turn.wait()
    with pytest.raises(TurnCancelled):
        turn.wait(30)


def test_an_interrupt_before_the_turn_is_in_hand_stops_it_too(open_chat: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        """A display in whose waiting the interrupt comes."""

        def wait(self) -> None:
            raise KeyboardInterrupt

        def begin(self, turn_id: str) -> None:
            pass

        def finish(self, snapshot: object) -> None:
            ended.set()

    ended = threading.Event()
    chat = open_chat(endless)
    monkeypatch.setattr(chat, "_follow", lambda prompt: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        chat.prompt("hello")
    assert ended.wait(30)
    assert chat.info.run_status == "idle"


def test_cancelling_an_awaited_turn_stops_it(open_chat: Open) -> None:
    turn = open_chat(endless).prompt("hello")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(turn, 0.05)

    asyncio.run(main())
    with pytest.raises(TurnCancelled):
        turn.wait(30)


def test_a_prompt_that_waits_is_withdrawn_by_its_own_stop(open_chat: Open) -> None:
    chat = open_chat(endless)
    running, waiting = chat.prompt("one"), chat.prompt("two")
    assert waiting.state == "waiting"
    assert waiting.stop()
    with pytest.raises(TurnCancelled, match="out of the queue"):
        waiting.wait(30)
    assert running.state == "running"
    assert not waiting.stop()


def test_a_prompt_after_a_stop_goes_on_by_itself_when_nothing_else_was_held(open_chat: Open) -> None:
    chat = open_chat(endless)
    turns = [chat.prompt("one"), chat.prompt("two")]
    chat.stop()
    with pytest.raises(TurnCancelled):
        turns[0].wait(30)
    assert chat.info.held
    assert turns[1].stop()
    third = chat.prompt("three")
    assert not chat.info.held
    third.stop()


def test_a_prompt_into_a_held_queue_says_how_to_let_it_run(open_chat: Open) -> None:
    chat = open_chat(endless)
    first, second = chat.prompt("one"), chat.prompt("two")
    chat.stop()
    with pytest.raises(TurnCancelled):
        first.wait(30)
    with pytest.warns(UserWarning, match=r"chat\.go_on\(\)"):
        third = chat.prompt("three")
    assert (second.state, third.state) == ("waiting", "waiting")
    chat.go_on()
    assert second.stop()
    with pytest.raises(TurnCancelled):
        second.wait(30)


def test_what_cannot_be_prompted_raises_at_once_and_leaves_no_trace(open_chat: Open) -> None:
    chat = open_chat()
    with pytest.raises(EmptyPrompt):
        chat.prompt("  ")
    with pytest.raises(UnknownAgent):
        chat.prompt("hello", agent="nobody")
    assert len(chat.transcript) == 0


@pytest.mark.parametrize(
    ("decide", "expected"),
    [
        (lambda permission: permission.allow(), "once by callback"),
        (lambda permission: permission.allow(always=True), "once by callback, commands in the session"),
        (lambda permission: permission.deny(), "no by callback"),
        (lambda permission: True, "once by callback"),
        (lambda permission: None, "no by callback"),
    ],
)
def test_a_callback_answers_a_permission(
    open_chat: Open, decide: Callable[[Permission], bool | None], expected: str
) -> None:
    assert open_chat(asks).run("hello", on_permission=decide, timeout=30).text == expected


COLOURS = (Choice("r", "Red"), Choice("b", "Blue"))


async def wonders(stage: Stage) -> End:
    said, by = await stage.question("Which colour?", asking="callback", choices=COLOURS)
    stage.put(Text(text=f"{', '.join(said) or 'nothing'} by {by}"))
    return "completed"


@pytest.mark.parametrize(
    ("decide", "expected"),
    [
        (lambda question: question.answer("b"), "b by callback"),
        (lambda question: question.answer("blue"), "b by callback"),
        (lambda question: "Red", "r by callback"),
        (lambda question: ["a green of mine"], "a green of mine by callback"),
        (lambda question: question.decline(), "nothing by callback"),
        (lambda question: None, "nothing by callback"),
    ],
)
def test_a_callback_answers_a_question(open_chat: Open, decide: Callable[[Question], None], expected: str) -> None:
    chat = open_chat(wonders)
    assert chat.run("hello", on_question=decide, timeout=30).text == expected
    assert chat.prompt("one", on_question=decide).prompt.answers == ("on_question",)


def test_a_callback_that_gives_an_answer_which_is_none_declines_and_is_raised(open_chat: Open) -> None:
    turn = open_chat(wonders).prompt("hello", on_question=lambda question: ["r", "b"])
    with pytest.raises(InvalidOption, match="takes one answer"):
        turn.wait(30)
    assert turn.text == "nothing by callback"


def test_an_asynchronous_callback_answers_a_permission(open_chat: Open) -> None:
    async def decide(permission: Permission) -> bool:
        await asyncio.sleep(0)
        return permission.title == "rm -r build"

    assert open_chat(asks).run("hello", on_permission=decide, timeout=30).text == "once by callback"


def test_a_callback_that_fails_refuses_and_its_error_is_raised_where_the_turn_is_waited_for(open_chat: Open) -> None:
    def decide(permission: Permission) -> bool:
        raise LookupError("my own bug")

    turn = open_chat(asks).prompt("hello", on_permission=decide)
    with pytest.raises(LookupError, match="my own bug"):
        turn.wait(30)
    assert turn.text == "no by callback"


def test_the_prompt_says_how_its_caller_can_answer(open_chat: Open) -> None:
    chat = open_chat()
    assert chat.prompt("one", on_permission=lambda permission: True).prompt.answers == ("callback",)
    assert chat.prompt("two").prompt.answers == ()


def test_a_person_at_the_terminal_is_asked_while_the_turn_is_waited_for(
    open_chat: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage) -> End:
        option, by = await stage.ask("rm -r build", asking="stdin")
        stage.put(Text(text=f"{option} by {by}"))
        return "completed"

    monkeypatch.setattr("coder_nb.client.turn.stdin_allowed", lambda: True)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    assert open_chat(play).run("hello", timeout=30).text == "once by stdin"
    assert len(asked) == 1
    assert "rm -r build" in asked[0]


def test_a_turn_prints_as_its_transcript(open_chat: Open) -> None:
    turn = open_chat().run("hello", agent="replay", timeout=30)
    assert str(turn) == "── replay\n\n> hello\n\nYou said: hello"
    assert repr(turn) == "<Turn of replay: completed>"


def test_a_server_that_goes_away_in_mid_turn_is_raised_as_that(open_chat: Open) -> None:
    chat = open_chat(endless)

    async def broken(chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        raise ConnectionLost
        yield

    chat._link.verbs.stream = broken  # type: ignore[method-assign]
    with pytest.raises(ConnectionLost, match="start it again"):
        chat.run("hello", timeout=30)
