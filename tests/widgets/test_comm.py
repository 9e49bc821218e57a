from __future__ import annotations

import queue
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from coder_nb.client.chat import Chat
from coder_nb.core.entries import End, Text
from coder_nb.testing.memory_runtime import Stage
from coder_nb.widgets.comm import Correspondent, Mailbox

Open = Callable[..., Chat]


class Page:
    """A front end: it gathers what a correspondent sends."""

    def __init__(self, chat: Chat) -> None:
        self.sent: queue.Queue[dict[str, Any]] = queue.Queue()
        self.correspondent = Correspondent(chat._link, chat.id, self.sent.put)

    def say(self, **message: Any) -> None:
        self.correspondent.receive(message)

    def next(self) -> dict[str, Any]:
        return self.sent.get(timeout=30)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        got = [self.next()]
        while not any(wanted(frame) for frame in got[-1]["frames"]):
            got.append(self.next())
        return got


def ended(frame: dict[str, Any]) -> bool:
    return any(entry["body"]["kind"] == "turn_ended" for entry in frame.get("page", {}).get("entries", ()))


async def talkative(stage: Stage) -> End:
    entry = stage.put(Text(), open=True)
    for offset in range(500):
        stage.delta(entry, offset, "x")
    stage.put(Text(text="x" * 500), entry_id=entry.id)
    return "completed"


def test_a_hello_is_answered_by_numbered_batches_that_begin_with_the_hello_frame(open_chat: Open) -> None:
    chat = open_chat(talkative)
    page = Page(chat)
    page.say(op="hello", after=None, tail=200)
    first = page.next()
    assert (first["op"], first["seq"], first["frames"][0]["type"]) == ("frames", 0, "hello")
    chat.run("go", display=False, timeout=30)
    batches = page.until(ended)
    assert [batch["seq"] for batch in batches] == list(range(1, len(batches) + 1))
    assert sum(frame["type"] == "delta" for batch in batches for frame in batch["frames"]) == 500
    assert len(batches) < 20, "five hundred pieces of text are not five hundred messages"


def test_a_hello_from_a_cursor_brings_only_what_is_later(open_chat: Open) -> None:
    chat = open_chat()
    chat.run("one", display=False, timeout=30)
    page = Page(chat)
    page.say(op="hello", after=chat.info.rev, tail=200)
    frames = page.next()["frames"]
    assert [entry for frame in frames for entry in frame.get("page", {}).get("entries", ())] == []


def test_a_second_hello_takes_the_place_of_the_first(open_chat: Open, portal: Any) -> None:
    chat = open_chat()
    page = Page(chat)
    page.say(op="hello")
    page.next()
    page.say(op="hello")
    assert page.next()["seq"] == 0
    readers = chat._link.verbs._readers[chat.id]  # type: ignore[attr-defined]  # the runtime in memory
    chat.run("one", display=False, timeout=30)
    page.until(ended)
    assert len(readers) == 1
    page.correspondent.close()


def test_a_call_is_answered_under_its_number(open_chat: Open) -> None:
    page = Page(open_chat())
    page.say(op="call", id=7, method="GET", route="health", body=None)
    answer = page.next()
    assert (answer["op"], answer["id"], answer["status"], answer["body"]["status"]) == ("reply", 7, 200, "ok")
    page.say(op="call", id=8, method="GET", route="chats/none")
    assert page.next()["body"]["code"] == "not_found"


def test_a_page_without_a_server_gets_the_front_end_from_the_kernel(open_chat: Open) -> None:
    page = Page(open_chat())
    page.say(op="bundle")
    answer = page.next()
    assert answer["op"] == "bundle"
    assert "render" in answer["source"]


@pytest.mark.parametrize("message", [None, "hello", {"op": "unheard of"}, {}, []])
def test_a_message_of_somebody_else_changes_nothing(open_chat: Open, message: object) -> None:
    page = Page(open_chat())
    page.correspondent.receive(message)
    assert not page.correspondent.greeted


def test_a_message_is_taken_as_it_arrives_and_once() -> None:
    got: list[str] = []
    comm = SimpleNamespace(_reply_subshell_for=lambda data, default: "the busy shell")
    mailbox = Mailbox(comm, got.append)
    for word in ("one", "two"):
        assert comm._reply_subshell_for({"method": "custom", "content": word}, "asked for") == "asked for"
    assert comm._reply_subshell_for({"method": "update"}, None) is None
    assert got == ["one", "two"]
    mailbox.deliver(None, "one", None)
    mailbox.deliver(None, "two", None)
    assert got == ["one", "two"]


def test_where_messages_are_only_dispatched_they_are_taken_then() -> None:
    got: list[str] = []
    Mailbox(SimpleNamespace(), got.append).deliver(None, "one", None)
    assert got == ["one"]


def test_an_error_of_ours_stays_out_of_the_kernels_threads(caplog: pytest.LogCaptureFixture) -> None:
    def fails(content: object) -> None:
        raise ValueError("as planned")

    comm = SimpleNamespace(_reply_subshell_for=None)
    Mailbox(comm, fails)
    assert comm._reply_subshell_for({"method": "custom", "content": 1}, "asked for") == "asked for"
    assert "a widget's message was lost" in caplog.text
