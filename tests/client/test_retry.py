"""A turn that came to nothing is tried again with the prompt that it had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from coder_nb.client.chat import Chat
from coder_nb.client.permission import Permission
from coder_nb.client.prompting import AGAIN
from coder_nb.core.entries import End, TurnEnded, TurnStarted
from coder_nb.core.prompts import Prompt
from coder_nb.errors import Conflict, TurnCancelled, TurnFailed
from coder_nb.testing.memory_runtime import Play, Stage

Open = Callable[..., Chat]


def first(end: End, seen: list[Prompt]) -> Play:
    """A turn that ends so, and completes where it is tried again."""

    async def play(stage: Stage) -> TurnEnded:
        seen.append(stage.prompt)
        return TurnEnded(end=end if len(seen) == 1 else "completed", message="It is over.")

    return play


class Endless:
    """A first turn that goes on until it is stopped; the others complete."""

    def __init__(self) -> None:
        self.began = threading.Event()

    async def __call__(self, stage: Stage) -> End:
        if not self.began.is_set():
            self.began.set()
            await stage.forever()
        return "completed"


@pytest.mark.parametrize("end", AGAIN)
def test_the_prompt_is_sent_again_as_it_was(open_chat: Open, tmp_path: Path, end: End) -> None:
    seen: list[Prompt] = []
    chat = open_chat(first(end, seen))
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises((TurnFailed, TurnCancelled)):
        chat.run("Fix it", agent="goose", model="m", effort="high", mode="plan", files=[tmp_path / "a.txt"])
    turn = chat.retry()
    assert turn.wait(30).state == "completed"
    one, again = seen
    assert one.id != again.id == turn.prompt.id
    assert again == msgspec.structs.replace(one, id=again.id, created_at=again.created_at)


def test_what_has_completed_or_was_refused_is_not_repeated(open_chat: Open) -> None:
    chat = open_chat()
    with pytest.raises(Conflict, match="There is no turn in this chat"):
        chat.retry()
    chat.run("hello")
    with pytest.raises(Conflict, match="ended as completed"):
        chat.retry()
    chat = open_chat(first("refused", []))
    with pytest.raises(TurnFailed):
        chat.run("hello")
    with pytest.raises(Conflict, match="ended as refused"):
        chat.retry()


def test_a_turn_that_runs_is_not_tried_again(open_chat: Open) -> None:
    chat = open_chat(play := Endless())
    turn = chat.prompt("one")
    assert play.began.wait(60)
    with pytest.raises(Conflict, match="still runs"):
        chat.retry()
    turn.stop()
    with pytest.raises(TurnCancelled):
        turn.wait(30)


def test_a_turn_that_the_agent_began_has_no_prompt(open_chat: Open) -> None:
    async def play(stage: Stage) -> End:
        stage.put(TurnStarted(agent="goose", origin="agent"))
        return "failed"

    chat = open_chat(play)
    with pytest.raises(TurnFailed):
        chat.run("hello")
    with pytest.raises(Conflict, match="begun by its agent"):
        chat.retry()


def test_only_the_last_turn_counts(open_chat: Open) -> None:
    seen: list[Prompt] = []
    chat = open_chat(first("failed", seen))
    with pytest.raises(TurnFailed):
        chat.run("one")
    chat.run("two")
    with pytest.raises(Conflict):
        chat.retry()


@pytest.mark.filterwarnings("error")
def test_a_queue_that_is_held_goes_on_with_it(open_chat: Open) -> None:
    chat = open_chat(play := Endless())
    stopped, waiting = chat.prompt("one"), chat.prompt("two")
    assert play.began.wait(60)
    chat.stop()
    with pytest.raises(TurnCancelled):
        stopped.wait(30)
    assert chat.info.held
    again = chat.retry()
    assert [turn.wait(30).state for turn in (waiting, again)] == ["completed", "completed"]
    assert not chat.info.held


def test_it_is_asked_as_the_one_who_tries_again_says(open_chat: Open) -> None:
    answers: list[str | None] = []

    async def play(stage: Stage) -> End:
        if not answers:
            answers.append(None)
            return "failed"
        option, _ = await stage.ask("rm -r build", asking="callback")
        answers.append(option)
        return "completed"

    def allow(permission: Permission) -> bool:
        return True

    chat = open_chat(play)
    with pytest.raises(TurnFailed):
        chat.run("hello")
    assert chat.retry(on_permission=allow, display=False).wait(30).state == "completed"
    assert answers == [None, "once"]
