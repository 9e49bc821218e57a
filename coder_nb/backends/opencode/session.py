"""One chat's native session on a shared server: the turns, their permissions, their end."""

from __future__ import annotations

import asyncio
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from coder_nb.backends.base import (
    AnyEvent,
    Asked,
    Capabilities,
    Done,
    Noticed,
    Opening,
    PermissionAsked,
    PermissionGone,
    Plain,
)
from coder_nb.backends.opencode import native, translate
from coder_nb.backends.opencode.ending import done, ends_turn
from coder_nb.backends.opencode.native import Offer
from coder_nb.backends.opencode.server import Refused, Server
from coder_nb.backends.opencode.state import State, session_of
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.errors import AgentDied, AgentFailed, CoderError
from coder_nb.settings import Settings

SILENCE = 10.0
"""Seconds without a word about a running turn after which the server is asked how it stands."""
DOUBT = 0.25
"""The same, where something was said that may have ended the turn, or the turn is being stopped."""
_MISSING = 3
"""How often a prompt that the server has not seen is asked for before the turn fails."""
_LETTERS = string.digits + string.ascii_letters


class _Turn:
    """One prompt under way: what it has to say, and what it has asked."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.events: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        """What it says; None only wakes whoever waits."""
        self.questions: dict[str, list[tuple[str, str]]] = {}
        """By their id: what an answer that is to hold always would allow."""
        self.sent = False
        self.stopping = False
        self.ended = False
        self.doubtful = False
        self.overdue = False
        """Whether the server is to be asked at once."""
        self.idle = 0
        """How often in a row the server has said that nothing runs, although the turn has no end."""
        self.deadline: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        self.events.put_nowait(None)


class OpencodeSession(Plain):
    """An agent session on a server; made by `OpencodeBackend.open`, which starts it."""

    def __init__(
        self,
        server: Server,
        spec: AgentSpec,
        opening: Opening,
        settings: Settings,
        *,
        idle_events: Callable[[AnyEvent], None],
    ) -> None:
        self._server = server
        self._spec = spec
        self._opening = opening
        self._settings = settings
        self._idle_events = idle_events
        self._state = State(agent=spec.name, session_id="")
        self._resumed: Literal["new", "resumed", "forgotten"] = "new"
        self._offer = Offer()
        self._allowed: set[tuple[str, str]] = set()
        """What was allowed for always: in this chat, which the server would not keep to."""
        self._turn: _Turn | None = None
        self._dead: AgentDied | None = None
        self._spent = False
        """Whether it cannot take another prompt, although the server is still there."""
        self._closed = False

    # What it is -----------------------------------------------------------------------------------------------------

    @property
    def native_id(self) -> str | None:
        """The agent's id of it, by which it can be resumed."""
        return self._state.session_id or None

    @property
    def resumed(self) -> Literal["new", "resumed", "forgotten"]:
        """Whether it goes on with the `native_id` it was opened with; "forgotten" where the agent could not."""
        return self._resumed

    @property
    def capabilities(self) -> Capabilities:
        offer = self._offer
        return Capabilities(resume=True, load=False, modes=offer.modes, models=offer.models, cost=True)

    @property
    def pid(self) -> int | None:
        """None: its process is not its own."""
        return None

    @property
    def alive(self) -> bool:
        return not self._closed and not self._spent and self._dead is None and self._server.dead is None

    # Start and end --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Makes or resumes the native session; raises an `AgentFailed`, or `Refused`."""
        cwd, wanted = self._opening.cwd, self._opening.native_id
        if wanted is not None:
            grace = self._settings.cancel_grace
            self._resumed = "resumed" if await native.resumable(self._server, cwd, wanted, grace) else "forgotten"
        self._state.session_id = (
            wanted
            if wanted is not None and self._resumed == "resumed"
            else await native.create(self._server, cwd, f"coder-nb {self._opening.chat_id}")
        )
        self._offer = await native.offer(self._server, cwd)
        self._state.context_sizes = self._offer.context_sizes
        self._server.events.listen(self._state.session_id, self)

    async def close(self) -> None:
        """Ends the turn, if one runs, within the settings' `stop_grace`; the native session stays, to be resumed."""
        if self._closed:
            return
        self._closed = True
        turn = self._turn
        if turn is not None and not turn.ended:
            self._end_turn(turn, self._stopped_or(turn, AgentDied(f"{self._spec.label} was closed: prompt again.")))
            if turn.sent:
                await self._abort(self._settings.stop_grace)
        self._server.events.forget(self)
        self._server.release()

    # Turns ----------------------------------------------------------------------------------------------------------

    async def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        """Takes a turn; see the contract in `backends.base`. One at a time."""
        if self._turn is not None:
            raise RuntimeError("a prompt is running: one at a time")
        turn = self._turn = _Turn(asked)
        self._state.begin(_message_id())
        try:
            with self._server.busy(turn):
                self._begin(turn)
                while True:
                    event = await self._next(turn)
                    yield event
                    if isinstance(event, Done):
                        return
        finally:
            try:
                if turn.sent and not turn.ended:  # whoever read has gone: the agent must not go on by itself
                    self._stop(turn)
                    while not turn.ended:
                        await self._next(turn)
            finally:
                self._end_turn(turn, Done(end="cancelled", alive=self.alive))
                self._state.retire()
                self._server.events.forget(self, but=self._state.session_id)
                self._turn = None

    async def cancel(self) -> None:
        """Stops the running prompt; returns at once, the prompt then ends by itself."""
        if self._turn is not None:
            self._stop(self._turn)

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission by one of its options; None refuses. Does nothing where it is not pending any more."""
        turn = self._turn
        rules = turn.questions.pop(request_id, None) if turn is not None else None
        if rules is None:
            return
        if option_id == "always":
            self._allowed.update(rules)
        await self._reply(request_id, "once" if option_id in ("once", "always") else "reject")

    def _begin(self, turn: _Turn) -> None:
        """Sends the prompt, beside: what fails in it ends the turn."""
        if self._dead is not None or not self.alive:
            gone = self._dead or self._server.dead or AgentDied(f"{self._spec.label} was closed: prompt again.")
            self._end_turn(turn, self._stopped_or(turn, gone))
            return
        self._server.soon(self._send(turn), name=f"{self._spec.label} prompt")

    async def _send(self, turn: _Turn) -> None:
        """Subscribed before prompting: an end that comes at once is heard."""
        try:
            body = self._body(turn.asked)
            async with asyncio.timeout(self._settings.start_timeout):
                await self._server.connected()
                if turn.stopping:
                    self._end_turn(turn, Done(end="cancelled", alive=self.alive))
                if turn.ended:
                    return
                turn.sent = True
                await self._call("POST", "/prompt_async", body)
        except TimeoutError:
            late = AgentFailed(f"{self._spec.label} did not take the prompt in time: prompt again.")
            self._end_turn(turn, self._stopped_or(turn, late))
        except (Refused, CoderError) as error:
            self._end_turn(turn, self._stopped_or(turn, error))
        if turn.stopping and not turn.ended:
            await self._abort(self._settings.health_timeout)

    def _body(self, asked: Asked) -> dict[str, Any]:
        """What is sent for a prompt; raises `InvalidOption` or `AgentFailed` for a mode or model that cannot be had."""
        wanted = self._spec.modes.get(asked.mode, AgentMode())
        started = self._spec.modes.get(self._opening.mode, AgentMode())
        if (wanted.env, wanted.config) != (started.env, started.config):
            self._spent = True
            raise AgentDied(f"{self._spec.label} must be started anew for the mode {asked.mode!r}: prompt again.")
        body: dict[str, Any] = {
            "messageID": self._state.message_id,
            "parts": [{"type": "text", "text": asked.text}],
        }
        if wanted.id:
            body["agent"] = self._offer.mode(wanted.id, self._spec)
        model = asked.model or self._opening.model
        if model is not None:
            provider, _, name = self._offer.model(model, self._spec).partition("/")
            body["model"] = {"providerID": provider, "modelID": name}
        return body

    async def _next(self, turn: _Turn) -> AnyEvent:
        """What the turn says next; where it is silent, the server is asked."""
        while True:
            silence = DOUBT if turn.doubtful or turn.stopping else SILENCE
            try:
                async with asyncio.timeout(0.0 if turn.overdue and turn.events.empty() else silence):
                    event = await turn.events.get()
            except TimeoutError:
                turn.overdue = False
                await self._ask(turn)
                continue
            if event is not None:
                return event

    async def _ask(self, turn: _Turn) -> None:
        """Asks the server how the turn stands, and takes what was missed (the stream replays nothing)."""
        if turn.ended or not turn.sent:
            return
        try:
            async with asyncio.timeout(self._settings.health_timeout):
                busy = await native.is_busy(self._server, self._opening.cwd, self._state.session_id)
                messages = await self._call("GET", "/message", limit=100)
                waiting = await self._server.call("GET", "/permission", self._opening.cwd)
        except (Refused, CoderError, TimeoutError):
            return  # who watches the server sees what is wrong with it, and ends it
        for event in native.missed(self._state, messages, waiting):
            self.heard(event)
        asked = {one.get("id") for one in waiting}
        for request_id in [one for one in turn.questions if one not in asked]:
            self._withdrawn(turn, request_id)
        self._stands(turn, busy=busy)

    def _stands(self, turn: _Turn, *, busy: bool) -> None:
        """Takes the server's word: a turn that nothing runs for has ended, whether its end was heard or not."""
        if busy:
            turn.idle, turn.doubtful = 0, False
            if turn.stopping:
                self._server.soon(self._abort(self._settings.health_timeout), name=f"{self._spec.label} stop")
            return
        state = self._state
        turn.idle += 1
        taken = state.accepted or state.error is not None
        turn.doubtful = taken
        if (
            (state.accepted and state.answered)
            or (turn.idle > 1 and taken)
            or (turn.idle >= _MISSING and not turn.stopping)
        ):
            self._end_turn(turn, done(state, self._spec, stopping=turn.stopping, alive=self.alive))

    def _stopped_or(self, turn: _Turn, error: Refused | CoderError) -> Done:
        """A turn that is being stopped ends as cancelled, whatever else goes wrong in it."""
        alive = self.alive and not isinstance(error, AgentDied)
        if turn.stopping:
            return Done(end="cancelled", alive=alive)
        if isinstance(error, Refused):
            error = AgentFailed(f"{self._spec.label} did not take the prompt: {error.message}. Prompt again to retry.")
        return Done(end="failed", message=error.message, code=error.code, alive=alive)

    def _end_turn(self, turn: _Turn, end: Done) -> None:
        """The one place where a turn ends; a second end changes nothing."""
        if turn.ended:
            return
        turn.ended = True
        if turn.deadline is not None:
            turn.deadline.cancel()
        self._refuse_all(turn)
        turn.events.put_nowait(end)

    def _stop(self, turn: _Turn) -> None:
        if turn.stopping or turn.ended:
            return
        turn.stopping = True
        self._refuse_all(turn)
        if turn.sent:
            self._server.soon(self._abort(self._settings.health_timeout), name=f"{self._spec.label} stop")
        turn.deadline = asyncio.get_running_loop().call_later(self._settings.cancel_grace, self._give_up, turn)
        turn.wake()

    def _give_up(self, turn: _Turn) -> None:
        """The native session does not answer a Stop: it is left alone, and the server with the other chats lives on."""
        if turn.ended:
            return
        self._spent = True
        turn.events.put_nowait(
            Noticed(
                text=f"{self._spec.label} did not stop within {self._settings.cancel_grace:g} s: its session was "
                "given up, and the next prompt starts a new one.",
                code="session_given_up",
                level="warning",
            )
        )
        self._end_turn(turn, Done(end="cancelled", code="session_given_up", alive=False))

    # Its permissions ------------------------------------------------------------------------------------------------

    def _ask_permission(self, turn: _Turn | None, asked: PermissionAsked, rules: list[tuple[str, str]]) -> None:
        if turn is None or turn.ended or turn.stopping:  # nobody is there to be asked
            self._reply_soon(asked.request_id, "reject")
        elif asked.request_id not in turn.questions:
            if rules and self._allowed.issuperset(rules) and turn.asked.mode != "plan":
                self._reply_soon(asked.request_id, "once")
                return
            turn.questions[asked.request_id] = rules
            turn.events.put_nowait(asked)

    def _withdrawn(self, turn: _Turn, request_id: str) -> None:
        if turn.questions.pop(request_id, None) is not None:
            turn.events.put_nowait(PermissionGone(request_id=request_id))

    def _refuse_all(self, turn: _Turn) -> None:
        questions, turn.questions = turn.questions, {}
        for request_id in questions:
            self._reply_soon(request_id, "reject")

    def _reply_soon(self, request_id: str, reply: str) -> None:
        self._server.soon(self._reply(request_id, reply), name=f"{self._spec.label} answer")

    async def _reply(self, request_id: str, reply: str) -> None:
        """A question that is gone was answered by somebody else, or its turn has ended: both are seen otherwise."""
        path = f"/permission/{request_id}/reply"
        try:
            await self._server.call("POST", path, self._opening.cwd, {"reply": reply})
        except (Refused, AgentFailed):
            return

    async def _call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        return await self._server.call(
            method, f"/session/{self._state.session_id}{path}", self._opening.cwd, body, **query
        )

    async def _abort(self, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                await self._call("POST", "/abort")
        except (Refused, AgentFailed, TimeoutError):
            return

    # What the server says by itself ---------------------------------------------------------------------------------

    def heard(self, event: dict[str, Any]) -> None:
        """Called by the stream's reader."""
        turn = self._turn
        for said in translate.event(self._state, event):
            if isinstance(said, PermissionAsked):
                self._ask_permission(turn, said, native.rules_of(event))
            elif isinstance(said, PermissionGone):
                if turn is not None:
                    self._withdrawn(turn, said.request_id)
            else:
                self._say(turn, said)
        if event.get("type") == "question.asked":
            self._decline(turn, event)
        if turn is None or turn.ended:
            return
        ends = ends_turn(self._state, event) if session_of(event) == self._state.session_id else False
        if ends:
            self._end_turn(turn, done(self._state, self._spec, stopping=turn.stopping, alive=self.alive))
        elif ends is None:
            turn.doubtful = True
            turn.wake()

    def missed(self) -> None:
        """Called by the stream's reader."""
        self._state.broken()
        if self._turn is not None:
            self._turn.overdue = True
            self._turn.wake()

    def ended(self, error: AgentDied) -> None:
        """Called when the server is gone."""
        self._dead = error
        if self._turn is not None:
            self._end_turn(self._turn, self._stopped_or(self._turn, error))

    def _decline(self, turn: _Turn | None, event: dict[str, Any]) -> None:
        """A question in words cannot be answered yet: it is refused, so that the turn goes on."""
        said = event["properties"]
        path = f"/question/{said.get('id')}/reject"
        self._server.soon(self._server.call("POST", path, self._opening.cwd), name=f"{self._spec.label} answer")
        texts = [str(one.get("question")) for one in said.get("questions") or () if isinstance(one, dict)]
        self._say(turn, Noticed(text=f"{self._spec.label} asked: {' '.join(texts)}", code="question_declined"))

    def _say(self, turn: _Turn | None, event: AnyEvent) -> None:
        if turn is None:
            self._idle_events(event)
        elif not turn.ended:
            turn.events.put_nowait(event)


def _message_id() -> str:
    """An id as opencode makes them: they sort by time, and the server relies on it."""
    moment = (int(time.time() * 1000) * 0x1000 + 1) & 0xFFFFFFFFFFFF
    return f"msg_{moment:012x}{''.join(secrets.choice(_LETTERS) for _ in range(14))}"
