"""Links: whoever has one sees the chat live, without its secrets, and can do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.place import DEADLINE, Person, Place

from coder_nb.core.copies import Share
from coder_nb.core.entries import Chunk, Delta, Entry, Page, Text
from coder_nb.core.redaction import Redactor
from coder_nb.core.stream import ChangesFrame, DeltaFrame, Frame, Hello, PageFrame
from coder_nb.core.transcript import Transcript
from coder_nb.errors import NotFound
from coder_nb.runtime import Runtime
from coder_nb.runtime.sharing import View

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def looking(runtime: Runtime, link: str) -> AsyncIterator[Any]:
    async with asyncio.timeout(DEADLINE), aclosing(cast("Any", runtime.shared(link))) as frames:
        yield frames


async def seen(runtime: Runtime, link: str, text: str) -> list[Frame]:
    """What somebody who looks gets to see, until they see a text."""
    frames: list[Frame] = []
    async with looking(runtime, link) as stream:
        async for frame in stream:
            frames.append(frame)
            if text in str(frame):
                return frames
    raise AssertionError("the stream ended")


async def looked_until_revoked(person: Person, runtime: Runtime, share: Share) -> None:
    """Looks by a runtime; as soon as the chat is there, the person revokes the link."""
    async with looking(runtime, share.link) as frames:
        async for frame in frames:
            if isinstance(frame, ChangesFrame):
                assert await person.runtime.unshare(person.chat.id, share.id)


async def test_a_link_shows_the_chat_as_it_goes_on(place: Place) -> None:
    person = await place.person()
    share = await person.runtime.share(person.chat.id, by="ann")
    await person.prompt("say plums")
    sent = asyncio.create_task(seen(person.runtime, share.link, "apples"))
    await person.prompt("say apples")
    frames = await sent
    assert isinstance(frames[0], Hello)
    assert not frames[0].may_execute
    assert any("plums" in str(frame) for frame in frames)


async def test_it_shows_nothing_of_the_owner_the_machine_the_queue_or_the_run(place: Place) -> None:
    person = await place.person()
    share = await person.runtime.share(person.chat.id, by="ann")
    await person.send("hang")
    await person.shown("user_message", "hang")
    await person.send("say waiting-in-the-queue")
    (hello, *_) = await seen(person.runtime, share.link, "hang")
    assert isinstance(hello, Hello)
    assert hello.session.owner == ""
    assert hello.session.path == "repository"
    assert "waiting-in-the-queue" not in str(hello)
    await person.runtime.stop(person.chat.id)


async def test_secrets_are_hidden_in_what_was_said_and_in_what_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "canary-in-the-environment")
    person = await place.person()
    share = await person.runtime.share(person.chat.id, by="ann")
    await person.prompt("say before canary-in-the-environment")
    await person.prompt("say sk-ant-api03-canarycanarycanary then plums")
    frames = await seen(person.runtime, share.link, "plums")
    assert "canary" not in str(frames)


async def test_a_link_that_is_revoked_ends_at_once_for_who_is_looking_and_leads_nowhere(place: Place) -> None:
    person = await place.person()
    share = await person.runtime.share(person.chat.id, by="ann")
    with pytest.raises(NotFound, match="leads nowhere"):
        await looked_until_revoked(person, person.runtime, share)
    assert not await person.runtime.unshare(person.chat.id, share.id)
    with pytest.raises(NotFound):
        await seen(person.runtime, share.link, "")


async def test_a_link_works_in_another_process_of_the_same_database_and_is_revoked_from_there(place: Place) -> None:
    person = await place.person()
    share = await person.runtime.share(person.chat.id, by="ann")
    elsewhere = await place.runtime("elsewhere")
    await person.prompt("say plums")
    await seen(elsewhere, share.link, "plums")
    with pytest.raises(NotFound):
        await looked_until_revoked(person, elsewhere, share)


async def test_a_link_says_nothing_of_itself_later_and_is_gone_with_its_chat(place: Place) -> None:
    person = await place.person()
    share = await person.runtime.share(person.chat.id, by="ann")
    (listed,) = await person.runtime.shares(person.chat.id)
    assert listed.link == ""
    assert listed.by == "ann"
    with pytest.raises(NotFound):
        await person.runtime.unshare(person.chat.id, person.chat.id)
    with pytest.raises(NotFound):
        await seen(person.runtime, share.id, "")


KNOWN = "correct horse battery staple " * 4
SECRETS = ("sk-ant-api03-" + "canary" * 3, f"eyJhbGciOiJIUzI1NiJ9.eyJ{'c2VjcmV0' * 20}.c2VjcmV0", KNOWN)


@pytest.mark.parametrize("secret", SECRETS, ids=["of a shape", "of a long shape", "known"])
@given(st.integers(0, 30), st.lists(st.integers(1, 25), max_size=12), st.booleans())
def test_a_secret_is_never_seen_however_it_is_cut_into_pieces(
    secret: str, before: int, cuts: list[int], stored: bool
) -> None:
    text = "x" * before + f" {secret} " + "and more words " * 12
    view = View(lambda _: Redactor([KNOWN]), ())
    entry = Entry(id="e" * 26, chat_id="c" * 26, body=Text(), pos=1, rev=1, open=True)
    shown = [view.show(PageFrame(page=Page(entries=(entry,), rev=1)))]
    offset = 0
    for number, size in enumerate([*cuts, len(text)], 2):
        piece = text[offset : offset + size]
        if stored:
            chunk = Chunk(entry_id=entry.id, offset=offset, text=piece, rev=number)
            shown.append(view.show(PageFrame(page=Page(chunks=(chunk,), rev=number))))
        else:
            delta = Delta(epoch="", entry_id=entry.id, offset=offset, text=piece)
            shown.append(view.show(DeltaFrame(deltas=(delta,))))
        offset += len(piece)
    assert secret[:8] not in str(shown)
    fold = Transcript()
    for frame in shown:
        if isinstance(frame, PageFrame):
            fold.apply(frame.page)
    assert "x" * before in str(list(fold))
