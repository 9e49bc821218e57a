"""The runtime in memory keeps what every runtime promises of copies and of links to a chat."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from coder_nb.core.entries import Text, Usage
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo
from coder_nb.core.stream import Hello, PageFrame
from coder_nb.core.verbs import Verbs
from coder_nb.errors import Conflict, NotFound
from coder_nb.ids import new_id
from coder_nb.testing.memory_runtime import MemoryRuntime, Stage

pytestmark = pytest.mark.anyio


async def play(stage: Stage) -> None:
    """Says what it was told, and that this was not for nothing."""
    if stage.prompt.text == "go on":
        await stage.forever()
    stage.put(Text(text=stage.prompt.text))
    stage.put(Usage(model="m"))


async def chat_of(runtime: Verbs, *prompts: str) -> ChatInfo:
    """A chat in which the prompts were run."""
    chat = await runtime.open_chat((await runtime.open_session("/work")).id)
    for text in prompts:
        await runtime.prompt(chat.id, Prompt(id=new_id(), text=text))
    async with aclosing(runtime.stream(chat.id)) as frames:  # type: ignore[type-var]
        async for _ in frames:
            turns = await runtime.turns(chat.id)
            if len(turns) == len(prompts) and (turns[-1].end or prompts[-1] == "go on"):
                break
    return await runtime.get_chat(chat.id)


async def texts(runtime: Verbs, chat_id: str) -> list[str]:
    entries = (await runtime.read(chat_id)).entries
    return [entry.body.text for entry in entries if isinstance(entry.body, Text)]


async def test_a_fork_begins_with_what_its_chat_held_at_the_end_of_a_turn() -> None:
    runtime = MemoryRuntime(play)
    chat = await chat_of(runtime, "one", "two")
    first, _ = await runtime.turns(chat.id)
    fork = await runtime.fork(chat.id, turn_id=first.id)
    assert (fork.session_id, fork.name, fork.run_status) == (chat.session_id, "main-fork", "idle")
    assert await texts(runtime, fork.id) == ["one"]
    assert await texts(runtime, (await runtime.fork(chat.id)).id) == ["one", "two"]
    assert [row.counted for row in await runtime.usage(fork.id)] == [False]
    apart = await runtime.fork(chat.id, files="fresh")
    assert apart.session_id != chat.session_id
    with pytest.raises(NotFound, match="no such turn"):
        await runtime.fork(chat.id, turn_id=new_id())


async def test_a_turn_that_runs_cannot_be_forked_at() -> None:
    runtime = MemoryRuntime(play)
    chat = await chat_of(runtime, "one", "go on")
    running = (await runtime.turns(chat.id))[-1]
    with pytest.raises(Conflict, match="still runs"):
        await runtime.fork(chat.id, turn_id=running.id)
    await runtime.close()


async def test_an_exported_chat_that_is_imported_twice_is_there_once() -> None:
    runtime = MemoryRuntime(play)
    chat = await chat_of(runtime, "the key is sk-ant-api03-0123456789abcdefghij")
    hidden, whole = await runtime.export(chat.id), await runtime.export(chat.id, redact=False)
    session = await runtime.open_session("/other")
    imported = await runtime.import_chat(session.id, whole, name="read back")
    assert await runtime.import_chat(session.id, whole) == imported
    assert imported.name == "read back"
    assert await texts(runtime, imported.id) == await texts(runtime, chat.id)
    assert "0123456789abcdefghij" not in str(hidden)


async def test_a_link_shows_its_chat_until_it_is_revoked() -> None:
    runtime = MemoryRuntime(play)
    chat = await chat_of(runtime, "one")
    share = await runtime.share(chat.id, by="me")
    async with aclosing(runtime.shared(share.link)) as frames:  # type: ignore[type-var]
        hello, page = await anext(frames), await anext(frames)
        assert isinstance(hello, Hello)
        assert not hello.may_execute
        assert isinstance(page, PageFrame)
        assert await runtime.unshare(chat.id, share.id)
        runtime.update(chat.id)
        assert await anext(frames, None) is None
    assert not await runtime.unshare(chat.id, share.id)
    assert [(one.link, one.revoked_at) for one in await runtime.shares(chat.id)] == [("", 2)]
    with pytest.raises(NotFound):
        await anext(runtime.shared(share.link))
