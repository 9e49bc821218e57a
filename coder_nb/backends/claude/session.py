"""One agent session with Claude: a warm client, prompts matched to their results by our own ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, Protocol
from uuid import uuid4

import msgspec
from claude_agent_sdk import Message, ResultMessage, SystemMessage, ToolPermissionContext
from claude_agent_sdk._errors import MessageParseError
from claude_agent_sdk.types import PermissionMode as NativeMode

from coder_nb.backends.base import Asked, Capabilities, Opening, Plain
from coder_nb.backends.claude import content, ending, translate
from coder_nb.backends.claude.asking import Asking, Result
from coder_nb.backends.claude.client import Client
from coder_nb.backends.claude.state import State
from coder_nb.backends.events import AnyEvent, Done, Noticed, SelfStarted, UserSaid
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.entries import Choice
from coder_nb.errors import AgentDied, AgentNotLoggedIn, CoderError, InvalidOption
from coder_nb.settings import Settings

AGAIN = 0.5
"""Seconds after which a Stop that had no effect yet is repeated: it may have come before the turn had begun."""


class _Turn:
    """A turn under way: one of ours, or one that Claude has begun by itself."""

    def __init__(self, tell: Callable[[AnyEvent], None]) -> None:
        self.tell = tell
        self.waiting_for: list[str] = []
        """Our ids of the messages that have no result yet, the oldest first."""
        self.sent = False
        self.main = False
        """Whether Claude itself is at work in it, not a task in the background alone."""
        self.stopping = False
        self.aborted = False
        self.failure: CoderError | None = None
        self.over = asyncio.Event()
        self.stop: asyncio.Task[None] | None = None


class Starter(Protocol):
    """Makes a session's clients."""

    async def connect(self, session: ClaudeSession, *, at: str | None, anew: bool) -> Client:
        """A client that runs: with what the session remembers up to the entry `at`, all of it, or nothing."""

    async def last_of(self, native_id: str, uuid: str) -> str | None:
        """The last entry of the turn that a message of the user has begun; None where there is no such message."""


