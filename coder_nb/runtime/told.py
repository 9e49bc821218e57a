"""A native session's history, as its agent tells it, becomes the transcript of a chat. Nothing in it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from coder_nb.backends.events import AnyEvent, Done, UsageReported, UserSaid
from coder_nb.core.entries import Entry, TurnEnded, TurnStarted, UserMessage
from coder_nb.core.sessions import TurnInfo
from coder_nb.runtime.recorder import Recorder

_replace = msgspec.structs.replace


class Telling:
    """Gathers what is told, turn by turn."""

    def __init__(self, chat_id: str, agent: str, *, now: Callable[[], int], id_of: Callable[[str, str], str]) -> None:
        self.entries: list[Entry] = []
        self.turns: list[TurnInfo] = []
        self._chat_id, self._agent, self._now, self._id_of = chat_id, agent, now, id_of
        self._recorder: Recorder | None = None

    async def take(self, events: AsyncIterator[AnyEvent]) -> None:
        """Takes a whole history; what comes before the first word of the user belongs to no turn and is left out."""
        async for event in events:
            if isinstance(event, UserSaid):
                self._begin(event)
            elif self._recorder is not None and not isinstance(event, Done):
                counted = isinstance(event, UsageReported)
                self._recorder.on(_replace(event, counted=False) if counted else event)
        self._end()

    def _begin(self, said: UserSaid) -> None:
        self._end()
        number = len(self.turns)
        turn_id = self._id_of(self._chat_id, f"turn {number}")
        began = said.ts or self._now()
        made = iter(range(1 << 30))
        self._recorder = Recorder(
            chat_id=self._chat_id,
            turn_id=turn_id,
            agent=self._agent,
            epoch="",
            now=lambda: began,
            new_id=lambda: self._id_of(turn_id, str(next(made))),
        )
        self._recorder.add(TurnStarted(agent=self._agent))
        self._recorder.add(UserMessage(text=said.text), native_id=said.native_id)
        self.turns.append(
            TurnInfo(
                id=turn_id,
                chat_id=self._chat_id,
                prompt_id=None,
                agent=self._agent,
                state="completed",
                started_at=began,
                ended_at=began,
                end="completed",
            )
        )

    def _end(self) -> None:
        if self._recorder is None:
            return
        self._recorder.close_all(tool_status="completed")
        self._recorder.add(TurnEnded("completed"))
        entries, _ = self._recorder.take()
        self.entries.extend(entries)
        self._recorder = None
