"""Links by which others look at a chat: secrets are hidden, and there is nothing that they may do."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from functools import partial
from typing import cast

import msgspec

from coder_nb.core import export, redaction
from coder_nb.core.copies import Share
from coder_nb.core.entries import Entry, Page, Reasoning, Text
from coder_nb.core.export import Exported
from coder_nb.core.redaction import Redactor
from coder_nb.core.sessions import ChatInfo, SessionInfo
from coder_nb.core.stream import ChangesFrame, DeltaFrame, Frame, Hello, PageFrame, StateFrame
from coder_nb.core.transcript import Transcript
from coder_nb.errors import NotFound
from coder_nb.runtime import copying
from coder_nb.runtime.context import Context
from coder_nb.store.looking import LINK

_replace = msgspec.structs.replace


async def share(context: Context, chat_id: str, *, by: str) -> Share:
    """Makes a link; its secret is told now and never again, as only a hash of it is kept."""
    await context.store.catalog.get_chat(chat_id)
    secret = secrets.token_urlsafe(24)
    made = Share(id=context.new_id(), chat_id=chat_id, by=by, created_at=context.now())
    await context.store.shares.add(made, _hash(secret))
    return _replace(made, link=secret)


async def unshare(context: Context, chat_id: str, share_id: str) -> bool:
    """Ends a link of a chat."""
    if all(share.id != share_id for share in await context.store.shares.of_chat(chat_id)):
        raise NotFound("This chat has no such link: `chat.shares()` lists those it has.")
    ended = await context.store.shares.revoke(share_id, at=context.now())
    context.feed(chat_id).tell(state=True)
    return ended


async def follow(
    context: Context, link: str, stream: Callable[..., AsyncIterator[Frame]], *, tail: int
) -> AsyncGenerator[Frame]:
    """The frames of the chat that a link leads to, as `View` lets them through, until the link is revoked."""
    async with contextlib.aclosing(_frames(context, link, stream, tail=tail)) as frames:
        while True:
            token = LINK.set(_hash(link))  # while we read, and not for what our caller does between two frames
            try:
                frame = await anext(frames, None)
            finally:
                LINK.reset(token)
            if frame is None:
                return
            yield frame


async def _frames(
    context: Context, link: str, stream: Callable[..., AsyncIterator[Frame]], *, tail: int
) -> AsyncGenerator[Frame]:
    found = await context.store.shares.find(_hash(link))
    chat = await context.store.catalog.get_chat(found.chat_id)
    session = await context.store.catalog.get_session(chat.session_id)
    redactor = partial(copying.redactor, context.settings, session)
    view = View(redactor, (await context.store.log.tail(chat.id, 2**62)).entries)  # nothing else holds the whole chat
    frames = cast("AsyncGenerator[Frame]", stream(chat.id, tail=tail))
    async with contextlib.aclosing(frames):
        async for frame in frames:
            if isinstance(frame, StateFrame):
                await context.store.shares.find(_hash(link))
            shown = view.show(frame)
            if shown is not None:
                yield shown


class View:
    """What of a chat's frames others get to see. Text comes whole, since a secret may lie across two pieces of it."""

    def __init__(self, redactor: Callable[[tuple[Entry, ...]], Redactor], entries: Iterable[Entry]) -> None:
        self._make = redactor
        self._looks = tuple(entry for entry in entries if redaction.secrets_seen([entry]))
        self._redactor = redactor(self._looks)
        self._fold = Transcript()

    def show(self, frame: Frame) -> Frame | None:
        """A frame as others see it; None where there is nothing in it for them."""
        match frame:
            case Hello():
                return _replace(
                    frame, chat=self._chat(frame.chat), session=self._session(frame.session), may_execute=False
                )
            case PageFrame(page=page):
                changed = self._fold.apply(page)
                return PageFrame(page=Page(entries=self._entries(changed), rev=page.rev, more=page.more))
            case DeltaFrame(deltas=deltas):
                changed = [delta.entry_id for delta in deltas if self._fold.apply_delta(delta)]
                return PageFrame(page=Page(entries=self._entries(changed), rev=self._fold.rev)) if changed else None
            case StateFrame(chat=chat):
                return StateFrame(chat=self._chat(chat))
            case ChangesFrame(changes=changes):
                return ChangesFrame(changes=tuple(map(self._redactor.value, changes)))

    def _entries(self, ids: Iterable[str]) -> tuple[Entry, ...]:
        found = [entry for each in dict.fromkeys(ids) if (entry := self._fold.get(each)) is not None]
        looks = tuple(entry for entry in found if redaction.secrets_seen([entry]))
        if looks:
            self._looks += looks
            self._redactor = self._make(self._looks)
        return tuple(map(self._entry, found))

    def _entry(self, entry: Entry) -> Entry:
        """An entry as others see it; a key is seen to be one only at its end, and is not shown before."""
        shown = self._redactor.entry(entry)
        if not shown.open or not isinstance(shown.body, Text | Reasoning):
            return shown
        return _replace(shown, body=_replace(shown.body, text=self._redactor.settled(shown.body.text)))

    def _chat(self, chat: ChatInfo) -> ChatInfo:
        shown = ChatInfo(
            id=chat.id,
            session_id=chat.session_id,
            name=chat.name,
            title=chat.title,
            created_at=chat.created_at,
            rev=chat.rev,
            run_status=chat.run_status,
            turn_id=chat.turn_id,
        )
        return self._redactor.value(shown)

    def _session(self, session: SessionInfo) -> SessionInfo:
        plain = export.durable(Exported(chat=ChatInfo(id="", session_id=""), session=session)).session
        return self._redactor.value(plain)


def _hash(link: str) -> str:
    return hashlib.sha256(link.encode("utf-8", "replace")).hexdigest()