class ClaudeSession(Plain):
    """An agent session; its starter makes its client, and another one where it goes back."""

    def __init__(
        self,
        spec: AgentSpec,
        opening: Opening,
        settings: Settings,
        *,
        idle_events: Callable[[AnyEvent], None],
        starter: Starter,
    ) -> None:
        self._spec, self._opening, self._settings = spec, opening, settings
        self._idle_events = idle_events
        self._starter = starter
        self.state = State(session_id=opening.native_id or str(uuid4()), label=spec.label)
        self.resumed: Literal["new", "resumed", "forked", "forgotten"] = "new"
        self.client: Client | None = None
        self.models: tuple[Choice, ...] = ()
        self._mode = self._native_mode(opening.mode)
        self.efforts: dict[str, tuple[str, ...]] = {}
        self._model = opening.model
        self._effort = opening.effort
        self._changing = False
        """Whether one program takes the place of another."""
        self._turn: _Turn | None = None
        self._own: _Turn | None = None
        self._asking = Asking(self._tell)
        self._closed = False
        self._spent = False
        """Whether it cannot take another prompt, although its process is still there."""

    # What it is ------------------------------------------------------------------------------------------------------

    @property
    def native_id(self) -> str | None:
        """Claude's id of it, by which it can be resumed; another one after `/clear`."""
        return self.state.session_id

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            resume=True,
            load=False,
            fork=True,
            list=True,
            close=True,
            images=True,
            files=True,
            mcp=True,
            questions=True,
            rewind=True,
            steer=True,
            models=self.models,
            efforts=self.efforts,
            commands=True,
            cost=True,
        )

    @property
    def pid(self) -> int | None:
        """Claude's own process."""
        return self.client.pid if self.client else None

    def stderr_tail(self) -> str:
        """What Claude said beside the protocol."""
        return self.client.stderr_tail() if self.client else ""

    def explain(self) -> str:
        """Why Claude has ended."""
        return self.client.explain() if self.client and not self.client.alive and not self._closed else ""

    @property
    def alive(self) -> bool:
        return not self._closed and not self._spent and self.client is not None and self.client.alive

    @property
    def mode(self) -> NativeMode:
        """The mode that Claude was put into last."""
        return self._mode

    @property
    def effort(self) -> str | None:
        """How much Claude is told to think."""
        return self._effort

    # Start and end ---------------------------------------------------------------------------------------------------

    async def start(self, *, at: str | None = None, anew: bool = False) -> None:
        """Starts Claude, with its memory up to the entry `at`, or without any; raises an `AgentFailed`."""
        self.state.totals.clear()
        self._model = self._opening.model
        self.client = await self._starter.connect(self, at=at, anew=anew)

    async def close(self) -> None:
        """Ends Claude's process within the settings' `stop_grace`; what it remembers stays in the store."""
        if self._closed:
            return
        self._closed = True
        self._asking.refuse_all()
        if self.client is not None:
            await self.client.close()
        self.lost()

    # Turns -----------------------------------------------------------------------------------------------------------

    async def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        """Takes a turn; see the contract in `backends.base`. One at a time."""
        if self._turn is not None:
            raise RuntimeError("a prompt is running: one at a time")
        events: asyncio.Queue[AnyEvent] = asyncio.Queue()
        turn = self._turn = _Turn(events.put_nowait)
        try:
            await self._begin(turn, asked)
            while True:
                event = await events.get()
                yield event
                if isinstance(event, Done):
                    return
        finally:
            try:
                if turn.sent and not turn.over.is_set():  # whoever read has gone: Claude must not go on by itself
                    self._stop(turn)
                if turn.stop is not None:
                    await asyncio.wait({turn.stop})
            finally:
                self._end(turn, Done(end="cancelled", alive=self.alive))
                self._turn = None

    async def cancel(self) -> None:
        """Stops what runs; returns at once, the prompt then ends by itself."""
        turn = self._turn or self._own
        if turn is not None:
            self._stop(turn)

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission by one of its options; None refuses. Does nothing where it is not pending any more."""
        self._asking.answer(request_id, option_id)

    async def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        """Answers a question; None declines. Does nothing where it is not pending any more."""
        self._asking.reply(request_id, answer)

    async def rewind(self, to: str | None) -> bool:
        """Goes on as of the end of the turn that the message `to` began; None: from nothing."""
        if self._turn is not None or self._own is not None or self._closed:
            return False
        at = None if to is None else await self._starter.last_of(self.state.session_id, to)
        if to is not None and at is None:
            return False
        if self.client is not None:
            await self.client.close()
        if to is None:
            self.state.session_id = str(uuid4())
        await self.start(at=at, anew=to is None)
        return True

    async def steer(self, text: str) -> bool:
        """Hands the running prompt another message; Claude takes it in between two steps, or right after the turn."""
        turn = self._turn
        if turn is None or self.client is None or not turn.sent or turn.stopping or turn.over.is_set():
            return False
        uuid = str(uuid4())
        turn.waiting_for.append(uuid)
        try:
            await self.client.send(uuid, text)
        except CoderError:
            turn.waiting_for.remove(uuid)
            return False
        return True

    # How -------------------------------------------------------------------------------------------------------------

    async def _begin(self, turn: _Turn, asked: Asked) -> None:
        """Sends the prompt; what fails in it ends the turn."""
        uuid = str(uuid4())
        try:
            self._living_client()
            client = await self._prepare(turn, asked)
            if turn.stopping:
                self._end(turn, Done(end="cancelled", alive=self.alive))
                return
            turn.waiting_for.append(uuid)
            turn.tell(UserSaid(text="", native_id=uuid))
            self._take_over(turn)
            await client.send(uuid, content.prompt(asked))
        except CoderError as error:
            self._end(turn, Done(end="failed", message=error.message, code=error.code, alive=self.alive))

    def _take_over(self, turn: _Turn) -> None:
        """From now on, all that Claude says is of this turn; also what is left of one that it has begun by itself."""
        own, self._own = self._own, None
        turn.sent = turn.main = True
        if own is None:
            self.state.begin()
            return
        for asked, gone in self._asking.open():
            own.tell(gone)
            turn.tell(asked)
        own.over.set()
        own.tell(Done(end="completed", alive=self.alive))

    async def _prepare(self, turn: _Turn, asked: Asked) -> Client:
        """Sets mode, model and effort, where they are not what they are to be."""
        if asked.effort != self._effort and self._own is not None:
            text = f"{self._spec.label} is still at work by itself: it takes the effort with the next prompt."
            turn.tell(Noticed(text=text, code="effort_waits"))
        elif asked.effort != self._effort:
            await self._think(asked.effort, asked.model or self._opening.model)
        client = self._living_client()
        mode = self._native_mode(asked.mode)
        if mode != self._mode:
            await client.set_mode(mode)
            self._mode = mode
        model = asked.model or self._opening.model
        if model != self._model:
            await client.set_model(model)
            self._model = model
        return client

    async def _think(self, effort: str | None, model: str | None) -> None:
        """Goes on in a program that is told to think as much; raises `InvalidOption` where no model can be."""
        offered = self.efforts.get(model or "default", self.efforts.get("", ()))
        if effort is not None and effort not in offered:
            names = ", ".join(offered) or "none"
            raise InvalidOption(f"{self._spec.label} has no effort {effort!r} for this model: it offers {names}.")
        self._effort, self._changing = effort, True  # a program has one effort for its life
        try:
            if self.client is not None:
                await self.client.close()
            await self.start()
        finally:
            self._changing = False

    def _living_client(self) -> Client:
        if not self.alive or self.client is None:
            why = self.client.explain() if self.client is not None and not self._closed else ""
            raise AgentDied(why or f"{self._spec.label} was closed: prompt again.")
        return self.client

    @staticmethod
    def _native_mode(mode: str) -> NativeMode:
        """Claude's name of a mode; but for plans it is always one that asks, and the answer is ours."""
        return "plan" if mode == "plan" else "default"

    # What Claude says ------------------------------------------------------------------------------------------------

    def hear(self, said: Message | MessageParseError) -> None:
        """Takes a message, in its order; called by the client's reader."""
        if isinstance(said, MessageParseError):
            self._tell(translate.raw(said.data, "unreadable"))
            return
        if isinstance(said, SystemMessage) and said.subtype == "init":
            self._turn_begins(said)
        for event in translate.message(self.state, said):
            self._tell(event)
        if isinstance(said, ResultMessage):
            self._take_result(said)

    def lost(self) -> None:
        """Nothing can come any more."""
        self._asking.refuse_all()
        if self._changing:
            return
        for turn in (self._turn, self._own):
            if turn is not None and not turn.over.is_set():
                closed = self._closed or self.client is None
                text = f"{self._spec.label} was closed: prompt again." if closed else self.client.explain()  # type: ignore[union-attr]  # there is one
                died = Done(end="failed", message=text, code=AgentDied.code, alive=False)
                self._end(turn, Done(end="cancelled", alive=False) if turn.stopping else died)

    async def can_use_tool(self, name: str, given: dict[str, Any], context: ToolPermissionContext) -> Result:
        """The SDK's callback. What a task in the background asks between two turns begins one of its own."""
        began = None
        if self._active() is None:
            began = self._begin_own("A task in the background has a question.")
        try:
            return await self._asking.can_use_tool(name, given, context)
        finally:
            if began is not None and not began.main and not self._asking.pending:
                self._end(began, Done(end="completed", alive=self.alive))

    def _active(self) -> _Turn | None:
        """The turn that what is said now belongs to."""
        if self._turn is not None and self._turn.sent and not self._turn.over.is_set():
            return self._turn
        return self._own

    def _tell(self, event: AnyEvent) -> None:
        turn = self._active()
        (turn.tell if turn is not None else self._idle_events)(event)

    def _turn_begins(self, said: SystemMessage) -> None:
        turn = self._active() or self._begin_own("A task in the background has ended.")
        turn.main, turn.aborted = True, False
        found = said.data.get("permissionMode")
        if found is not None and found != self._mode and turn is self._turn and turn.failure is None:
            turn.failure = AgentDied(
                f"{self._spec.label} runs in the mode {found!r}, not in {self._mode!r} as it was told: remove what "
                "sets it from Claude's settings, then prompt again."
            )
            self._stop(turn)

    def _begin_own(self, reason: str) -> _Turn:
        turn = self._own = _Turn(self._idle_events)
        self.state.begin()
        turn.tell(SelfStarted(reason=reason))
        return turn

    def _take_result(self, said: ResultMessage) -> None:
        turn = self._active()
        if turn is None:
            return
        if turn is self._turn:
            if not turn.stopping and not any(ending.belongs(said, uuid) for uuid in turn.waiting_for):
                return  # of a turn that Claude had begun just before
            taken = said.user_message_uuids or turn.waiting_for[:1]
            turn.waiting_for = [uuid for uuid in turn.waiting_for if uuid not in taken]
            if turn.waiting_for:
                turn.aborted = turn.stopping  # what was said in between may run next: that is stopped too
                return
        done = ending.done(said, label=self._spec.label, login=self._spec.login, stopping=turn.stopping)
        self._spent = done.code == AgentNotLoggedIn.code  # it would not look again who is logged in
        self._end(turn, msgspec.structs.replace(done, alive=self.alive))

    # Stopping --------------------------------------------------------------------------------------------------------

    def _stop(self, turn: _Turn) -> None:
        if turn.stopping or turn.over.is_set():
            return
        turn.stopping = True
        if turn.main:
            turn.stop = asyncio.create_task(self._interrupt(turn), name=f"{self._spec.label} stop")

    async def _interrupt(self, turn: _Turn) -> None:
        """Interrupts until the turn has ended; Claude is ended where it does not."""
        try:
            async with asyncio.timeout(self._settings.cancel_grace):
                while not turn.over.is_set():
                    try:
                        await self._living_client().interrupt()
                    except CoderError:
                        break
                    try:
                        async with asyncio.timeout(AGAIN):
                            await turn.over.wait()
                    except TimeoutError:
                        if turn.aborted:
                            self._end(turn, Done(end="cancelled", alive=self.alive))
        except TimeoutError:
            pass
        if not turn.over.is_set():
            client, self.client = self.client, None
            if client is not None:
                await client.close()
            self._end(turn, Done(end="cancelled", reason="killed", alive=False))

    def _end(self, turn: _Turn, done: Done) -> None:
        if turn.over.is_set():
            return
        if turn is self._own:
            self._own = None
        self._asking.refuse_all()
        if turn.failure is not None:
            done = Done(end="failed", message=turn.failure.message, code=turn.failure.code, alive=done.alive)
        turn.over.set()
        turn.tell(done)
