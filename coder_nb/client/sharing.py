"""Links by which others look at a chat: making them, ending them, and looking."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from html import escape
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from coder_nb.client.link import Link
from coder_nb.client.snapshot import Snapshot, newest
from coder_nb.client.text import transcript_text
from coder_nb.core.copies import Share
from coder_nb.core.entries import Entry
from coder_nb.core.stream import ChangesFrame, Frame, Hello, PageFrame
from coder_nb.core.transcript import Transcript
from coder_nb.core.verbs import Verbs
from coder_nb.errors import NotFound

if TYPE_CHECKING:
    from coder_nb.client.chat import Chat

PAGE = "coder-nb/shared#"
"""Where a link leads on any server of the same database."""
HEIGHT = 480


class ChatShare:
    """A link to a chat. Whoever has it may look, on any server of the same database, until it is revoked."""

    def __init__(self, chat: Chat, share: Share) -> None:
        self._chat, self._share = chat, share

    @property
    def link(self) -> str:
        """What to give away, known only where it was made: the end of an address, or for `coder_nb.shared(link)`."""
        return f"{PAGE}{self._share.link}" if self._share.link else ""

    @property
    def revoked(self) -> bool:
        link = self._chat._link
        known = link.run(link.verbs.shares, self._chat.id)
        return any(share.id == self._share.id and share.revoked_at is not None for share in known)

    def revoke(self) -> bool:
        """Ends the link at once, also for those who are looking; False where it had ended."""
        link = self._chat._link
        return link.run(link.verbs.unshare, self._chat.id, self._share.id)

    def __repr__(self) -> str:
        return f"<link to the chat {self._chat.name!r}: {self.link or 'known only where it was made'}>"


class SharedChat:
    """Somebody else's chat, to look at."""

    def __init__(self, link: Link, given: str) -> None:
        self._link = link
        self._given = given.rsplit("#", 1)[-1].strip()
        self._snapshot = link.run(_look, link.verbs, self._given)

    @property
    def title(self) -> str:
        return self._snapshot.chat.title

    @property
    def transcript(self) -> tuple[Entry, ...]:
        """What has happened in it so far, secrets hidden; raises `NotFound` once the link is revoked."""
        self._snapshot = self._link.run(_look, self._link.verbs, self._given)
        return self._snapshot.entries

    def __repr__(self) -> str:
        return f"<shared chat {self.title!r}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """A frame with the page of the link, which is live; without a server, the chat as it is now."""
        entries = self.transcript
        plain = {"text/plain": transcript_text(entries) or "Nothing has been said yet."}
        base = self._link.url
        if base is None:
            screen = self._link.screen
            return plain if screen is None else {**plain, "text/html": screen.static(self._snapshot)}
        address = f"{urlsplit(base).path.rstrip('/')}/{PAGE}{self._given}"
        source = escape(address, quote=True)
        style = f"border: 0; width: 100%; height: {HEIGHT}px"
        return {**plain, "text/html": f'<iframe src="{source}" style="{style}" title="A shared chat"></iframe>'}


async def _look(verbs: Verbs, given: str) -> Snapshot:
    """The chat behind a link as it is now."""
    frames = cast("AsyncGenerator[Frame]", verbs.shared(given, tail=10_000))
    fold, hello = Transcript(), None
    async with aclosing(frames):
        async for frame in frames:
            if isinstance(frame, Hello):
                hello = frame
            elif isinstance(frame, PageFrame):
                fold.apply(frame.page)
            elif isinstance(frame, ChangesFrame) and hello is not None:
                return Snapshot(
                    chat=hello.chat, session=hello.session, entries=newest(tuple(fold)), changes=frame.changes
                )
    raise NotFound("This link leads nowhere any more: ask who gave it to you.")
