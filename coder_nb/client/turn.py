"""One prompt and all that follows it, as the cell that started it holds it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from coder_nb.client.cell import current_cell, stdin_allowed
from coder_nb.client.changes import Changes
from coder_nb.client.follow import Follower
from coder_nb.client.permission import Permission, question, take_answer
from coder_nb.client.question import Question, prompt_of, take_typed
from coder_nb.client.snapshot import Snapshot, take_turn
from coder_nb.client.transcript import Entries
from coder_nb.core import entries as core
from coder_nb.core.entries import Text
from coder_nb.core.prompts import Prompt
from coder_nb.errors import CoderError, NobodyToAsk, TurnCancelled, TurnFailed, shorten

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.client.chat import Chat
    from coder_nb.client.screen import Display

STOP_WAIT = 5.0
"""How long an interrupted wait stays to see its Stop accepted, in seconds."""
PAGE_TIME = 3.0
"""How long a page that was just given a widget has to show it, before the person is asked by `input()` instead."""


class Turn:
    """A turn that was asked for: `await` it, or `wait()`; both give the turn back once it is complete.

    Waiting raises `TurnFailed` where it ended otherwise, `TurnCancelled` where it was stopped, and `NobodyToAsk` where
    it needed a permission that nobody could give; `error.turn` is this turn. To interrupt or cancel a wait stops the
    turn.
    """

    def __init__(self, chat: Chat, prompt: Prompt, follower: Follower, *, after: int, display: Display | None) -> None:
        self.chat = chat
        self.prompt = prompt
        self._portal, self._verbs = chat._link.portal, chat._link.verbs
        self._follower = follower
        self._asked: set[str] = set()
        self._ask_from = time.monotonic() + (0.0 if display is None else PAGE_TIME)
        self._display = display
        self._shown_in = current_cell() if display is not None else None
        self._done = self._portal.call(self._follow, after)

    @property
    def id(self) -> str | None:
        """The turn's id; None while the prompt waits in the queue."""
        return self._follower.watch.turn_id

    @property
    def state(self) -> str:
        """``waiting``, ``running``, or how it ended: ``completed``, ``cancelled``, ``failed`` ..."""
        if self._follower.watch.ended is not None:
            return self._follower.watch.ended.end
        if self._follower.withdrawn:
            return "cancelled"
        return "waiting" if self.id is None else "running"

    @property
    def message(self) -> str:
        """Why it ended as it did, for a person; empty where it completed, or runs."""
        return self._follower.watch.ended.message if self._follower.watch.ended else ""

    @property
    def transcript(self) -> Entries:
        """What has happened in this turn so far."""
        return Entries(self.chat, self._portal.run(self._follower.entries), turn_id=self.id or "")

    @property
    def text(self) -> str:
        """What the agent has said in this turn, without its reasoning."""
        return "\n\n".join(entry.body.text for entry in self.transcript if isinstance(entry.body, Text))

    @property
    def changes(self) -> Changes:
        """What this turn did to files, to apply or reject."""
        changes = self._portal.run(self._verbs.changes, self.chat.id)
        return Changes(self.chat, tuple(c for c in changes if c.turn_id == self.id), turn_id=self.id or "")

    def usage(self) -> pd.DataFrame:
        """Tokens and cost of this turn, one row a report."""
        usage = self.chat.usage()
        return usage[usage["turn_id"] == self.id].reset_index(drop=True)

    def done(self) -> bool:
        """Whether the turn has ended."""
        return self._done.done()

    def wait(self, timeout: float | None = None) -> Turn:
        """Blocks until the turn has ended; raises `TimeoutError` after the time-out, and the turn goes on."""
        try:
            self._portal.wait(self._done, timeout=timeout, tick=self._ask)
        except KeyboardInterrupt as error:
            concurrent.futures.wait([self._portal.call(self._follower.stop)], STOP_WAIT)
            shorten(error)
            raise
        return self._settled()

    def __await__(self) -> Generator[Any, None, Turn]:
        return self._awaited().__await__()

    def stop(self) -> bool:
        """Stops the turn, or takes its prompt out of the queue; False where it had ended."""
        return self._portal.run(self._follower.stop)

    async def _awaited(self) -> Turn:
        try:
            await self._portal.result(self._done, tick=self._ask)
        except (asyncio.CancelledError, KeyboardInterrupt) as error:
            stopped = asyncio.wrap_future(self._portal.call(self._follower.stop))
            await asyncio.wait({stopped}, timeout=STOP_WAIT)
            shorten(error)
            raise
        return self._settled()

    def _settled(self) -> Turn:
        if self._display is None and self._follower.watch.ended is not None:  # else the page that shows it says so
            self._portal.call(self._say_seen)
        error = self._error()
        if error is None:
            return self
        if isinstance(error, CoderError):
            error.turn = self
        raise error

    def _error(self) -> Exception | None:
        ended = self._follower.watch.ended
        if self._follower.callback_error is not None:
            return self._follower.callback_error
        if ended is None:
            return TurnCancelled("The prompt was taken out of the queue before its turn came.")
        if ended.code == NobodyToAsk.code:
            return NobodyToAsk(ended.message)
        if ended.end == "cancelled":
            return TurnCancelled(ended.message)
        if ended.end != "completed":
            return TurnFailed(ended.message or f"The turn ended as {ended.end}: prompt again to go on.")
        return None

    async def _follow(self, after: int) -> None:
        await self._follower.follow(after)
        if self._display is not None:
            await asyncio.to_thread(self._display.finish, await self._snapshot())

    async def _say_seen(self) -> None:
        """Whoever has waited for the turn, where no page shows it, knows how it ended."""
        with contextlib.suppress(CoderError):
            await self._verbs.seen(self.chat.id, self._follower.watch.ended_rev)

    async def _snapshot(self) -> Snapshot | None:
        if self.id is None:
            return None
        return await take_turn(self._verbs, self.chat.id, self.id, self._follower.watch.entries)

    def _ask(self) -> None:
        """Asks the person at the terminal, where the runtime says that it is their turn to be asked."""
        chat = self._follower.watch.chat
        if chat is None or chat.asking != "stdin" or not stdin_allowed() or time.monotonic() < self._ask_from:
            return
        for entry_id, body in self._follower.watch.pending:
            if entry_id not in self._asked and not self._follower.calls_back(body):
                self._asked.add(entry_id)
                self._ask_permission(body) if isinstance(body, core.Permission) else self._ask_question(body)

    def _ask_permission(self, body: core.Permission) -> None:
        permission = Permission(body)
        try:
            take_answer(permission, input(question(permission)))
        except EOFError:
            permission.deny()
        answer, always = permission.answer, permission.always
        self._portal.call(self._verbs.answer, self.chat.id, body.request_id, answer, by="stdin", always=always)

    def _ask_question(self, body: core.Question) -> None:
        asked = Question(body)
        try:
            while not take_typed(asked, input(prompt_of(asked))):
                pass
        except EOFError:
            asked.decline()
        self._portal.call(self._verbs.reply, self.chat.id, body.request_id, asked.given, by="stdin")

    def __repr__(self) -> str:
        return f"<Turn of {self.prompt.agent or 'the default agent'}: {self.state}>"

    def __str__(self) -> str:
        return str(self.transcript)

    def _ipython_display_(self) -> None:
        """Shows the turn, unless this cell shows it already."""
        from IPython.display import publish_display_data

        publish: Any = publish_display_data
        if self._shown_in is not None and self._shown_in == current_cell():
            return
        publish(self.transcript._repr_mimebundle_())
