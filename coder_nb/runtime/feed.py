"""Who is listening to a chat, and what they have not been told yet. Nothing here waits for a listener.

Store first, announce second: an announcement only says that there is something, and each listener reads the log from
its own place. Only live text rides on the announcement, merged; its commit replaces it. So what a listener who does
not listen costs is a few numbers, however much is said meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from coder_nb.core.entries import Chunk, Delta


class Tail:
    """The live text of one entry that the log does not hold yet."""

    def __init__(self, first: Delta) -> None:
        self._epoch, self._entry_id, self._offset = first.epoch, first.entry_id, first.offset
        self._parts = [first.text]
        self.end = first.offset + len(first.text)

    def add(self, text: str) -> None:
        self._parts.append(text)
        self.end += len(text)

    def after(self, at: int) -> Delta:
        """What of it comes at an offset or later."""
        self._parts = [whole] = ["".join(self._parts)]
        at = max(at, self._offset)
        return Delta(epoch=self._epoch, entry_id=self._entry_id, offset=at, text=whole[at - self._offset :])


class Subscription:
    """What one listener has still to be told; of the live text, how far it was given."""

    def __init__(self, tails: Mapping[str, Tail]) -> None:
        """`tails` are the feed's own, by entry."""
        self.log = True
        self.state = False
        self.changes = False
        self._tails = tails
        self._given: dict[str, int] = {}
        self._told = asyncio.Event()

    async def wait(self) -> None:
        """Returns when there is something to tell."""
        await self._told.wait()
        self._told.clear()

    def tell(self, *, log: bool = False, state: bool = False, changes: bool = False) -> None:
        self.log |= log
        self.state |= state
        self.changes |= changes
        self._told.set()

    def take_deltas(self) -> tuple[Delta, ...]:
        """The live text that was not given yet, one delta an entry; what was committed meanwhile is in the log."""
        fresh = [tail.after(self._given.get(entry_id, 0)) for entry_id, tail in self._tails.items()]
        self._given = {entry_id: tail.end for entry_id, tail in self._tails.items()}
        return tuple(delta for delta in fresh if delta.text)


class Feed:
    """The listeners of one chat, and the live text that is not committed yet."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called whenever the chat's state may have changed."""
        self._changed = changed
        self.listeners: set[Subscription] = set()
        self._tails: dict[str, Tail] = {}

    def subscribe(self) -> Subscription:
        """A new listener; it starts with the tail of live text that the log does not hold yet."""
        subscription = Subscription(self._tails)
        if self._tails:
            subscription.tell()
        self.listeners.add(subscription)
        return subscription

    def tell(self, *, log: bool = False, state: bool = False, changes: bool = False) -> None:
        for listener in self.listeners:
            listener.tell(log=log, state=state, changes=changes)
        if state:
            self._changed()

    def add(self, deltas: list[Delta]) -> None:
        """Live text; what continues the text before it is merged with it."""
        for delta in deltas:
            tail = self._tails.get(delta.entry_id)
            if tail is not None:
                tail.add(delta.text)
            else:
                self._tails[delta.entry_id] = Tail(delta)
        self.tell()

    def committed(self, chunks: tuple[Chunk, ...], closed: list[str]) -> None:
        """Forgets the live text that the log holds now."""
        for chunk in chunks:
            tail = self._tails.get(chunk.entry_id)
            if tail is not None:
                rest = tail.after(chunk.offset + len(chunk.text))
                if rest.text:
                    self._tails[chunk.entry_id] = Tail(rest)
                else:
                    del self._tails[chunk.entry_id]
        for entry_id in closed:
            self._tails.pop(entry_id, None)
