"""Following the turn of one prompt on the portal, until it has its end."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeVar, cast

from coder_nb.client.permission import Permission
from coder_nb.client.question import Question, take_said
from coder_nb.client.watch import Watch
from coder_nb.core import entries as core
from coder_nb.core.entries import Entry
from coder_nb.core.stream import Frame
from coder_nb.core.verbs import Verbs
from coder_nb.errors import CoderError, StoreError

OnPermission = Callable[[Permission], "bool | None | Awaitable[bool | None]"]
"""Called with each permission of a turn; it decides on the object, or returns whether to allow."""

OnQuestion = Callable[[Question], "str | Sequence[str] | None | Awaitable[str | Sequence[str] | None]"]
"""Called with each question of a turn; it answers on the object, or returns the answer."""

ATTEND_EVERY = 10.0
"""Seconds between two signs of life of a caller who can answer what the agent asks."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


def following(frames: AsyncIterator[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    """A stream that is closed, with all that stands behind it, when its reader leaves."""
    return aclosing(cast("AsyncGenerator[T, None]", frames))


class Follower:
    """Knows where a prompt's turn is, and lets the caller's callbacks answer what the agent asks in it."""

    def __init__(
        self,
        verbs: Verbs,
        chat_id: str,
        prompt_id: str,
        *,
        on_permission: OnPermission | None = None,
        on_question: OnQuestion | None = None,
        on_turn: Callable[[str], None] | None = None,
        answers: bool = False,
    ) -> None:
        """With `answers`, the runtime is told again and again that whoever can answer is here."""
        self.watch = Watch(prompt_id)
        self.withdrawn = False
        """Whether the prompt was taken out of the queue before its turn came."""
        self.callback_error: Exception | None = None
        """What the caller's callback raised, to be raised where the turn is waited for."""
        self._verbs, self._chat_id = verbs, chat_id
        self._on_permission, self._on_question, self._on_turn = on_permission, on_question, on_turn
        self._callbacks: dict[str, asyncio.Task[None]] = {}
        self._answers = answers

    async def follow(self, after: int) -> None:
        """Follows the chat from a revision until the turn has ended, or its prompt was withdrawn."""
        try:
            async with asyncio.TaskGroup() as group:
                staying = group.create_task(self._stay(), name="stay") if self._answers else None
                await self._read(after, group)
                if staying is not None:
                    staying.cancel()
                for task in self._callbacks.values():
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # what the reader met, or the answer that could not be given

    async def _stay(self) -> None:
        """Says that the caller is here; one that has gone is asked no more."""
        while True:
            with contextlib.suppress(CoderError):  # who follows hears of it
                await self._verbs.attend(self._chat_id, who="caller", prompt_id=self.watch.prompt_id)
            await asyncio.sleep(ATTEND_EVERY)

    async def _read(self, after: int, group: asyncio.TaskGroup) -> None:
        async with following(self._verbs.stream(self._chat_id, after=after)) as frames:
            async for frame in frames:
                await self._take(frame, group)
                if self.watch.ended is not None or self.withdrawn:
                    return

    async def entries(self) -> tuple[Entry, ...]:
        """The turn's entries so far; on the portal, where they grow."""
        return self.watch.entries

    async def stop(self) -> bool:
        """Stops the turn, or takes its prompt out of the queue; False where it had ended."""
        if self.watch.ended is not None or self.withdrawn:
            return False
        return await stop_prompt(self._verbs, self._chat_id, self.watch.prompt_id)

    async def _take(self, frame: Frame, group: asyncio.TaskGroup) -> None:
        watch, known = self.watch, self.watch.turn_id
        watch.take(frame)
        if known is None and watch.turn_id is not None and self._on_turn is not None:
            await asyncio.to_thread(self._on_turn, watch.turn_id)  # it draws, which is not for the runtime's loop
        if watch.is_lost:
            await self._look_for_turn()
        elif watch.may_be_cut_off:
            await self._look_for_end()
        for entry_id, body in watch.pending:
            if self.calls_back(body) and entry_id not in self._callbacks:
                self._callbacks[entry_id] = group.create_task(self._call_back(body), name=f"on_{body.request_id}")

    async def _look_for_turn(self) -> None:
        """The prompt left the queue: asks for the queue first, then for the turns, where a started one must be."""
        chat = await self._verbs.get_chat(self._chat_id)
        if any(prompt.id == self.watch.prompt_id for prompt in chat.queued):
            return
        turns = await self._verbs.turns(self._chat_id)
        self.withdrawn = all(turn.prompt_id != self.watch.prompt_id for turn in turns)

    async def _look_for_end(self) -> None:
        """Asks for the chat first, then for its turns: one that runs no more and has no end could not be written."""
        chat = await self._verbs.get_chat(self._chat_id)
        turns = await self._verbs.turns(self._chat_id)
        if not chat.turn_id and chat.error and any(t.id == self.watch.turn_id and t.end is None for t in turns):
            raise StoreError(chat.error)

    def calls_back(self, body: core.Permission | core.Question) -> bool:
        """Whether it is for the caller's own callback to answer this."""
        return (self._on_permission if isinstance(body, core.Permission) else self._on_question) is not None

    async def _call_back(self, body: core.Permission | core.Question) -> None:
        """What the user's code raises is an answer of no, and is raised where the turn is waited for."""
        if isinstance(body, core.Permission):
            permission = Permission(body)
            try:
                said = await _said(self._on_permission, permission)
                if said is not None and not permission.decided:
                    permission.allow() if said else permission.deny()
            except Exception as error:
                self._failed(error, permission)
                permission.deny()
            answer, always = permission.answer, permission.always
            await self._verbs.answer(self._chat_id, body.request_id, answer, by="callback", always=always)
        else:
            question = Question(body)
            try:
                take_said(question, await _said(self._on_question, question))
            except Exception as error:
                self._failed(error, question)
                question.decline()
            await self._verbs.reply(self._chat_id, body.request_id, question.given, by="callback")

    def _failed(self, error: Exception, asked: Permission | Question) -> None:
        _log.exception("the callback failed, so that the answer to %r is no", asked)
        self.callback_error = error


async def stop_prompt(verbs: Verbs, chat_id: str, prompt_id: str) -> bool:
    """Takes a prompt out of the queue, or stops its turn, and nobody else's; False where neither is to be done."""
    if await verbs.withdraw(chat_id, prompt_id):
        return True
    turns = await verbs.turns(chat_id)
    if any(turn.prompt_id == prompt_id and turn.end is None for turn in turns):
        return await verbs.stop(chat_id)
    return False


async def _said(callback: Any, asked: Permission | Question) -> Any:
    """What a callback returns: a plain one in a thread, so that it may block; an asynchronous one here."""
    if inspect.iscoroutinefunction(callback):
        answer: Any = callback(asked)
    else:
        answer = await asyncio.to_thread(callback, asked)
    return await answer if inspect.isawaitable(answer) else answer
