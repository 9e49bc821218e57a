"""Who is listening to a chat, and what they have not been told yet. Nothing here waits for a listener.

Store first, announce second: an announcement only says that there is something, and each listener reads the log from
its own place. Only live text rides on the announcement, merged; its commit replaces it.
"""

from __future__ import annotations

import asyncio

from coder_nb.core.entries import Chunk, Delta


class Subscription:
    """What one listener has still to be told."""

    def __init__(self) -> None:
        self.log = True
        self.state = False
        self.changes = False
        self._deltas: dict[str, tuple[Delta, list[str]]] = {}
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

    def add(self, delta: Delta) -> None:
        """Live text; what continues the text before it is merged with it."""
        known = self._deltas.get(delta.entry_id)
        if known is not None:
            known[1].append(delta.text)
        else:
            self._deltas[delta.entry_id] = (delta, [delta.text])
        self._told.set()

    def take_deltas(self) -> tuple[Delta, ...]:
        taken, self._deltas = self._deltas, {}
        return tuple(
            Delta(epoch=first.epoch, entry_id=first.entry_id, offset=first.offset, text="".join(parts))
            for first, parts in taken.values()
        )


class Feed:
    """The listeners of one chat, and the live text that is not committed yet."""

    def __init__(self) -> None:
        self.listeners: set[Subscription] = set()
        self._tails: dict[str, Delta] = {}

    def subscribe(self) -> Subscription:
        """A new listener; it starts with the tail of live text that the log does not hold yet."""
        subscription = Subscription()
        for tail in self._tails.values():
            subscription.add(tail)
        self.listeners.add(subscription)
        return subscription

    def tell(self, *, log: bool = False, state: bool = False, changes: bool = False) -> None:
        for listener in self.listeners:
            listener.tell(log=log, state=state, changes=changes)

    def add(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            tail = self._tails.get(delta.entry_id)
            self._tails[delta.entry_id] = _joined(tail, delta) if tail else delta
            for listener in self.listeners:
                listener.add(delta)

    def committed(self, chunks: tuple[Chunk, ...], closed: list[str]) -> None:
        """Forgets the live text that the log holds now."""
        for chunk in chunks:
            tail = self._tails.get(chunk.entry_id)
            if tail is not None:
                done = chunk.offset + len(chunk.text) - tail.offset
                if done >= len(tail.text):
                    del self._tails[chunk.entry_id]
                elif done > 0:
                    self._tails[chunk.entry_id] = Delta(
                        epoch=tail.epoch, entry_id=tail.entry_id, offset=tail.offset + done, text=tail.text[done:]
                    )
        for entry_id in closed:
            self._tails.pop(entry_id, None)


def _joined(tail: Delta, delta: Delta) -> Delta:
    return Delta(epoch=tail.epoch, entry_id=tail.entry_id, offset=tail.offset, text=tail.text + delta.text)
