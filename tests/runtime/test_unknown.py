"""Whoever asks about a chat or a session that does not exist is told so, and not that nothing is in it."""

from __future__ import annotations

import pytest
from support.place import Place
from support.unknown import said_of_nothing, verbs

from coder_nb.core.verbs import Verbs
from coder_nb.ids import new_id
from coder_nb.testing.memory_runtime import MemoryRuntime

pytestmark = pytest.mark.anyio


async def test_every_verb_says_that_there_is_no_such_chat(place: Place) -> None:
    runtime = await place.runtime()
    for name in verbs():
        assert (await said_of_nothing(runtime, name)).endswith("."), name


async def test_a_chat_in_which_nothing_is_yet_is_there(place: Place) -> None:
    person = await place.person()
    runtime, chat = person.runtime, person.chat.id
    for ask in (runtime.turns, runtime.changes, runtime.usage, runtime.audit, runtime.shares, runtime.checkpoints):
        assert await ask(chat) == ()
    assert await runtime.agent_sessions(person.session.id) == ()
    assert not await runtime.answer(chat, new_id(), None, by="me")
    assert not await runtime.reply(chat, new_id(), None, by="me")


async def test_the_runtime_in_memory_says_so_as_well() -> None:
    runtime: Verbs = MemoryRuntime()
    for name in verbs():
        assert (await said_of_nothing(runtime, name)).endswith("."), name
