"""What the chats of this runtime are doing, for whoever asks, and for whoever wants to hear of each change."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from coder_nb.core.attention import STATES, Attention, ChatAttention, Facts, attention
from coder_nb.errors import CoderError, NotFound
from coder_nb.store.base import Standing

_log = logging.getLogger("coder_nb.attention")
REMEMBERED = 10_000
"""Of how many chats that are not idle it is known what was said of them last."""

Told = Callable[[ChatAttention], None]
"""Is told what a chat is doing, whenever that has changed."""


def of_standing(standing: Standing, place: int | None, *, behind: bool) -> ChatAttention:
    """What a chat is doing, of which only what counts was read."""
    now = attention(
        Facts(
            running=standing.turn_id is not None,
            starting=standing.starting,
            asks=standing.asks,
            queued=standing.queued > 0,
            held=standing.held,
            place=place,
            behind=behind,
            failed=standing.failed,
            unseen=standing.unseen,
        )
    )
    began = standing.started_at if standing.turn_id is not None else standing.ended_at
    return ChatAttention(
        chat_id=standing.chat_id,
        session_id=standing.session_id,
        path=standing.path,
        session=standing.session,
        chat=standing.name,
        title=standing.title,
        state=now.state,
        why=now.why,
        place=now.place,
        agent=standing.agent,
        turn_id=standing.turn_id,
        since=standing.asked_at if standing.asks and standing.turn_id else began or standing.created_at,
        error=standing.error if now.state == "failed" else None,
    )


def most_urgent(told: ChatAttention) -> tuple[int, int]:
    """The key by which what wants its user most comes first, and of the same kind what waits longest."""
    return STATES.index(told.state), told.since or 0


class Lookout:
    """Looks at chats of which it was said that something has changed, and tells what they do where that is news."""

    def __init__(self, look: Callable[[str], Awaitable[ChatAttention | None]], told: Told) -> None:
        """`look` says what a chat is doing, None where that is for another process to say."""
        self._look, self._told = look, told
        self._due: set[str] = set()
        self._woken = asyncio.Event()
        self._last: OrderedDict[str, Attention] = OrderedDict()

    def changed(self, chat_id: str) -> None:
        """Something about a chat may have changed."""
        self._due.add(chat_id)
        self._woken.set()

    def moved(self, chat_ids: Iterable[str]) -> None:
        """The places of chats that wait have changed; that one waits at all is news, where it stands then is not."""
        for chat_id in chat_ids:
            if self._last.get(chat_id, Attention()).why != "slot":
                self.changed(chat_id)

    async def run(self) -> None:
        """Tells, for ever. What cannot be seen now is looked for when something changes again."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            due, self._due = self._due, set()
            for chat_id in due:
                try:
                    self._tell(chat_id, await self._look(chat_id))
                except NotFound:
                    self._last.pop(chat_id, None)
                except CoderError as error:
                    _log.warning("it cannot be seen what chat %s is doing: %s", chat_id, error.message)
                except Exception:  # else nothing would be told of any chat any more
                    _log.exception("it cannot be told what chat %s is doing", chat_id)

    def _tell(self, chat_id: str, seen: ChatAttention | None) -> None:
        if seen is None:
            return
        now = Attention(seen.state, seen.why)
        if now == self._last.get(chat_id, Attention()):
            return
        self._last.pop(chat_id, None)
        if now != Attention():
            self._last[chat_id] = now
            if len(self._last) > REMEMBERED:
                self._last.popitem(last=False)
        self._told(seen)
